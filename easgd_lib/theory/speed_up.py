"""The limit of speed-up: what p workers gain, with additive and with multiplicative noise."""

import numpy as np

from easgd_lib.theory.arrays import Number, matrices, require, spectral_radius


def minibatch_rate(eta: Number, h: Number = 1.0) -> Number:
    """|1 − ηh|: mini-batch SGD's factor per step on E[x − x*], the same for every p.

    Arguments and result: float or array (…).

    >>> float(minibatch_rate(1.5))
    0.5
    """
    return np.abs(1 - eta * h)


def minibatch_variance(p: Number, eta: Number, h: Number = 1.0, sigma: Number = 1.0) -> Number:
    """ησ²/[ph(2 − ηh)]: Var[x] as t → ∞, mini-batch SGD, p gradients a step (thesis, derived).

    Arguments and result: float or array (…); inf unless 0 < ηh < 2.

    >>> [float(minibatch_variance(p, 1.0)) for p in (1, 4)]
    [1.0, 0.25]
    """
    return momentum_variance(p, eta, 0.0, h, sigma)


def momentum_map(eta: Number, delta: Number, h: Number = 1.0) -> np.ndarray:
    """One step of Nesterov's momentum on h x²/2, noise left out: (…, 2, 2) on (x, v).

    v ← δv − ηh(x + δv);  x ← x + v, the rule of `rules.nesterov_velocity` (section 5).

    >>> momentum_map(0.5, 0.5).tolist()
    [[0.5, 0.25], [-0.5, 0.25]]
    """
    step = 1 - eta * h
    return matrices([[step, delta * step], [-eta * h, delta * step]])


def momentum_rate(eta: Number, delta: Number, h: Number = 1.0) -> Number:
    """Nesterov momentum SGD's factor per step on E[x − x*], in the long run.

    Arguments and result: float or array (…).

    >>> [round(float(momentum_rate(0.25, delta)), 3) for delta in (0, 1 / 3)]
    [0.75, 0.5]
    """
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
    ValueError
        p < 1 or σ < 0.

    >>> [round(float(momentum_variance(1, 0.5, delta)), 3) for delta in (0, 0.5)]
    [0.333, 0.417]
    """
    require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    require(np.asarray(sigma) >= 0, f"sigma must be at least 0: {sigma}")
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
    Arguments and results: float or array (…).

    >>> [round(float(n), 3) for n in optimal_momentum(0.25)]
    [0.333, 0.5]
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
    ValueError
        β < 0 or ηh < 0.

    >>> [round(float(n), 3) for n in optimal_moving_rate(0.25, 1.0)]
    [-0.25, 0.5]
    """
    require((np.asarray(beta) >= 0) & (eta * h >= 0), "needs β ≥ 0 and ηh ≥ 0")
    alpha = -((np.sqrt(beta) - np.sqrt(eta * h)) ** 2)
    return alpha, np.abs(1 - np.sqrt(eta * h * beta))


# Multiplicative noise, gradient ξx with ξ ~ Gamma(shape λ, rate ω)


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
    ValueError
        p < 1, or λ or ω not positive.

    >>> multiplicative_minibatch_factor(1, 0.5, 1.0, 1.0)
    0.5
    """
    _require_gamma(p, shape, rate)
    return 1 - 2 * eta * shape / rate + eta**2 * shape * (shape + 1 / p) / rate**2


def multiplicative_minibatch_optimum(
    p: Number, shape: Number, rate: Number
) -> tuple[Number, Number]:
    """The η with the smallest `multiplicative_minibatch_factor`, and that factor.

    η = ω/(λ + 1/p), factor 1/(1 + pλ) (thesis, derived): more workers allow longer steps.
    Arguments and results: float or array (…), λ and ω positive.

    >>> [multiplicative_minibatch_optimum(p, 1.0, 1.0) for p in (1, 4)]
    [(0.5, 0.5), (0.8, 0.2)]
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
    ValueError
        p < 1, or λ or ω not positive.

    >>> multiplicative_easgd_map(2, 0.5, 0.5, 1.0, 1.0)[0].tolist()  # E[x²] ← (E[x²] + E[x̃²])/4
    [0.25, 0.0, 0.0, 0.25]
    """
    _require_gamma(p, shape, rate)
    beta = p * alpha
    rest = 1 - beta
    m1 = 1 - alpha - eta * shape / rate  # E of what multiplies x^i, 1 − α − ηξ
    m2 = m1**2 + eta**2 * shape / rate**2  # and of its square
    same, other = 1 / p, 1 - 1 / p  # E[x^i mean x] in terms of the first two moments
    return matrices(
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
    """Spectral radius of `multiplicative_easgd_map`: the factor per step on E[x²].

    Arguments and result: float or array (…).

    >>> round(float(multiplicative_easgd_factor(4, 0.5, 0.25, 1.0, 1.0)), 3)  # mini-batch: 0.3125
    0.462
    """
    return spectral_radius(multiplicative_easgd_map(p, eta, alpha, shape, rate))


def _require_gamma(p: Number, shape: Number, rate: Number):
    require(np.asarray(p) >= 1, f"p must be at least 1: {p}")
    require((np.asarray(shape) > 0) & (np.asarray(rate) > 0), "shape and rate must be positive")
