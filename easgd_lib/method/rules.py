"""The update rules, as the papers write them.

Every function is pure: it takes vectors and numbers, returns new vectors, and
knows no worker, no network and no message. A vector is anything with array
arithmetic: a NumPy array, a torch tensor, a plain float. Shapes broadcast, so a
rule applied to all workers at once, ``x`` of shape (p, d), is the same rule.

Equation numbers without a name are the KTH report's (Vicente and Lindé, 2024);
"paper (5)" is Zhang, Choromanska and LeCun, *Deep learning with Elastic
Averaging SGD*, NeurIPS 2015, arXiv:1412.6651.
"""

from typing import Any

import numpy as np

Vector = Any  # whatever adds and scales like one


def zeros_like(x: Vector) -> Vector:
    """The zero vector of x's shape and kind.

    >>> zeros_like(np.ones((2, 1))).tolist()
    [[0.0], [0.0]]
    """
    return x.new_zeros(x.shape) if hasattr(x, "new_zeros") else np.zeros_like(x)


def learning_rate(eta: float, gamma: float, t: int) -> float:
    """η_t = η / (1 + γt)^½, t the worker's own step; γ = 0 is no decay (paper section 9.6).

    >>> [learning_rate(0.8, 3, t) for t in (0, 1, 5)]
    [0.8, 0.4, 0.2]
    """
    return eta / (1 + gamma * t) ** 0.5


def sgd_step(x: Vector, gradient: Vector, eta: float) -> Vector:
    """Eq. (3): x ← x − η g(x).

    Vectors and result: (d,) or (p, d).

    >>> sgd_step(1.0, 1.0, 0.5)
    0.5
    """
    return x - eta * gradient


def look_ahead(x: Vector, velocity: Vector, delta: float) -> Vector:
    """Where Nesterov's momentum takes its gradient: x + δv, *along* the velocity.

    Vectors and result: (d,) or (p, d).

    >>> look_ahead(1.0, -0.5, 0.5)
    0.75
    """
    moved = delta * velocity
    moved += x  # in its own memory: another vector would cost more than the arithmetic
    return moved


def nesterov_velocity(velocity: Vector, gradient: Vector, eta: float, delta: float) -> Vector:
    """v ← δv − η g(x + δv); `gradient` was taken at the look-ahead (paper Algorithm 2).

    Vectors and result: (d,) or (p, d).

    >>> nesterov_velocity(-0.5, 0.75, 0.5, 0.5)
    -0.625
    """
    moved = delta * velocity
    moved -= eta * gradient
    return moved


def msgd_step(x: Vector, velocity: Vector) -> Vector:
    """x ← x + v, momentum SGD in Sutskever's form (paper section 5).

    Vectors and result: (d,) or (p, d).

    >>> msgd_step(1.0, -0.625)
    0.375
    """
    return x + velocity


def elastic_force(x: Vector, center: Vector, alpha: float) -> Vector:
    """α(x^i − x̃): what one exchange moves, computed once, from one pair.

    The worker subtracts this very vector and the center adds it (eqs. (7) and
    (8); lines a and b of Figure 1), so x̃ + Σ x^i is conserved: elastic symmetry.
    x and the force: (d,) or (p, d); center: (d,).

    >>> elastic_force(3.0, 1.0, 0.25)
    0.5
    """
    force = x - center
    force *= alpha  # in its own memory: another vector would cost more than the arithmetic
    return force


def elastic_exchange(x: Vector, center: Vector, alpha: float) -> tuple[Vector, Vector]:
    """Lines a and b of Figure 1 (paper Algorithm 1): both sides move, from the old pair.

    One worker and the center, old and new: (d,).

    >>> elastic_exchange(3.0, 1.0, 0.25)  # x + x̃ stays 4
    (2.5, 1.5)
    """
    force = elastic_force(x, center, alpha)
    return x - force, center + force


def _less(moved: Vector, force: Vector) -> Vector:
    """`moved`, written over, less the force; between exchanges that is the number 0."""
    if not (isinstance(force, float) and force == 0):
        moved -= force
    return moved


