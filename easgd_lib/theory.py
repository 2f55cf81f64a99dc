"""Closed forms: what α, τ, p and δ will do, known before anything is run.

Every function takes plain numbers and, unless it says otherwise, NumPy arrays that
broadcast: a heat map is one call. The workers minimise a quadratic h x²/2 (or, in the last
two sections, multiplicative noise and the double well); only the product ηh matters for
stability, so where h is not an argument it is 1. Nothing here draws a random number.

Equation, lemma and condition numbers are those of the paper (Zhang, Choromanska and LeCun,
NeurIPS 2015, arXiv:1412.6651v8). "Thesis" is Zhang, NYU 2016, arXiv:1605.02216; of it only
the abstract was at hand, so what is marked so was derived here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from easgd_lib.errors import SettingsError

Number = Any  # a float, or an array that broadcasts with the others


def _require(condition: Number, message: str):
    if not np.all(condition):
        raise SettingsError(message)


def _matrices(rows: list[list[Number]]) -> np.ndarray:
    """Matrices (…, m, n) of m rows of n entries that broadcast to the shape (…)."""
    entries = np.broadcast_arrays(*[np.asarray(entry, float) for row in rows for entry in row])
    return np.stack(entries, -1).reshape(*entries[0].shape, len(rows), len(rows[0]))


def _identities(size: int, *numbers: Number) -> np.ndarray:
    """A writable identity matrix (…, size, size) for each of the broadcast `numbers`."""
    shape = np.broadcast_shapes(*[np.shape(number) for number in numbers])
    return np.tile(np.eye(size), (*shape, 1, 1))


def spectral_radius(matrix: np.ndarray) -> Number:
    """max |eigenvalue| of matrices (…, n, n): the factor per application, in the long run."""
    return np.abs(np.linalg.eigvals(matrix)).max(-1)


# When does it blow up?


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
    SettingsError
        There is no such worker.
    """
    _require(0 <= worker < p, f"no worker {worker} among p = {p} (they count from 0)")
    multiplier, x, center = 2 * worker, 2 * worker + 1, 2 * p
    f1, f2, f3 = (_identities(2 * p + 1, eta, rho) for _ in range(3))
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
    """One round of ADMM on x²/2, each of the p workers once: (…, 2p + 1, 2p + 1) (section 4)."""
    return _one_round(admm_worker_map, p, eta, rho)


def admm_round_robin_radius(p: int, eta: Number, rho: Number) -> Number:
    """Spectral radius of one round of ADMM on x²/2: the colour of the paper's Figure 1.

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
    SettingsError
        p < 1.
    """
    _require(p >= 1, f"p must be at least 1: {p}")
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
    SettingsError
        There is no such worker.
    """
    _require(0 <= worker < p, f"no worker {worker} among p = {p} (they count from 0)")
    turn = _identities(p + 1, eta, alpha)
    turn[..., worker, worker] = 1 - eta - alpha
    turn[..., worker, p] = turn[..., p, worker] = alpha
    turn[..., p, p] = 1 - alpha
    return turn


def easgd_round_map(p: int, eta: Number, alpha: Number) -> np.ndarray:
    """One round of EASGD on x²/2, each of the p workers once: (…, p + 1, p + 1) (section 4)."""
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
    SettingsError
        p < 1.
    """
    _require(p >= 1, f"p must be at least 1: {p}")
    return spectral_radius(easgd_round_map(p, eta, alpha))


def easgd_round_robin_alpha_limit(eta: Number) -> Number:
    """The largest α of the round-robin region: 0 ≤ η ≤ 2, 0 ≤ α ≤ (4 − 2η)/(4 − η) (section 4).

    It is what one worker's map needs, so it does not depend on p. That map is symmetric,
    so a product of stable ones is stable: for the round the region is sufficient,
    not necessary. Not a number where η leaves [0, 2]: there no α is stable.
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
    SettingsError
        An unknown update.
    """
    step = 1 - eta * h
    if update == "jacobi":
        return _matrices([[step - alpha, alpha], [beta, 1 - beta]])
    if update == "gauss_seidel":
        pulled = [step - alpha + alpha * beta, alpha * (1 - beta)]
        return _matrices([pulled, [beta, 1 - beta]])
    if update == "step_first":
        return _matrices([[step * (1 - alpha), alpha], [step * beta, 1 - beta]])
    raise SettingsError(f"unknown update {update!r}; choose from jacobi, gauss_seidel, step_first")


