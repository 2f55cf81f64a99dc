"""The methods: which rule a worker applies when. Each `step` reads like its algorithm box.

What a step is says `sequential`, where those of one worker are too; EASGD's descendants are in
`family`. τ is the communication period, α the moving rate.

Which x the gradient sees, and what x̃ gains:

============ ========================== =====================================
method       gradient at                the center adds
============ ========================== =====================================
`sgd`        x
`msgd`       x + δv
`easgd`      the saved x                α(x − x̃), at the saved x
`eamsgd`     x + δv, x the saved one    α(x − x̃), at the saved x
`downpour`   x, just pulled if τ | t    the sum of −ηg since the last push
`mdownpour`  the x̃ just pulled          δv − ηg, v its own (Nesterov) momentum
============ ========================== =====================================

A leading `a` or `mva` adds a running or moving average z of what is evaluated.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from easgd_lib.errors import SettingsError
from easgd_lib.method import rules
from easgd_lib.method.center import (
    Begin,
    End,
    ExchangeProtocol,
    Nodes,
    Pull,
    Push,
    ServerOptimizer,
    State,
)
from easgd_lib.method.extension import find
from easgd_lib.method.family import (
    AllreduceMSGD,
    AllreduceSGD,
    AsyncDiLoCo,
    DiLoCo,
    LocalSGD,
    SlowMo,
)
from easgd_lib.method.sequential import (
    ASGD,
    MSGD,
    MVASGD,
    SGD,
    Gradient,
    Lookahead,
    Request,
    Step,
)

if TYPE_CHECKING:
    from easgd_lib.method.settings import Settings

__all__ = ["ASGD", "MSGD", "MVASGD", "SGD", "Gradient", "Lookahead", "Request", "Step"]


class EASGD(SGD):
    """Figure 1 (paper Algorithm 1), and eqs. (7)-(8) where all workers step together.

    The gradient sees the saved x, the one before the exchange.

    >>> from easgd_lib.method.settings import Settings
    >>> next(EASGD(1.0, Settings("easgd")).step())
    Pull()
    """

    options: ClassVar[set[str]] = {"tau", "alpha", "beta", "rho", "beta_per", "variant"}
    exchange: tuple[type, ...] = (Pull, Push)

    def force(self):
        """One exchange. Returns the force on this worker: here the one the center gained."""
        center = yield Pull()
        force = rules.elastic_force(self.x, center, self.settings.alpha)
        yield Push(force)
        return force

    def step(self) -> Step:
        force = (yield from self.force()) if self.exchange_is_due else 0.0
        gradient = yield Gradient(self.x)
        self.x = rules.easgd_step(self.x, gradient, force, self.eta)
        self.t += 1


class EAMSGD(EASGD, MSGD):
    """Paper Algorithm 2: EASGD whose local steps have Nesterov's momentum.

    The gradient sees x + δv, x the saved one; the force is at x and never enters v.
    """

    options: ClassVar[set[str]] = EASGD.options | MSGD.options

    def step(self) -> Step:
        force = (yield from self.force()) if self.exchange_is_due else 0.0
        gradient = yield Gradient(self.point)
        self.x = rules.eamsgd_step(self.x, self.accelerate(gradient), force)
        self.t += 1


class GaussSeidel(EASGD):
    """The worker is pulled to the *new* center (Zhang's thesis, arXiv:1605.02216, chapter 6).

    The center moves by α(x − x̃), the worker by α(x − x̃'): two pairs, so nothing is conserved.
    """

    exchange: tuple[type, ...] = (Pull, Push, Pull)

    def force(self):
        yield from super().force()
        new_center = yield Pull()
        return rules.elastic_force(self.x, new_center, self.settings.alpha)


class GaussSeidelEAMSGD(GaussSeidel, EAMSGD):
    """EAMSGD pulled to the new center."""


class StepFirst(EASGD):
    """The local step, then the exchange, at the x after the step: the most common slip."""

    def step(self) -> Step:
        due = self.exchange_is_due
        yield from SGD.step(self)
        if due:
            self.x = self.x - (yield from self.force())


class StepFirstEAMSGD(EAMSGD):
    """EAMSGD whose exchange follows the local step."""

    def step(self) -> Step:
        due = self.exchange_is_due
        yield from MSGD.step(self)
        if due:
            self.x = self.x - (yield from self.force())


class Background(EASGD):
    """The exchange goes on while the worker takes its next τ steps (not in the papers).

    At an exchange the worker first subtracts the force of the exchange before, x ← x − f, and
    begins the next one at this x, which the gradient sees too. Both sides move by the same force,
    from the same pair; but the worker does so τ of its own steps later, steps that know nothing
    of it. On h x²/2 they multiply x by (1 − ηh)^τ before the force comes, not after it.
    """

    moves_first = True

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.begun = False

    def force(self):
        """None is left for the step: the force of the exchange before is subtracted at once."""
        if self.begun:
            self.x = self.x - (yield End())
        yield Begin(partial(rules.elastic_force, self.x, alpha=self.settings.alpha))
        self.begun = True
        return 0.0


class BackgroundEAMSGD(Background, EAMSGD):
    """EAMSGD whose exchange goes on while the worker does."""


class DOWNPOUR(SGD):
    """Paper Algorithm 3. The gradient sees the worker's x, which was the center at the last pull.

    The worker pushes all it moved since then, and starts again from the center.
    """

    options: ClassVar[set[str]] = {"tau"}
    exchange: tuple[type, ...] = (Push, Pull)
    moves_first = True

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.accumulated = rules.zeros_like(x)  # the paper's v

    def step(self) -> Step:
        if self.exchange_is_due:
            yield Push(self.accumulated)
            self.x = rules.restart(self.x, (yield Pull()))
            self.accumulated = rules.zeros_like(self.x)
        gradient = yield Gradient(self.x)
        self.x = rules.sgd_step(self.x, gradient, self.eta)
        self.accumulated = rules.sgd_step(self.accumulated, gradient, self.eta)
        self.t += 1


class ADOWNPOUR(DOWNPOUR):
    """DOWNPOUR; evaluated is z, the mean of all centers so far, t the server's clock."""

    @classmethod
    def server_optimizer(cls, settings: Settings) -> ServerOptimizer:
        def absorb(state: State, change, t: int) -> State:
            center, average = state
            average = rules.moving_average(average, center, cls.rate(settings, t))
            return center + change, average

        return ServerOptimizer(begin=lambda start: (start, start), absorb=absorb, shows=1)

    @staticmethod
    def rate(settings: Settings, t: int) -> float:
        return rules.uniform_rate(t)


class MVADOWNPOUR(ADOWNPOUR):
    """DOWNPOUR; evaluated is z, which follows the center with a constant rate a."""

    options: ClassVar[set[str]] = {"tau", "average_rate"}

    @staticmethod
    def rate(settings: Settings, t: int) -> float:
        return settings.average_rate


class MDOWNPOUR(SGD):
    """Paper Algorithms 4 and 5: the workers only take gradients, the server has the momentum.

    The gradient sees the x̃ just pulled; τ is 1. For the misprint see `rules.mdownpour_server`.
    """

    options: ClassVar[set[str]] = {"tau", "delta"}
    defaults: ClassVar[dict[str, Any]] = {"tau": 1}
    exchange: tuple[type, ...] = (Pull, Push)
    atomic = False
    every_step = moves_first = True

    @classmethod
    def server_optimizer(cls, settings: Settings) -> ServerOptimizer:
        def absorb(state: State, change, t: int) -> State:
            center, velocity = state
            return rules.mdownpour_server(center, velocity, change, settings.delta)

        return ServerOptimizer(begin=lambda start: (start, rules.zeros_like(start)), absorb=absorb)

    def step(self) -> Step:
        if self.exchange_is_due:
            self.x = rules.restart(self.x, (yield Pull()))
        gradient = yield Gradient(self.x)
        yield Push(-self.eta * gradient)
        self.t += 1


METHODS: dict[str, type[SGD]] = {
    cls.__name__.lower(): cls
    for cls in (SGD, MSGD, ASGD, MVASGD, EASGD, EAMSGD, DOWNPOUR, ADOWNPOUR, MVADOWNPOUR, MDOWNPOUR)
} | {
    "lookahead": Lookahead,
    "local_sgd": LocalSGD,
    "slowmo": SlowMo,
    "diloco": DiLoCo,
    "async_diloco": AsyncDiLoCo,
    "allreduce_sgd": AllreduceSGD,
    "allreduce_msgd": AllreduceMSGD,
}
JACOBI = "jacobi"
VARIANTS: dict[str, dict[str, type[SGD]]] = {
    JACOBI: {"easgd": EASGD, "eamsgd": EAMSGD},
    "gauss_seidel": {"easgd": GaussSeidel, "eamsgd": GaussSeidelEAMSGD},
    "step_first": {"easgd": StepFirst, "eamsgd": StepFirstEAMSGD},
    "background": {"easgd": Background, "eamsgd": BackgroundEAMSGD},
}


def method_named(name: str) -> type[SGD]:
    """The class of this name: one of `METHODS`, or what "module:Class" names.

    Raises
    ------
    SettingsError
        No such method, or what was found is no method.

    >>> method_named("easgd").exchange
    (<class 'easgd_lib.method.center.Pull'>, <class 'easgd_lib.method.center.Push'>)
    """
    method = find("method", name, METHODS)
    if not (isinstance(method, type) and issubclass(method, SGD)):
        raise SettingsError(f"method {name} is no method", "derive it from easgd_lib.methods.SGD")
    return method


def method_of(settings: Settings) -> type[SGD]:
    """The class that these settings name.

    >>> from easgd_lib.method.settings import Settings
    >>> method_of(Settings("easgd", variant="gauss_seidel")).__name__
    'GaussSeidel'
    """
    if settings.variant and settings.method in VARIANTS[settings.variant]:
        return VARIANTS[settings.variant][settings.method]
    return method_named(settings.method)


def evaluates_x(settings: Settings) -> bool:
    """Whether what is evaluated is the worker's own x: no center, no average.

    >>> from easgd_lib.method.settings import Settings
    >>> [evaluates_x(Settings(method)) for method in ("sgd", "asgd", "easgd")]
    [True, False, False]
    """
    method = method_of(settings)
    return not method.exchange and method.evaluated is SGD.evaluated


def worker_too(settings: Settings) -> bool:
    """Whether worker 0 has a curve of its own, beside that of what is evaluated.

    >>> from easgd_lib.method.settings import Settings
    >>> [worker_too(Settings(method)) for method in ("sgd", "asgd", "easgd")]
    [False, True, True]
    """
    return settings.worker_curve and not evaluates_x(settings)


def protocol_of(settings: Settings, method: type[SGD] | None = None) -> ExchangeProtocol:
    """What the method of these settings, or another one, asks of its center.

    >>> from easgd_lib.method.settings import Settings
    >>> [request.__name__ for request in protocol_of(Settings("downpour")).exchange]
    ['Push', 'Pull']
    """
    method = method or method_of(settings)
    nodes = None
    if settings.kind.nodes:
        period = settings.tau_root // settings.tau
        nodes = Nodes(settings.nodes, settings.alpha_root, period)
    optimizer = method.server_optimizer(settings)
    return ExchangeProtocol(settings.order, method.exchange, method.atomic, optimizer, nodes=nodes)
