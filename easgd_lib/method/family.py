"""What came after: local SGD, SlowMo, DiLoCo; and before all, averaging every gradient.

In each the workers start a round from the same x̃, and end it by moving x̃ together: the elastic
force with α = 1 on the worker's side and 1/p on the center's. The outer optimizer is linear in the
workers' mean x̄. So each worker pushes a p-th of what it would do if its own x were x̄: the sum
moves x̃ as the outer optimizer does. What that remembers every worker knows from x̃ before and
after. A center only adds, wherever it lives.

================ ============================ ================================================
method           gradient at                  x̃ moves, once all p have pushed
================ ============================ ================================================
`local_sgd`      x, x̃ at the round's start    to x̄
`slowmo`         the same                     −aηu,  u ← βu + (x̃ − x̄)/η
`diloco`         the same                     −a(Δ + μv),  v ← μv + Δ,  Δ = x̃ − x̄
`async_diloco`   the same                     the same for each push: Δ = x̃ then − x now
`allreduce_sgd`  x̃                            −ηg, g the workers' mean gradient
`allreduce_msgd` x̃ + δv                       v ← δv − ηg
================ ============================ ================================================

Where δ > 0 the local steps have Nesterov's momentum, and see x + δv.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from easgd_lib.method import rules
from easgd_lib.method.center import Pull, Push, ServerOptimizer, State
from easgd_lib.method.sequential import MSGD, SGD, Gradient, Step

if TYPE_CHECKING:
    from easgd_lib.method.settings import Settings

TOGETHER: tuple[str, ...] = ("synchronous",)


class LocalSGD(MSGD):
    """Each worker steps on its own; every τ steps all go on from their mean.

    Stich 2019, arXiv:1805.09767. Local steps are MSGD's (δ = 0: SGD); v stays with the worker.

    >>> from easgd_lib.method.settings import Settings
    >>> next(LocalSGD(1.0, Settings("local_sgd", workers=2)).step())
    Push(change=0.0)
    """

    options: ClassVar[set[str]] = {"tau", "delta"}
    defaults: ClassVar[dict[str, Any]] = {"delta": 0.0}
    exchange: tuple[type, ...] = (Push, Pull)
    orders = TOGETHER
    moves_first = True

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.center = x  # as last pulled

    def outer(self, mean):
        """Where x̃ goes if this is the workers' mean."""
        return mean

    def moved(self, center):
        """x̃ has moved: what the outer optimizer remembers of it."""

    def local_step(self) -> Step:
        """One step of this worker alone."""
        return super().step()

    def step(self) -> Step:
        if self.exchange_is_due:
            p = self.settings.workers
            yield Push(rules.share_of_mean(self.outer(self.x), self.center, p))
            center = rules.restart(self.x, (yield Pull()))
            if self.t:  # at the start nothing was pushed
                self.moved(center)
            self.x = self.center = center
        yield from self.local_step()


class SlowMo(LocalSGD):
    """Local SGD whose mean is a step of momentum. Also BMUF, with a = ζ and β = its μ.

    Wang et al. 2020, arXiv:1910.00643, Algorithm 1, the local velocities kept.
    """

    options: ClassVar[set[str]] = LocalSGD.options | {"outer_rate", "outer_momentum"}
    defaults: ClassVar[dict[str, Any]] = {"delta": 0.0, "outer_rate": 1.0, "outer_momentum": 0.5}

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.slow = rules.zeros_like(x)
        self.last_eta: Any = self.eta  # of the round's last step

    def outer(self, mean):
        s = self.settings
        return rules.slowmo_step(
            self.center, mean, self.slow, self.last_eta, s.outer_rate, s.outer_momentum
        )

    def moved(self, center):
        self.slow = rules.slowmo_momentum(
            self.center, center, self.last_eta, self.settings.outer_rate
        )

    def local_step(self) -> Step:
        self.last_eta = self.eta
        return super().local_step()


class DiLoCo(SlowMo):
    """Local steps, and Nesterov's momentum on what they moved: few messages, long periods.

    Douillard et al. 2023, arXiv:2311.08105. Its inner optimizer is AdamW; here it is SGD, or
    MSGD where δ > 0. With an outer rate of 1 and no outer momentum it is local SGD.
    """

    defaults: ClassVar[dict[str, Any]] = {"delta": 0.0, "outer_rate": 0.7, "outer_momentum": 0.9}
    nesterov = True

    def outer(self, mean):
        s = self.settings
        center, _ = rules.outer_nesterov(
            self.center, mean, self.slow, s.outer_rate, s.outer_momentum
        )
        return center

    def moved(self, center):
        s = self.settings
        self.slow = rules.outer_momentum(
            self.center, center, self.slow, s.outer_rate, s.outer_momentum
        )


class AsyncDiLoCo(LocalSGD):
    """DiLoCo without waiting: each push is an outer step of its own, whatever x̃ is by then.

    The plain form (Liu et al. 2024, arXiv:2401.09135): Δ is x̃ as this worker last pulled it,
    less its x. With an outer rate of 1 and no outer momentum it is DOWNPOUR.
    """

    options: ClassVar[set[str]] = DiLoCo.options
    defaults: ClassVar[dict[str, Any]] = DiLoCo.defaults
    nesterov = True
    orders = SGD.orders

    @classmethod
    def server_optimizer(cls, settings: Settings) -> ServerOptimizer:
        def absorb(state: State, change, t: int) -> State:
            center, momentum = state
            return rules.outer_nesterov(
                center, center + change, momentum, settings.outer_rate, settings.outer_momentum
            )

        return ServerOptimizer(begin=lambda start: (start, rules.zeros_like(start)), absorb=absorb)

    def step(self) -> Step:
        if self.exchange_is_due:
            yield Push(self.x - self.center)
            self.x = self.center = rules.restart(self.x, (yield Pull()))
        yield from self.local_step()


class AllreduceSGD(SGD):
    """Synchronous data-parallel SGD: every step, all see the mean of all gradients.

    One SGD step on a batch p times as large; what PyTorch's DistributedDataParallel does.
    """

    options: ClassVar[set[str]] = {"tau"}
    defaults: ClassVar[dict[str, Any]] = {"tau": 1}
    exchange: tuple[type, ...] = (Pull, Push)
    atomic = False
    orders = TOGETHER
    every_step = moves_first = True

    def step(self) -> Step:
        if self.exchange_is_due:
            self.x = rules.restart(self.x, (yield Pull()))
        gradient = yield Gradient(self.point)
        yield Push(-self.eta * gradient / self.settings.workers)
        self.t += 1


class AllreduceMSGD(AllreduceSGD, MSGD):
    """The same with Nesterov's momentum: v is how far x̃ has moved, and the same for all."""

    options: ClassVar[set[str]] = AllreduceSGD.options | MSGD.options

    def step(self) -> Step:
        if self.exchange_is_due:
            center = rules.restart(self.x, (yield Pull()))
            if self.t:
                self.velocity = center - self.x
            self.x = center
        gradient = yield Gradient(self.point)
        moved = rules.nesterov_velocity(self.velocity, gradient, self.eta, self.settings.delta)
        yield Push(moved / self.settings.workers)
        self.t += 1