def difference_factor(
    eta: Number, alpha: Number, h: Number = 1.0, update: str = "jacobi"
) -> Number:
    """What one synchronous step multiplies x^i − x^j by, the noise left out.

    1 − ηh − α, or (1 − ηh)(1 − α) where the gradient step comes first; beyond ±1 the
    workers fly apart, whatever their mean does. `update` as in `pair_map`.
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
    SettingsError
        p < 1, or an unknown update.
    """
    _require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    pair = spectral_radius(pair_map(eta, alpha, p * alpha, h, update))
    differences = np.abs(difference_factor(eta, alpha, h, update))
    return np.maximum(pair, differences * (p > 1))  # one worker differs from nobody


def synchronous_stable(p: Number, eta: Number, alpha: Number, h: Number = 1.0) -> Number:
    """Condition 17, −1 < φ < γ < 1: the synchronous rule forgets its start. Boolean.

    η > 0, α > 0, (2 − ηh)(2 − β) > 2β/p and (2 − ηh) + (2 − β) > β/p, where β = pα and h > 0.
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
    """
    rest = 2 - eta * h
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.divide(2 * rest, 2 + p * rest)
    return np.where((rest > 0) & (rest <= 2), limit, np.nan)[()]


def synchronous_beta_limit(p: Number, eta: Number, h: Number = 1.0) -> Number:
    """Condition 17 solved for β = pα: 2p/(p + 1) as ηh → 0, 2p/(p + 2) at ηh = 1."""
    return p * synchronous_alpha_limit(p, eta, h)


# How noisy is the center?


def center_roots(p: Number, eta: Number, alpha: Number, h: Number = 1.0) -> tuple[Number, Number]:
    """γ and φ of Lemma 7.1, φ ≤ γ: the eigenvalues of `pair_map` with β = pα.

    a = ηh + (p + 1)α, c² = ηhpα; γ, φ = 1 − (a ∓ √(a² − 4c²))/2. They are real for all real
    arguments, and equal only where ηh = α = 0.

    Returns
    -------
    float or array (…), twice
        γ, φ.
    """
    beta = p * alpha
    a = eta * h + beta + alpha
    # a² − 4c², written so that nothing cancels where ηh and β are close and p is large
    discriminant = (eta * h - beta) ** 2 + 2 * alpha * (eta * h + beta) + alpha**2
    root = np.sqrt(discriminant)
    # (a − root)/2 likewise: exactly 0 where ηh = 0, so that γ^∞ is 1 there
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(a > 0, 2 * eta * h * beta / (a + root), (a - root) / 2)
    return 1 - lost[()], 1 - (a + root) / 2


def center_mean(
    t: Number,
    p: Number,
    eta: Number,
    alpha: Number,
    h: Number = 1.0,
    x0: Number = 1.0,
    center0: Number = 1.0,
) -> Number:
    """E[x̃_t − x*] of the synchronous rule, Lemma 7.1.

    γᵗ(x̃₀ − x*) + (γᵗ − φᵗ)/(γ − φ) · αu₀,
    u₀ = Σᵢ [x^i₀ − x* − α/(1 − pα − φ) (x̃₀ − x*)].

    Parameters
    ----------
    t : int or array (…)
        Steps; `numpy.inf` for the limit.
    p, eta, alpha, h : float or array (…)
    x0 : float or (p,) array
        Where the workers start, relative to x*.
    center0 : float
        Where the center starts, relative to x*.

    Returns
    -------
    float or array (…)
        ±inf where it has grown beyond all numbers; inf at t = inf where there is no limit.

    Raises
    ------
    SettingsError
        p < 1, t < 0, or `x0` is neither a number nor one number for each worker.
    """
    _require_moment(t, p)
    x0 = np.asarray(x0, float)
    _require(
        x0.ndim == 0 or (np.ndim(p) == 0 and x0.shape == (p,)),
        f"x0 must be a number or have shape (p,) = ({p},), not {x0.shape}",
    )
    gamma, phi = center_roots(p, eta, alpha, h)
    # α²p/(1 − pα − φ) = γ − 1 + pα, as 1 − pα − φ is a factor of the characteristic polynomial:
    # the lemma's αu₀ without its division, which fails at ηh = α = 0.
    alpha_u0 = p * alpha * (x0.mean() - center0) + (1 - gamma) * center0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = np.where(gamma == phi, t, (gamma**t - phi**t) / (gamma - phi))
        mean = gamma**t * center0 + slope * alpha_u0
    no_limit = np.isinf(t) & ((phi <= -1) | (gamma > 1))
    return np.where(no_limit | np.isnan(mean), np.inf, mean)[()]


