"""When does it blow up? Round-robin ADMM and EASGD, synchronous EASGD: radii, limits."""

from collections.abc import Callable

import numpy as np

from easgd_lib.theory.arrays import Number, identities, matrices, require, spectral_radius


def admm_worker_map(worker: int, p: int, eta: Number, rho: Number) -> np.ndarray:
    """One turn of one worker in round-robin ADMM on x²/2: F₃F₂F₁ of section 4.

    F₁, (9): λ ← λ − (x − x̃);  F₂, (10): x ← [x − ηx + ηρ(λ + x̃)]/(1 + ηρ);
    F₃, (11): x̃ ← mean of x^j − λ^j over all workers. λ is scaled by ρ.

    Parameters
    ----------
    worker : int
        Whose turn, 0 … p − 1.
    p : int
    eta, rho : float or array (…)

    Returns
    -------
    (…, 2p + 1, 2p + 1) array
        Acts on the state (λ¹, x¹, …, λᵖ, xᵖ, x̃).

    Raises
    ------
    ValueError
        There is no such worker.

    >>> admm_worker_map(0, 1, 0.5, 2.0).tolist()
    [[1.0, -1.0, 1.0], [0.5, -0.25, 1.0], [-0.5, 0.75, 0.0]]
    """
    require(0 <= worker < p, f"no worker {worker} among p = {p} (they count from 0)")
    multiplier, x, center = 2 * worker, 2 * worker + 1, 2 * p
    f1, f2, f3 = (identities(2 * p + 1, eta, rho) for _ in range(3))
    f1[..., multiplier, x] = -1
    f1[..., multiplier, center] = 1
    f2[..., x, multiplier] = f2[..., x, center] = eta * rho / (1 + eta * rho)
    f2[..., x, x] = (1 - eta) / (1 + eta * rho)
    f3[..., center, 0:center:2] = -1 / p
    f3[..., center, 1:center:2] = 1 / p
    f3[..., center, center] = 0
    return f3 @ f2 @ f1


def _one_round(worker_map: Callable, p: int, *rates: Number) -> np.ndarray:
    """The turns of all p workers, one after another, as one map."""
    turns = worker_map(0, p, *rates)
    for worker in range(1, p):
        turns = worker_map(worker, p, *rates) @ turns
    return turns


def admm_round_map(p: int, eta: Number, rho: Number) -> np.ndarray:
    """One round of ADMM on x²/2, each of the p workers once: (…, 2p + 1, 2p + 1) (section 4).

    >>> admm_round_map(3, 0.001, 2.5).shape
    (7, 7)
    """
    return _one_round(admm_worker_map, p, eta, rho)


def admm_round_robin_radius(p: int, eta: Number, rho: Number) -> Number:
    """Spectral radius of one round of ADMM on x²/2: the color of the paper's Figure 1.

    Each worker's own map has radius 1, yet the round can have more. More than 1 explodes.

    Parameters
    ----------
    p : int
    eta, rho : float or array (…)

    Returns
    -------
    float or array (…)
        The factor per round of p turns.

    Raises
    ------
    ValueError
        p < 1.

    >>> [round(float(admm_round_robin_radius(p, 0.001, 2.5)), 4) for p in (1, 3, 8)]
    [0.999, 1.001, 1.0023]
    """
    require(p >= 1, f"p must be at least 1: {p}")
    return spectral_radius(admm_round_map(p, eta, rho))


def easgd_worker_map(worker: int, p: int, eta: Number, alpha: Number) -> np.ndarray:
    """One turn of one worker in round-robin EASGD on x²/2, (12)-(13).

    x ← x − ηx − α(x − x̃);  x̃ ← x̃ + α(x − x̃), both from the old pair.

    Parameters
    ----------
    worker : int
        Whose turn, 0 … p − 1.
    p : int
    eta, alpha : float or array (…)

    Returns
    -------
    (…, p + 1, p + 1) array
        Symmetric; acts on the state (x¹, …, xᵖ, x̃).

    Raises
    ------
    ValueError
        There is no such worker.

    >>> easgd_worker_map(0, 1, 0.5, 0.25).tolist()
    [[0.25, 0.25], [0.25, 0.75]]
    """
    require(0 <= worker < p, f"no worker {worker} among p = {p} (they count from 0)")
    turn = identities(p + 1, eta, alpha)
    turn[..., worker, worker] = 1 - eta - alpha
    turn[..., worker, p] = turn[..., p, worker] = alpha
    turn[..., p, p] = 1 - alpha
    return turn


