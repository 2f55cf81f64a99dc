"""Closed forms: what α, τ, p and δ will do, known before anything is run.

α is the moving rate, τ the communication period, p the number of workers, δ the momentum.

Every function takes plain numbers and, unless it says otherwise, NumPy arrays that
broadcast: a heat map is one call. The workers minimize a quadratic h x²/2 (or, in the last
two sections, multiplicative noise and the double well); only the product ηh matters for
stability, so where h is not an argument it is 1. Nothing here draws a random number.

Equation, lemma and condition numbers are those of the paper (Zhang, Choromanska and LeCun,
NeurIPS 2015, arXiv:1412.6651v8). "Thesis" is Zhang, NYU 2016, arXiv:1605.02216; of it only
the abstract was at hand, so what is marked so was derived here.
"""

from easgd_lib.theory.arrays import (
    spectral_radius,
)
from easgd_lib.theory.double_well import (
    CRITICAL_STIFFNESS,
    double_well_hessian,
    split_point,
)
from easgd_lib.theory.moments import (
    asymptotic_mse,
    center_mean,
    center_roots,
    center_variance,
    double_average_covariance,
    double_average_variance,
    strongly_convex_bound,
)
from easgd_lib.theory.speed_up import (
    minibatch_rate,
    minibatch_variance,
    momentum_map,
    momentum_rate,
    momentum_variance,
    multiplicative_easgd_factor,
    multiplicative_easgd_map,
    multiplicative_minibatch_factor,
    multiplicative_minibatch_optimum,
    optimal_momentum,
    optimal_moving_rate,
)
from easgd_lib.theory.stability import (
    admm_round_map,
    admm_round_robin_radius,
    admm_worker_map,
    background_alpha_limit,
    difference_factor,
    easgd_round_map,
    easgd_round_robin_alpha_limit,
    easgd_round_robin_radius,
    easgd_worker_map,
    pair_map,
    synchronous_alpha_limit,
    synchronous_beta_limit,
    synchronous_radius,
    synchronous_stable,
)

__all__ = [
    "CRITICAL_STIFFNESS",
    "admm_round_map",
    "admm_round_robin_radius",
    "admm_worker_map",
    "asymptotic_mse",
    "background_alpha_limit",
    "center_mean",
    "center_roots",
    "center_variance",
    "difference_factor",
    "double_average_covariance",
    "double_average_variance",
    "double_well_hessian",
    "easgd_round_map",
    "easgd_round_robin_alpha_limit",
    "easgd_round_robin_radius",
    "easgd_worker_map",
    "minibatch_rate",
    "minibatch_variance",
    "momentum_map",
    "momentum_rate",
    "momentum_variance",
    "multiplicative_easgd_factor",
    "multiplicative_easgd_map",
    "multiplicative_minibatch_factor",
    "multiplicative_minibatch_optimum",
    "optimal_momentum",
    "optimal_moving_rate",
    "pair_map",
    "spectral_radius",
    "split_point",
    "strongly_convex_bound",
    "synchronous_alpha_limit",
    "synchronous_beta_limit",
    "synchronous_radius",
    "synchronous_stable",
]