def center_variance(
    t: Number,
    p: Number,
    eta: Number,
    alpha: Number,
    h: Number = 1.0,
    sigma: Number = 1.0,
) -> Number:
    """Var[x̃_t] of the synchronous rule from a fixed start, Lemma 7.1.

    p²α²η²/(γ − φ)² · {(γ² − γ²ᵗ)/(1 − γ²) + (φ² − φ²ᵗ)/(1 − φ²) − 2(γφ − (γφ)ᵗ)/(1 − γφ)} · σ²/p

    Parameters
    ----------
    t : int or array (…)
        Steps; `numpy.inf` for the limit.
    p, eta, alpha, h, sigma : float or array (…)
        σ is the standard deviation of one worker's gradient.

    Returns
    -------
    float or array (…)
        inf where the variance grows beyond all numbers; 0 where no noise reaches the center.

    Raises
    ------
    SettingsError
        p < 1, t < 0 or σ < 0.
    """
    _require_moment(t, p)
    _require(np.asarray(sigma) >= 0, f"sigma must be at least 0: {sigma}")
    gamma, phi = center_roots(p, eta, alpha, h)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        powers = (
            _sum_of_powers(gamma**2, t)
            + _sum_of_powers(phi**2, t)
            - 2 * _sum_of_powers(gamma * phi, t)
        )
        variance = (p * alpha * eta / (gamma - phi)) ** 2 * powers * sigma**2 / p
    variance = np.where(np.isnan(variance), np.inf, variance)  # inf − inf: the roots left (−1, 1)
    return np.where(alpha * eta * sigma == 0, 0.0, variance)[()]


def _require_moment(t: Number, p: Number):
    _require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    _require(np.asarray(t) >= 0, f"t must be at least 0: {t}")


def _sum_of_powers(ratio: Number, t: Number) -> Number:
    """r + r² + … + rᵗ⁻¹ = (r − rᵗ)/(1 − r), t = inf included; t − 1 where r is all but 1."""
    return np.where(np.abs(1 - ratio) < 1e-8, t - 1, (ratio - ratio**t) / (1 - ratio))


def asymptotic_mse(eta: Number, beta: Number, h: Number = 1.0, sigma: Number = 1.0) -> Number:
    """Corollary 7.1: the limit of p · E(x̃_t − x*)² as t → ∞ and then p → ∞, β = pα fixed.

    βηh/[(2 − β)(2 − ηh)] · (2 − β − ηh + βηh)/(β + ηh − βηh) · σ²/h².

    Parameters
    ----------
    eta, beta, h, sigma : float or array (…)

    Returns
    -------
    float or array (…)
        inf unless 0 < ηh < 2 and 0 < β < 2: elsewhere the start is not forgotten.
    """
    forgets = (eta * h > 0) & (eta * h < 2) & (beta > 0) & (beta < 2)
    both = beta * eta * h
    with np.errstate(divide="ignore", invalid="ignore"):
        mse = (
            np.divide(both, (2 - beta) * (2 - eta * h))
            * np.divide(2 - beta - eta * h + both, beta + eta * h - both)
            * np.divide(sigma, h) ** 2
        )
    return np.where(forgets, mse, np.inf)[()]


