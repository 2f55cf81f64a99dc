"""How noisy is the center variable x̃? Mean, variance on a quadratic; a bound for a convex f."""

import numpy as np

from easgd_lib.theory.arrays import Number, matrices, require
from easgd_lib.theory.stability import synchronous_stable


def center_roots(p: Number, eta: Number, alpha: Number, h: Number = 1.0) -> tuple[Number, Number]:
    """γ and φ of Lemma 7.1, φ ≤ γ: the eigenvalues of `pair_map` with β = pα.

    a = ηh + (p + 1)α, c² = ηhpα; γ, φ = 1 − (a ∓ √(a² − 4c²))/2. They are real for all real
    arguments, and equal only where ηh = α = 0.

    Returns
    -------
    float or array (…), twice
        γ, φ.

    >>> [float(root) for root in center_roots(3, 1.0, 0.25)]
    [0.5, -0.5]
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
    ValueError
        p < 1, t < 0, or `x0` is neither a number nor one number for each worker.

    >>> [round(float(center_mean(t, 3, 1.0, 0.25)), 3) for t in (0, 1, 2)]  # the workers go first
    [1.0, 1.0, 0.25]
    """
    _require_moment(t, p)
    x0 = np.asarray(x0, float)
    require(
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
    ValueError
        p < 1, t < 0 or σ < 0.

    >>> [round(float(center_variance(t, 3, 1.0, 0.25)), 4) for t in (1, 2, np.inf)]
    [0.0, 0.1875, 0.2]
    """
    _require_moment(t, p)
    require(np.asarray(sigma) >= 0, f"sigma must be at least 0: {sigma}")
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
    require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    require(np.asarray(t) >= 0, f"t must be at least 0: {t}")


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

    >>> round(float(asymptotic_mse(0.5, 1.0)), 3)  # β = 1: p times `minibatch_variance`
    0.333
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
    Arguments and result: float or array (…).

    >>> float(double_average_variance(4, 0.5, 0.1, h=2.0))
    0.0625
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

    >>> double_average_covariance(4, np.diag([1.0, 2.0]), np.eye(2)).diagonal().round(4).tolist()
    [0.25, 0.0625]
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
    ValueError
        Outside 0 < μ ≤ L, 0 ≤ α < 1, 0 ≤ β ≤ 1, 0 ≤ η ≤ 2(1 − α)/(μ + L): the theorem is silent.

    >>> matrix, vector = strongly_convex_bound(4, 0.5, 0.25, 1.0, 1.0)
    >>> matrix.tolist(), vector.tolist()
    ([[0.25, 0.0, 0.25], [0.0, 0.25, 0.25], [1.0, 0.0, 0.0]], [0.0625, 0.25, 0.0])
    """
    beta = p * alpha
    curvature = mu + smoothness
    require((np.asarray(mu) > 0) & (mu <= smoothness), "Theorem 7.1 needs 0 < μ ≤ L")
    require((alpha >= 0) & (alpha < 1) & (beta <= 1), "Theorem 7.1 needs 0 ≤ α < 1, 0 ≤ β ≤ 1")
    require((eta >= 0) & (eta <= 2 * (1 - alpha) / curvature), "Theorem 7.1 needs a smaller η")
    gamma1 = 2 * eta * mu * smoothness / curvature
    gamma2 = 2 * eta * smoothness * (1 - 2 * np.sqrt(mu * smoothness) / curvature)
    matrix = matrices(
        [
            [1 - gamma1 - gamma2 - alpha, gamma2, alpha],
            [0, 1 - gamma1 - alpha, alpha],
            [beta, 0, 1 - beta],
        ]
    )
    noise = (eta * sigma) ** 2
    return matrix, matrices([[noise / p, noise, 0]])[..., 0, :]
