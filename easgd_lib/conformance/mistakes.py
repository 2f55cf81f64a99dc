"""Wrong on purpose: rules found in public implementations, rebuilt from their descriptions.

For lessons and tests only: none of them can be named in `Settings`. Each runs wherever a
method does, ``simulate.trajectory(…, method=mistakes.SummedWorkers)``, and `properties.py`
has a check that finds it. Two more are the variants "step_first" and "gauss_seidel".
"""

from easgd_lib.method import rules
from easgd_lib.method.algorithms import EAMSGD, EASGD, Gradient, Step
from easgd_lib.method.center import Pull, Push
from easgd_lib.method.settings import Settings


class SummedWorkers(EASGD):
    """mpi_learn, synchronous mode: the sum of all workers is used as if it were one worker.

    x̃ ← x̃ + α(Σ x^i − x̃): the center is drawn to p times where it should be.
    """

    def force(self):
        center = yield Pull()
        share = center / self.settings.workers
        yield Push(rules.elastic_force(self.x, share, self.settings.alpha))
        return rules.elastic_force(self.x, center, self.settings.alpha)


class DoubleForce(EASGD):
    """TensorFlow's contrib optimizer: the force acts in the exchange *and* in every gradient.

    The loss gets ρ/2 ‖x − x̃‖² with the x̃ last seen, on top of the exchange.
    """

    def __init__(self, x, settings: Settings):
        super().__init__(x, settings)
        self.cached = x

    def force(self):
        self.cached = yield Pull()
        force = rules.elastic_force(self.x, self.cached, self.settings.alpha)
        yield Push(force)
        return force

    def step(self) -> Step:
        saved = self.x
        yield from super().step()
        self.x = self.x - rules.elastic_force(saved, self.cached, self.settings.alpha)


class TwoRates(EASGD):
    """H2O and others: the center is a slow running mean, with a rate of its own.

    The worker is pulled by α, the center follows by α/10: no elastic symmetry.
    """

    def force(self):
        center = yield Pull()
        force = rules.elastic_force(self.x, center, self.settings.alpha)
        yield Push(force / 10)
        return force


class OverwrittenByValidation(EASGD):
    """Theano-MPI: to validate, a worker loads the center into itself, and goes on from there."""

    EVERY = 20  # steps between two validations, here always at an exchange

    def force(self):
        center = yield Pull()
        if self.t and self.t % self.EVERY == 0:
            self.x = rules.restart(self.x, center)
        force = rules.elastic_force(self.x, center, self.settings.alpha)
        yield Push(force)
        return force


class LookBack(EAMSGD):
    """dist-keras: the look-ahead goes against the velocity, and the step is η times η."""

    def look_ahead(self):
        return rules.look_ahead(self.x, -self.velocity, self.settings.delta)

    def accelerate(self, gradient):
        return super().accelerate(self.eta * gradient)


class ForceInVelocity(EAMSGD):
    """EASGD as a penalty under another optimizer's momentum: the force is remembered for ever."""

    def step(self) -> Step:
        force = (yield from self.force()) if self.exchange_is_due else 0.0
        gradient = yield Gradient(self.point)
        self.x = self.x + self.accelerate(gradient + force / self.eta)
        self.t += 1
