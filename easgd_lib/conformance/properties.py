"""What every correct elastic method must do, as checks that one can run on one's own.

Each check moves a method on a quadratic and returns how far it is from what must hold:
rounding error (below `TOLERANCE`) if it is right. Between them they find every rule in
`mistakes.py`.
"""

from collections.abc import Callable

import numpy as np

from easgd_lib.learning.objectives import Quadratic
from easgd_lib.method.algorithms import EASGD, MSGD, SGD
from easgd_lib.method.settings import Settings
from easgd_lib.simulation.simulate import trajectory

TOLERANCE = 1e-9
ROUNDS = 40


def _settings(method: type[SGD], **more) -> Settings:
    name = "eamsgd" if issubclass(method, MSGD) else "easgd"
    return Settings(name, **{"workers": 4, "eta": 0.1, "alpha": 0.2, "tau": 2} | more)


def _follow(method: type[SGD], settings: Settings, start, objective, order="synchronous"):
    return trajectory(settings, objective, start, ROUNDS, order, method=method)


def _start(p: int = 4) -> np.ndarray:
    return np.linspace(1.0, 2.0, p * 3).reshape(p, 3) ** 3


def agreement_is_rest(method: type[SGD]) -> float:
    """Where all x^i = x̃ and no gradient pulls, nothing moves. Found: by how much it does."""
    path = _follow(method, _settings(method), 7.0, Quadratic(h=0))
    return float(abs(path.workers - 7).max() + abs(path.center - 7).max())


def sum_is_conserved(method: type[SGD]) -> float:
    """Without gradients x̃ + Σ x^i never changes. Found: its largest change.

    One worker after another: all together, from a center in their midst, hides slips.
    """
    path = _follow(method, _settings(method), _start(), Quadratic(h=0), "round_robin")
    total = path.center + path.workers.sum(1)
    return float(abs(total - total[0]).max())


def no_force_is_no_contact(method: type[SGD]) -> float:
    """α = 0 is p independent runs of the local method. Found: the largest difference."""
    settings = _settings(method, alpha=0.0)
    path = _follow(method, settings, _start(), Quadratic(1.0, 0.5))
    local = "sgd" if settings.delta is None else "msgd"
    alone = Settings(local, eta=settings.eta, delta=settings.delta)
    first = trajectory(alone, Quadratic(1.0, 0.5), _start()[:1], ROUNDS, "synchronous")
    return float(abs(path.workers[:, 0] - first.workers[:, 0]).max())


def no_momentum_is_easgd(method: type[SGD]) -> float:
    """δ = 0 makes EAMSGD EASGD. Found: the largest difference (a method without δ: 0)."""
    if not issubclass(method, MSGD):
        return 0.0
    settings = _settings(method, delta=0.0)
    path = _follow(method, settings, _start(), Quadratic(1.0, 0.5))
    plain = _follow(EASGD, _settings(EASGD), _start(), Quadratic(1.0, 0.5))
    return float(abs(path.workers - plain.workers).max())


def one_worker_is_the_closed_form(method: type[SGD]) -> float:
    """p = 1, τ = 1 on x²/2 is a fixed matrix on (x, v, x̃). Found: the largest difference."""
    settings = _settings(method, workers=1, tau=1)
    eta, alpha, delta = settings.eta, settings.alpha, settings.delta or 0.0
    kick = np.array([-eta, delta * (1 - eta), 0])  # v' = δv − η(x + δv)
    matrix = np.array([np.array([1 - alpha, 0, alpha]) + kick, kick, [alpha, 0, 1 - alpha]])
    path = _follow(method, settings, 1.0, Quadratic(h=1.0))
    state, worst = np.array([1.0, 0.0, 1.0]), 0.0
    for x, center in zip(path.workers[:, 0, 0], path.center[:, 0], strict=True):
        worst = max(worst, abs(x - state[0]), abs(center - state[2]))
        state = matrix @ state
    return float(worst)


PROPERTIES: dict[str, Callable[[type[SGD]], float]] = {
    check.__name__.replace("_", " "): check
    for check in (
        agreement_is_rest,
        sum_is_conserved,
        no_force_is_no_contact,
        no_momentum_is_easgd,
        one_worker_is_the_closed_form,
    )
}


def examine(method: type[SGD]) -> dict[str, bool]:
    """Which properties an elastic method has, by name.

    >>> from easgd_lib import mistakes, properties
    >>> properties.examine(mistakes.TwoRates)["sum is conserved"]
    False
    """
    return {name: check(method) < TOLERANCE for name, check in PROPERTIES.items()}
