"""The methods: which rule a worker applies when. Each `step` reads like its algorithm box.

A step is a generator. It *asks* for what it needs, a pull of x̃, a push of a change,
a gradient at some point, and whoever drives it answers: a worker on MPI
(`worker.py`) or the simulator (`simulate.py`). So each box is written once,
and a method cannot know where the center lives or what a second is.

The state between steps is three attributes: `x`, `t` and, with momentum, `velocity`.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

from easgd_lib import rules


class Pull(NamedTuple):
    """Asks for the center x̃ as it is now."""


class Push(NamedTuple):
    """Hands the center a change to add."""

    change: Any


class Gradient(NamedTuple):
    """Asks for a stochastic gradient at this point; a fresh batch every time."""

    at: Any


Request = Pull | Push | Gradient
Step = Generator[Request, Any, None]


class SGD:
    """Sequential SGD, eq. (3). The gradient sees the current x; it is its own center."""

    exchanges = elastic = momentum = False

    def __init__(self, x, settings):
        self.x = x
        self.t = 0
        self.settings = settings

    @property
    def eta(self) -> float:
        return rules.learning_rate(self.settings.eta, self.settings.gamma, self.t)

    def step(self) -> Step:
        gradient = yield Gradient(self.x)
        self.x = rules.sgd_step(self.x, gradient, self.eta)
        self.t += 1


class MSGD(SGD):
    """Sequential SGD with Nesterov's momentum. The gradient sees x + δv."""

    momentum = True

    def __init__(self, x, settings):
        super().__init__(x, settings)
        self.velocity = 0 * x

    def look_ahead(self):
        return rules.look_ahead(self.x, self.velocity, self.settings.delta)

    def accelerate(self, gradient):
        """v ← δv − ηg, and returned."""
        self.velocity = rules.nesterov_velocity(
            self.velocity, gradient, self.eta, self.settings.delta
        )
        return self.velocity

    def step(self) -> Step:
        gradient = yield Gradient(self.look_ahead())
        self.x = rules.msgd_step(self.x, self.accelerate(gradient))
        self.t += 1


class EASGD(SGD):
    """Figure 1 (paper Algorithm 1), and eqs. (7)-(8) where all workers step together.

    The gradient sees the saved x, the one before the exchange.
    """

    exchanges = elastic = True

    def exchange(self):
        """If τ divides t, the exchange of Figure 1. Returns the force on this worker."""
        if self.t % self.settings.tau:
            return 0.0
        center = yield Pull()
        force = rules.elastic_force(self.x, center, self.settings.alpha)
        yield Push(force)
        return force

    def step(self) -> Step:
        force = yield from self.exchange()
        gradient = yield Gradient(self.x)
        self.x = rules.easgd_step(self.x, gradient, force, self.eta)
        self.t += 1


class EAMSGD(EASGD, MSGD):
    """Paper Algorithm 2: EASGD whose local steps have Nesterov's momentum.

    The gradient sees x + δv, x the saved one; the force is at x and never enters v.
    """

    def step(self) -> Step:
        force = yield from self.exchange()
        gradient = yield Gradient(self.look_ahead())
        self.x = rules.eamsgd_step(self.x, self.accelerate(gradient), force)
        self.t += 1


METHODS = {"sgd": SGD, "msgd": MSGD, "easgd": EASGD, "eamsgd": EAMSGD}
