"""When elasticity breaks: two workers in the double well (1 − x²)²/4."""

import numpy as np

from easgd_lib.theory.arrays import Number, matrices, require

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
    ValueError
        ρ outside [0, 1]: beyond 1 the workers cannot be apart.

    >>> split_point(0.75).tolist()
    [0.5, -0.5, 0.0]
    """
    require((np.asarray(rho) >= 0) & (np.asarray(rho) <= 1), f"ρ must be in [0, 1]: {rho}")
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
    ValueError
        ρ outside [0, 1]: there is no such point.

    >>> [round(float(np.linalg.det(double_well_hessian(rho))), 2) for rho in (0.5, 0.75)]
    [0.5, -0.19]
    """
    x1, x2, _ = np.moveaxis(split_point(rho), -1, 0)
    return matrices(
        [
            [3 * x1**2 - 1 + rho, 0, -rho],
            [0, 3 * x2**2 - 1 + rho, -rho],
            [-rho, -rho, 2 * rho],
        ]
    )