def easgd_round_map(p: int, eta: Number, alpha: Number) -> np.ndarray:
    """One round of EASGD on x²/2, each of the p workers once: (…, p + 1, p + 1) (section 4).

    >>> easgd_round_map(2, 0.5, 0.25)[-1].tolist()  # what x¹, x² and x̃ give the new x̃
    [0.1875, 0.25, 0.5625]
    """
    return _one_round(easgd_worker_map, p, eta, alpha)


def easgd_round_robin_radius(p: int, eta: Number, alpha: Number) -> Number:
    """Spectral radius of one round of EASGD on x²/2 (section 4).

    Parameters
    ----------
    p : int
    eta, alpha : float or array (…)

    Returns
    -------
    float or array (…)
        The factor per round of p turns.

    Raises
    ------
    ValueError
        p < 1.

    >>> [round(float(easgd_round_robin_radius(p, 0.001, 0.0025)), 4) for p in (1, 3, 8)]
    [0.9995, 0.9993, 0.9991]
    """
    require(p >= 1, f"p must be at least 1: {p}")
    return spectral_radius(easgd_round_map(p, eta, alpha))


def easgd_round_robin_alpha_limit(eta: Number) -> Number:
    """The largest α of the round-robin region: 0 ≤ η ≤ 2, 0 ≤ α ≤ (4 − 2η)/(4 − η) (section 4).

    It is what one worker's map needs, so it does not depend on p. That map is symmetric,
    so a product of stable ones is stable: for the round the region is sufficient,
    not necessary. Not a number where η leaves [0, 2]: there no α is stable. Float or array (…).

    >>> [round(float(easgd_round_robin_alpha_limit(eta)), 3) for eta in (0, 1, 2)]
    [1.0, 0.667, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.divide(4 - 2 * eta, 4 - eta)
    return np.where((eta >= 0) & (eta <= 2), limit, np.nan)[()]


def pair_map(
    eta: Number, alpha: Number, beta: Number, h: Number = 1.0, update: str = "jacobi"
) -> np.ndarray:
    """One synchronous step of the pair (mean of the workers, center), noise left out.

    The reduced system of section 7. α and β need not be tied by β = pα here.

    Parameters
    ----------
    eta, alpha, beta, h : float or array (…)
    update : {"jacobi", "gauss_seidel", "step_first"}
        "jacobi" (the paper): both sides move from the old pair.
        "gauss_seidel": the workers are pulled to the center that has already moved.
        "step_first": the gradient step comes first, and the exchange uses its result.

    Returns
    -------
    (…, 2, 2) array

    Raises
    ------
    ValueError
        An unknown update.

    >>> pair_map(0.5, 0.25, 0.5).tolist()
    [[0.25, 0.25], [0.5, 0.5]]
    """
    step = 1 - eta * h
    if update == "jacobi":
        return matrices([[step - alpha, alpha], [beta, 1 - beta]])
    if update == "gauss_seidel":
        pulled = [step - alpha + alpha * beta, alpha * (1 - beta)]
        return matrices([pulled, [beta, 1 - beta]])
    if update == "step_first":
        return matrices([[step * (1 - alpha), alpha], [step * beta, 1 - beta]])
    raise ValueError(f"unknown update {update!r}; choose from jacobi, gauss_seidel, step_first")


def difference_factor(
    eta: Number, alpha: Number, h: Number = 1.0, update: str = "jacobi"
) -> Number:
    """What one synchronous step multiplies x^i − x^j by, the noise left out.

    1 − ηh − α, or (1 − ηh)(1 − α) where the gradient step comes first; beyond ±1 the
    workers fly apart, whatever their mean does. Float or array (…); `update` as in `pair_map`.

    >>> difference_factor(0.5, 0.25), difference_factor(0.5, 0.25, update="step_first")
    (0.25, 0.375)
    """
    return (1 - eta * h) * (1 - alpha) if update == "step_first" else 1 - eta * h - alpha


def synchronous_radius(
    p: Number, eta: Number, alpha: Number, h: Number = 1.0, update: str = "jacobi"
) -> Number:
    """Spectral radius of synchronous EASGD's map on (x¹, …, xᵖ, x̃), β = pα.

    That map is `pair_map` on the mean and the center, and `difference_factor` on the rest.

    Parameters
    ----------
    p, eta, alpha, h : float or array (…)
    update : {"jacobi", "gauss_seidel", "step_first"}
        See `pair_map`.

    Returns
    -------
    float or array (…)
        The factor per step.

    Raises
    ------
    ValueError
        p < 1, or an unknown update.

    >>> round(float(synchronous_radius(3, 1.0, 0.25)), 3)
    0.5
    """
    require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    pair = spectral_radius(pair_map(eta, alpha, p * alpha, h, update))
    differences = np.abs(difference_factor(eta, alpha, h, update))
    return np.maximum(pair, differences * (p > 1))  # one worker has no other to differ from


def synchronous_stable(p: Number, eta: Number, alpha: Number, h: Number = 1.0) -> Number:
    """Condition 17, −1 < φ < γ < 1: the synchronous rule forgets its start. Boolean.

    η > 0, α > 0, (2 − ηh)(2 − β) > 2β/p and (2 − ηh) + (2 − β) > β/p, where β = pα and h > 0.
    Arguments and result: numbers or arrays (…).

    >>> [synchronous_stable(1, 1.0, alpha) for alpha in (0.66, 0.67)]  # the limit is 2/3
    [True, False]
    """
    beta = p * alpha
    return (
        (eta * h > 0)
        & (alpha > 0)
        & ((2 - eta * h) * (2 - beta) > 2 * beta / p)
        & ((2 - eta * h) + (2 - beta) > beta / p)
    )


def synchronous_alpha_limit(p: Number, eta: Number, h: Number = 1.0) -> Number:
    """Condition 17 solved for α: stable below 2(2 − ηh)/(2 + p(2 − ηh)).

    2/(p + 1) as ηh → 0. Not a number where ηh leaves [0, 2): there no α is stable.
    Arguments and result: float or array (…).

    >>> round(float(synchronous_alpha_limit(4, 0.0)), 3)
    0.4
    """
    rest = 2 - eta * h
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.divide(2 * rest, 2 + p * rest)
    return np.where((rest > 0) & (rest <= 2), limit, np.nan)[()]


def synchronous_beta_limit(p: Number, eta: Number, h: Number = 1.0) -> Number:
    """Condition 17 solved for β = pα: 2p/(p + 1) as ηh → 0, 2p/(p + 2) at ηh = 1.

    Arguments and result: float or array (…).

    >>> [round(float(synchronous_beta_limit(4, eta)), 3) for eta in (0, 1)]
    [1.6, 1.333]
    """
    return p * synchronous_alpha_limit(p, eta, h)


def background_alpha_limit(p: Number, eta: Number, tau: Number, h: Number = 1.0) -> Number:
    """Condition 17 for exchanges that go on while the workers take their next τ steps.

    The force comes after these steps, which multiply x by (1 − ηh)^τ: it is a single step with
    that factor. At τ = 1 nothing is different; as τ grows the limit falls, to 2/(p + 2).
    Arguments and result: float or array (…).

    >>> [round(float(background_alpha_limit(4, 0.1, tau)), 3) for tau in (1, 10, 1000)]
    [0.396, 0.365, 0.333]
    """
    return synchronous_alpha_limit(p, 1 - (1 - eta * h) ** tau)