def easgd_step(x: Vector, gradient: Vector, force: Vector, eta: float) -> Vector:
    """Eq. (7), paper (5), and the last line of Figure 1: x ← x − η g(x) − α(x − x̃).

    `gradient` and `force` both belong to the saved x, the one before the exchange.
    Vectors and result: (d,) or (p, d).

    >>> easgd_step(3.0, 3.0, 0.5, 0.5)
    1.0
    """
    return _less(x - eta * gradient, force)


def eamsgd_step(x: Vector, velocity: Vector, force: Vector) -> Vector:
    """x ← x + v − α(x − x̃) (paper (7), Algorithm 2). The elastic force never enters v.

    Vectors and result: (d,) or (p, d).

    >>> eamsgd_step(3.0, -1.0, 0.5)
    1.5
    """
    return _less(x + velocity, force)


def synchronous_easgd(
    x: Vector, center: Vector, gradients: Vector, eta: float, alpha: float
) -> tuple[Vector, Vector]:
    """Eqs. (7) and (8), paper (5)-(6): all p workers and the center move at once.

    With α = ηρ and β = pα these are eqs. (5) and (6), paper (3)-(4).

    Parameters
    ----------
    x, gradients : (p, d) arrays
        The workers and the gradients at these same x.
    center : (d,) array

    Returns
    -------
    (p, d) array, (d,) array
        The new workers and the new center, both from the old ones.

    >>> x, center = np.array([[4.0], [0.0]]), np.array([0.0])
    >>> x, center = synchronous_easgd(x, center, 0 * x, 0.5, 0.25)
    >>> x.tolist(), center.tolist()  # x̃ + Σ x^i stays 4
    ([[3.0], [0.0]], [1.0])
    """
    beta = len(x) * alpha
    return (
        x - eta * gradients - alpha * (x - center),
        (1 - beta) * center + beta * x.mean(0),
    )


def restart(x: Vector, center: Vector) -> Vector:
    """x^i ← x̃ (paper Algorithm 3): a vector of the worker's own, in the worker's shape.

    x and result: (d,) or (p, d); center: (d,).

    >>> restart(np.ones((2, 1)), np.array([5.0])).tolist()
    [[5.0], [5.0]]
    """
    return zeros_like(x) + center


def mdownpour_server(
    center: Vector, velocity: Vector, change: Vector, delta: float
) -> tuple[Vector, Vector]:
    """Paper Algorithm 5, the server of momentum DOWNPOUR; `change` is a worker's −ηg(x̃).

    v ← δv − ηg;  x̃ ← x̃ + δv − ηg.

    Printed is x̃ ← x̃ + δv. That must be a misprint: with δ = 0 such a server never
    moves. With −ηg, x̃ is the look-ahead point x + δv of Nesterov's momentum,
    where Algorithm 4's workers are meant to take their gradients.
    Vectors and results, the new x̃ and v: (d,).

    >>> mdownpour_server(1.0, 0.0, -0.5, 0.0)  # as printed, x̃ would stay 1
    (0.5, -0.5)
    """
    velocity = delta * velocity + change
    return center + delta * velocity + change, velocity


def moving_average(average: Vector, x: Vector, rate: float) -> Vector:
    """z ← (1 − a)z + a x (paper section 5): only what is evaluated changes, never the run.

    Vectors and result: (d,).

    >>> moving_average(0.0, 1.0, 0.25)
    0.25
    """
    return (1 - rate) * average + rate * x


def uniform_rate(t: int) -> float:
    """a = 1/(t + 1): z is then the mean of x_0 … x_t (ASGD, ADOWNPOUR).

    >>> moving_average(1.0, 3.0, uniform_rate(1))  # the mean of 1 and 3
    2.0
    """
    return 1 / (t + 1)


def share_of_mean(x: Vector, center: Vector, p: int) -> Vector:
    """(x^i − x̃)/p: what p workers push that together move x̃ to their mean (local SGD).

    Stich 2019, arXiv:1805.09767, Algorithm 1: x ← (1/p) Σ x^i at every τ-th step.
    Vectors and result: (d,) or (p, d).

    >>> 1.0 + sum(share_of_mean(x, 1.0, 2) for x in (2.0, 4.0))
    3.0
    """
    return (x - center) / p


