"""What a method is, and those of one worker. Each `step` reads like its algorithm box.

A step is a generator. It *asks* for what it needs, a pull of the center variable x̃, a push
of a change, a gradient at some point, and its driver answers: a worker on MPI (`worker.py`)
or the simulator (`simulate.py`). Steps are sans-I/O, in h11's word: each box is written
once, and a method cannot know where the center lives or what a second is.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from easgd_lib.method import rules
from easgd_lib.method.center import ORDERS, Begin, End, Pull, Push, ServerOptimizer

if TYPE_CHECKING:
    from easgd_lib.method.settings import Settings


class Gradient(NamedTuple):
    """Asks for a stochastic gradient at this point; a fresh batch every time."""

    at: Any


Request = Pull | Push | Begin | End | Gradient
Step = Generator[Request, Any, None]


class SGD:
    """Sequential SGD, eq. (3). The gradient sees the current x; it is its own center.

    >>> from easgd_lib.method.settings import Settings
    >>> next(SGD(1.0, Settings("sgd")).step())
    Gradient(at=1.0)
    """

    options: ClassVar[set[str]] = set()  # those of `Settings` that not every method uses
    defaults: ClassVar[dict[str, Any]] = {}  # of them, where this method's are its own
    exchange: tuple[type, ...] = ()
    atomic = True  # no gradient falls within an exchange
    orders: tuple[str, ...] = ORDERS  # of exchanges, that it is defined for
    every_step = False  # τ can only be 1
    nesterov = False  # whether the outer optimizer, if there is one, is Nesterov's
    moves_first = False  # an exchange moves x before the gradient is taken

    def __init__(self, x, settings: Settings):
        self.x = x
        self.t = 0
        self.settings = settings
        self.seen: Any = None  # the next step's point, where somebody has computed it before
        self.exchanged_at = -1  # the step whose exchange is over, where a step was cut in two
        self.own_eta: Any = None  # η, where somebody else decides on it (`easgd_lib.optim`)

    @classmethod
    def server_optimizer(cls, settings: Settings) -> ServerOptimizer | None:
        """What the center does with a push; None: it adds."""
        return None

    @property
    def evaluated(self):
        """What a method without a center offers for evaluation."""
        return self.x

    @property
    def point(self):
        """Where the gradient is seen, unless an exchange comes first and moves x."""
        return self.x

    @property
    def eta(self) -> float:
        """η of this step; a number, or a vector of a rate a coordinate."""
        if self.own_eta is not None:
            return self.own_eta
        return rules.learning_rate(self.settings.eta, self.settings.gamma, self.t)

    @property
    def exchange_is_due(self) -> bool:
        """τ divides t, the worker's own step, counted from 0; unless this step's is over."""
        return self.t % self.settings.tau == 0 and self.exchanged_at != self.t

    def step(self) -> Step:
        gradient = yield Gradient(self.x)
        self.x = rules.sgd_step(self.x, gradient, self.eta)
        self.t += 1


class ASGD(SGD):
    """SGD; evaluated is z, the mean of x_0 … x_t (paper section 5)."""

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.average = x

    @property
    def evaluated(self):
        return self.average

    def average_rate(self) -> float:
        return rules.uniform_rate(self.t)

    def step(self) -> Step:
        self.average = rules.moving_average(self.average, self.x, self.average_rate())
        yield from super().step()


class MVASGD(ASGD):
    """SGD; evaluated is z, which follows x with a constant rate a (paper section 5)."""

    options: ClassVar[set[str]] = {"average_rate"}

    def average_rate(self) -> float:
        return self.settings.average_rate


class MSGD(SGD):
    """Sequential SGD with Nesterov's momentum. The gradient sees x + δv."""

    options: ClassVar[set[str]] = {"delta"}

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.velocity = rules.zeros_like(x)

    @property
    def point(self):
        if self.seen is not None:
            return self.seen
        return rules.look_ahead(self.x, self.velocity, self.settings.delta)

    def accelerate(self, gradient):
        """v ← δv − ηg, and returned."""
        self.seen = None
        self.velocity = rules.nesterov_velocity(
            self.velocity, gradient, self.eta, self.settings.delta
        )
        return self.velocity

    def step(self) -> Step:
        gradient = yield Gradient(self.point)
        self.x = rules.msgd_step(self.x, self.accelerate(gradient))
        self.t += 1


class Lookahead(MSGD):
    """x takes τ steps, then z ← z + a(x − z) and x ← z (Zhang et al. 2019, arXiv:1907.08610).

    z is what is evaluated, a the outer rate. The paper's Algorithm 1 with one inner optimizer,
    MSGD (δ = 0: SGD); its velocity is kept. One worker of `LocalSGD` with an outer rate.
    """

    options: ClassVar[set[str]] = {"tau", "delta", "outer_rate"}
    defaults: ClassVar[dict[str, Any]] = {"delta": 0.0, "outer_rate": 0.5}
    moves_first = True

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.slow = x

    @property
    def evaluated(self):
        return self.slow

    def step(self) -> Step:
        if self.exchange_is_due:
            self.slow = rules.moving_average(self.slow, self.x, self.settings.outer_rate)
            self.x = rules.restart(self.x, self.slow)
        yield from self.local_step()

    def local_step(self) -> Step:
        """One step of the inner optimizer."""
        return super().step()