def double_average_variance(
    p: Number, eta: Number, alpha: Number, h: Number = 1.0, sigma: Number = 1.0
) -> Number:
    """Lemma 7.2: the limit of t · Var[z_t], z_t the mean of x̃₀ … x̃_{t−1}: σ²/(ph²).

    Wherever Condition 17 holds it depends on neither η nor α; inf where it does not hold.
    """
    with np.errstate(divide="ignore"):
        variance = np.divide(sigma**2, p * h**2)
    return np.where(synchronous_stable(p, eta, alpha, h), variance, np.inf)[()]


def double_average_covariance(
    p: Number, hessian: np.ndarray, noise_covariance: np.ndarray
) -> np.ndarray:
    """Lemma 7.3: the limit of t · Cov[z_t] in d dimensions, A⁻¹ΣA⁻ᵀ/p, the Fisher bound.

    Needs Condition 17 with h the largest eigenvalue of A.

    Parameters
    ----------
    p : float
    hessian, noise_covariance : (d, d) arrays
        A, and Σ of one worker's gradient.

    Returns
    -------
    (d, d) array
    """
    inverse = np.linalg.inv(hessian)
    return inverse @ noise_covariance @ inverse.T / p


def strongly_convex_bound(
    p: Number, eta: Number, alpha: Number, mu: Number, smoothness: Number, sigma: Number = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Theorem 7.1: one synchronous step's bound for a μ-strongly convex, L-smooth function.

    With a = E|y − x*|², y the mean of the workers, b = mean of E|x^i − x*|² and
    c = E|x̃ − x*|², one step gives (a, b, c) ≤ matrix (a, b, c) + vector, in every component.

    Parameters
    ----------
    p, eta, alpha : float or array (…)
        β is pα.
    mu, smoothness : float or array (…)
        μ and L, the bounds on the curvature.
    sigma : float or array (…)
        One worker's gradient noise has E|ξ|² ≤ σ², summed over coordinates.

    Returns
    -------
    (…, 3, 3) array, (…, 3) array
        The matrix and the vector.

    Raises
    ------
    SettingsError
        Outside 0 < μ ≤ L, 0 ≤ α < 1, 0 ≤ β ≤ 1, 0 ≤ η ≤ 2(1 − α)/(μ + L): the theorem is silent.
    """
    beta = p * alpha
    curvature = mu + smoothness
    _require((np.asarray(mu) > 0) & (mu <= smoothness), "Theorem 7.1 needs 0 < μ ≤ L")
    _require((alpha >= 0) & (alpha < 1) & (beta <= 1), "Theorem 7.1 needs 0 ≤ α < 1, 0 ≤ β ≤ 1")
    _require((eta >= 0) & (eta <= 2 * (1 - alpha) / curvature), "Theorem 7.1 needs a smaller η")
    gamma1 = 2 * eta * mu * smoothness / curvature
    gamma2 = 2 * eta * smoothness * (1 - 2 * np.sqrt(mu * smoothness) / curvature)
    matrix = _matrices(
        [
            [1 - gamma1 - gamma2 - alpha, gamma2, alpha],
            [0, 1 - gamma1 - alpha, alpha],
            [beta, 0, 1 - beta],
        ]
    )
    noise = (eta * sigma) ** 2
    return matrix, _matrices([[noise / p, noise, 0]])[..., 0, :]


# The limit of speed-up: additive noise


def minibatch_rate(eta: Number, h: Number = 1.0) -> Number:
    """|1 − ηh|: mini-batch SGD's factor per step on E[x − x*], the same for every p."""
    return np.abs(1 - eta * h)


def minibatch_variance(p: Number, eta: Number, h: Number = 1.0, sigma: Number = 1.0) -> Number:
    """ησ²/[ph(2 − ηh)]: Var[x] as t → ∞, mini-batch SGD, p gradients a step (thesis, derived).

    inf unless 0 < ηh < 2.
    """
    return momentum_variance(p, eta, 0.0, h, sigma)


def momentum_map(eta: Number, delta: Number, h: Number = 1.0) -> np.ndarray:
    """One step of Nesterov's momentum on h x²/2, noise left out: (…, 2, 2) on (x, v).

    v ← δv − ηh(x + δv);  x ← x + v, the rule of `rules.nesterov_velocity` (section 5).
    """
    step = 1 - eta * h
    return _matrices([[step, delta * step], [-eta * h, delta * step]])


def momentum_rate(eta: Number, delta: Number, h: Number = 1.0) -> Number:
    """Nesterov momentum SGD's factor per step on E[x − x*], in the long run."""
    return spectral_radius(momentum_map(eta, delta, h))


def momentum_variance(
    p: Number, eta: Number, delta: Number, h: Number = 1.0, sigma: Number = 1.0
) -> Number:
    """Var[x] as t → ∞ of Nesterov momentum SGD, the mean of p gradients a step.

    With g = 1 − ηh:  ησ²/(ph) · (1 + δg)/[(1 − δg)(1 + g + 2δg)] (thesis, derived).
    δ = 0 is mini-batch SGD.

    Parameters
    ----------
    p, eta, delta, h, sigma : float or array (…)

    Returns
    -------
    float or array (…)
        inf where the process diverges or does not forget its start.

    Raises
    ------
    SettingsError
        p < 1 or σ < 0.
    """
    _require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    _require(np.asarray(sigma) >= 0, f"sigma must be at least 0: {sigma}")
    g = 1 - eta * h
    stable = (eta * h > 0) & (np.abs(delta * g) < 1) & (1 + g + 2 * delta * g > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.divide(
            eta * sigma**2 * (1 + delta * g), p * h * (1 - delta * g) * (1 + g + 2 * delta * g)
        )
    return np.where(stable, variance, np.inf)[()]


def optimal_momentum(eta: Number, h: Number = 1.0) -> tuple[Number, Number]:
    """The δ of Nesterov's momentum that forgets the start fastest, and its factor per step.

    δ = (1 − √(ηh))/(1 + √(ηh)), |1 − √(ηh)|: there the map's two eigenvalues meet (derived).
    """
    root = np.sqrt(eta * h)
    return (1 - root) / (1 + root), np.abs(1 - root)


def optimal_moving_rate(eta: Number, beta: Number, h: Number = 1.0) -> tuple[Number, Number]:
    """The α that forgets the start fastest, for a given β not tied to it (thesis, derived).

    α = −(√β − √(ηh))², negative: the center pushes the workers away. The two eigenvalues of
    `pair_map` always have (1 − z₁)(1 − z₂) = ηhβ, so the better the closer they are, and at
    this α they meet. With β = 1 the center is the previous mean and −α is a momentum:
    heavy ball at Polyak's optimum.

    This is about the mean of the workers and the center, so about everything only if
    p = 1: with more, `difference_factor` is 1 + β − 2√(ηhβ), and exceeds 1 once β > 4ηh.

    Parameters
    ----------
    eta, beta, h : float or array (…)

    Returns
    -------
    alpha : float or array (…)
    rate : float or array (…)
        |1 − √(ηhβ)|, the factor per step.

    Raises
    ------
    SettingsError
        β < 0 or ηh < 0.
    """
    _require((np.asarray(beta) >= 0) & (eta * h >= 0), "needs β ≥ 0 and ηh ≥ 0")
    alpha = -((np.sqrt(beta) - np.sqrt(eta * h)) ** 2)
    return alpha, np.abs(1 - np.sqrt(eta * h * beta))


# The limit of speed-up: multiplicative noise, gradient ξx with ξ ~ Gamma(shape λ, rate ω)


def multiplicative_minibatch_factor(p: Number, eta: Number, shape: Number, rate: Number) -> Number:
    """What one step of mini-batch SGD multiplies E[x²] by (thesis, derived).

    1 − 2ηλ/ω + η²λ(λ + 1/p)/ω²: below 1 for η < 2ω/(λ + 1/p).

    Parameters
    ----------
    p, eta : float or array (…)
    shape, rate : float or array (…)
        λ and ω of the Gamma distribution, as in `objectives.MultiplicativeNoise`.

    Returns
    -------
    float or array (…)

    Raises
    ------
    SettingsError
        p < 1, or λ or ω not positive.
    """
    _require_gamma(p, shape, rate)
    return 1 - 2 * eta * shape / rate + eta**2 * shape * (shape + 1 / p) / rate**2


def multiplicative_minibatch_optimum(
    p: Number, shape: Number, rate: Number
) -> tuple[Number, Number]:
    """The η with the smallest `multiplicative_minibatch_factor`, and that factor.

    η = ω/(λ + 1/p), factor 1/(1 + pλ) (thesis, derived): more workers allow longer steps.
    """
    _require_gamma(p, shape, rate)
    return rate / (shape + 1 / p), 1 / (1 + p * shape)


def multiplicative_easgd_map(
    p: Number, eta: Number, alpha: Number, shape: Number, rate: Number
) -> np.ndarray:
    """One synchronous step of EASGD on the second moments, β = pα (thesis, derived).

    Parameters
    ----------
    p, eta, alpha : float or array (…)
    shape, rate : float or array (…)
        λ and ω of the Gamma distribution.

    Returns
    -------
    (…, 4, 4) array
        Acts on (E[x^i x^i], E[x^i x^j], E[x^i x̃], E[x̃ x̃]), i ≠ j. With p = 1 there is
        no j: the second moment then follows the others and moves none of them.

    Raises
    ------
    SettingsError
        p < 1, or λ or ω not positive.
    """
    _require_gamma(p, shape, rate)
    beta = p * alpha
    rest = 1 - beta
    m1 = 1 - alpha - eta * shape / rate  # E of what multiplies x^i, 1 − α − ηξ
    m2 = m1**2 + eta**2 * shape / rate**2  # and of its square
    same, other = 1 / p, 1 - 1 / p  # E[x^i mean x] in terms of the first two moments
    return _matrices(
        [
            [m2, 0, 2 * alpha * m1, alpha**2],
            [0, m1**2, 2 * alpha * m1, alpha**2],
            [m1 * beta * same, m1 * beta * other, m1 * rest + alpha * beta, alpha * rest],
            [beta**2 * same, beta**2 * other, 2 * beta * rest, rest**2],
        ]
    )


def multiplicative_easgd_factor(
    p: Number, eta: Number, alpha: Number, shape: Number, rate: Number
) -> Number:
    """Spectral radius of `multiplicative_easgd_map`: the factor per step on E[x²]."""
    return spectral_radius(multiplicative_easgd_map(p, eta, alpha, shape, rate))


def _require_gamma(p: Number, shape: Number, rate: Number):
    _require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    _require((np.asarray(shape) > 0) & (np.asarray(rate) > 0), "shape and rate must be positive")


# When elasticity breaks: two workers in the double well (1 − x²)²/4


CRITICAL_STIFFNESS = 2 / 3
"""ρ above which the split point is no minimum: there det `double_well_hessian` changes sign.

With exchanges every τ steps it is a limit on α/(ητ), `Settings.rho_effective`; for a
double well k times as deep, k times as much (thesis, derived).
"""


def split_point(rho: Number) -> np.ndarray:
    """(√(1 − ρ), −√(1 − ρ), 0): where two workers in different wells hold the center between.

    A critical point of Σᵢ {(1 − x^i²)²/4 + (ρ/2)(x^i − x̃)²}, (2) with p = 2 (thesis, derived).

    Parameters
    ----------
    rho : float or array (…)

    Returns
    -------
    (…, 3) array
        x¹, x², x̃.

    Raises
    ------
    SettingsError
        ρ outside [0, 1]: beyond 1 the workers cannot be apart.
    """
    _require((np.asarray(rho) >= 0) & (np.asarray(rho) <= 1), f"ρ must be in [0, 1]: {rho}")
    x = np.sqrt(1 - rho)
    return np.stack([x, -x, 0 * x], -1)


def double_well_hessian(rho: Number) -> np.ndarray:
    """The Hessian of that energy at `split_point`, a minimum only for ρ < 2/3.

    Parameters
    ----------
    rho : float or array (…)

    Returns
    -------
    (…, 3, 3) array

    Raises
    ------
    SettingsError
        ρ outside [0, 1]: there is no such point.
    """
    x1, x2, _ = np.moveaxis(split_point(rho), -1, 0)
    return _matrices(
        [
            [3 * x1**2 - 1 + rho, 0, -rho],
            [0, 3 * x2**2 - 1 + rho, -rho],
            [-rho, -rho, 2 * rho],
        ]
    )
