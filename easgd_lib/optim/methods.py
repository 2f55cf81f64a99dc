"""The optimizers by name: each says which method it is, and nothing else."""

from easgd_lib.optim.optimizer import Averaging


class EASGD(Averaging):
    """Elastic averaging SGD, the paper's Algorithm 1. Options: tau, alpha | beta | rho, variant."""

    method = "easgd"


class EAMSGD(Averaging):
    """EASGD with Nesterov's momentum, the paper's Algorithm 2.

    Between two steps the model holds the look-ahead point x + δv, where the gradient belongs; the
    force is taken at x. (torch's own Nesterov SGD holds the same point while the rate is constant;
    its buffer does not carry η, so under a schedule it is another method.)
    """

    method = "eamsgd"


class DOWNPOUR(Averaging):
    """DOWNPOUR, the paper's Algorithm 3. Options: tau."""

    method = "downpour"


class LocalSGD(Averaging):
    """Periodic averaging (Stich 2019). Options: tau, momentum (0), inner."""

    method = "local_sgd"


class SlowMo(Averaging):
    """Local SGD, slow momentum (Wang et al. 2020). Options: outer_rate, outer_momentum, inner."""

    method = "slowmo"


class DiLoCo(Averaging):
    """Local steps, outer Nesterov (Douillard et al. 2023). `inner=` for AdamW, as in the paper."""

    method = "diloco"


class AsyncDiLoCo(Averaging):
    """DiLoCo in which nobody waits; each push is an outer step."""

    method = "async_diloco"


class Lookahead(Averaging):
    """One worker and its slow weights (Zhang et al. 2019). Options: tau, outer_rate, inner."""

    method = "lookahead"


class AllreduceSGD(Averaging):
    """Synchronous data-parallel SGD: the mean gradient at every step."""

    method = "allreduce_sgd"


class AllreduceMSGD(Averaging):
    """The same with Nesterov's momentum."""

    method = "allreduce_msgd"