def slowmo_step(
    center: Vector, mean: Vector, momentum: Vector, eta: float, rate: float, slow: float
) -> Vector:
    """u ← βu + (x̃ − x̄)/η;  x̃ ← x̃ − a η u, x̄ the workers' mean. Returns x̃; linear in x̄.

    Wang et al. 2020 (SlowMo, arXiv:1910.00643), Algorithm 1: their α is the outer rate a, their
    γ is η, and β the outer momentum. With a = 1 and β = 0 it is local SGD.
    Vectors and result: (d,) or (p, d).

    >>> slowmo_step(1.0, 0.5, 0.0, 0.5, 1.0, 0.0), slowmo_step(1.0, 0.5, 1.0, 0.5, 1.0, 0.5)
    (0.5, 0.25)
    """
    return center - rate * (eta * slow * momentum + (center - mean))


def slowmo_momentum(before: Vector, after: Vector, eta: float, rate: float) -> Vector:
    """The u of the step that moved x̃ so: (x̃ − x̃')/(aη). Every worker knows both.

    Vectors and result: (d,) or (p, d).

    >>> slowmo_momentum(1.0, 0.25, 0.5, 1.0)
    1.5
    """
    return (before - after) / (rate * eta)


def outer_nesterov(
    center: Vector, mean: Vector, momentum: Vector, rate: float, outer: float
) -> tuple[Vector, Vector]:
    """Δ = x̃ − x̄;  v ← μv + Δ;  x̃ ← x̃ − a(Δ + μv), x̄ the workers' mean. Returns x̃ and v.

    Douillard et al. 2023 (DiLoCo, arXiv:2311.08105), Algorithm 1: Δ is the outer gradient, and
    the outer optimizer Nesterov's as PyTorch has it, a the outer rate and μ the outer momentum.
    Vectors and results: (d,) or (p, d).

    >>> outer_nesterov(1.0, 0.5, 0.0, 1.0, 0.5)
    (0.25, 0.5)
    """
    drift = center - mean
    momentum = outer * momentum + drift
    return center - rate * (drift + outer * momentum), momentum


def outer_momentum(
    before: Vector, after: Vector, momentum: Vector, rate: float, outer: float
) -> Vector:
    """The new v of the `outer_nesterov` that moved x̃ so. Every worker knows both.

    From (x̃ − x̃')/a = Δ + μv' and v' = μv + Δ follows v' = ((x̃ − x̃')/a + μv)/(1 + μ).
    Vectors and result: (d,) or (p, d).

    >>> outer_momentum(1.0, 0.25, 0.0, 1.0, 0.5)
    0.5
    """
    return ((before - after) / rate + outer * momentum) / (1 + outer)


def admm_multiplier(multiplier: Vector, x: Vector, center: Vector) -> Vector:
    """Paper (8)-(11), first: λ ← λ − (x − x̃), the multiplier λ in units of ρ.

    x, multiplier and result: (d,) or (p, d); center: (d,).

    >>> admm_multiplier(0.0, 3.0, 1.0)
    -2.0
    """
    return multiplier - (x - center)


def admm_step(
    x: Vector, gradient: Vector, multiplier: Vector, center: Vector, eta: float, rho: float
) -> Vector:
    """Paper (8)-(11), second: x ← [x − ηg(x) + ηρ(λ + x̃)] / (1 + ηρ), λ the new one.

    x, gradient, multiplier and result: (d,) or (p, d); center: (d,).

    >>> admm_step(3.0, 3.0, -2.0, 1.0, 0.5, 2.0)
    0.25
    """
    return (x - eta * gradient + eta * rho * (multiplier + center)) / (1 + eta * rho)


def admm_center(x: Vector, multipliers: Vector) -> Vector:
    """Paper (8)-(11), third: x̃ ← mean of x^j − λ^j over all p workers, (p, d) to (d,).

    >>> admm_center(np.array([[3.0], [1.0]]), np.array([[-2.0], [0.0]])).tolist()
    [3.0]
    """
    return (x - multipliers).mean(0)
