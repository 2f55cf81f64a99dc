"""Every closed form against something that does not know it.

Against it stand the rule in plain loops (`matrix_of` reads off its matrix), exact recursions of
mean and covariance, eigenvalues, finite differences, grids, Monte Carlo with its standard
error, and the numbers in the papers. Never the closed form itself.
"""

import inspect
import itertools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from easgd_lib import Settings, simulate, theory
from easgd_lib.learning.objectives import DoubleWell, MultiplicativeNoise, Quadratic

SEEDS = range(12)
UPDATES = ("jacobi", "gauss_seidel", "step_first")


def matrix_of(step, size: int) -> np.ndarray:
    """The matrix of a linear `step`, column by column."""
    return np.array([step(list(unit)) for unit in np.eye(size)]).T


def radius(matrix: np.ndarray) -> float:
    return max(abs(np.linalg.eigvals(matrix)))


def admm_round(state, p, eta, rho, workers=None):
    """Paper (9)-(11) in plain loops; each of `workers` (default: all p) has one turn."""
    multiplier, x, center = list(state[0:-1:2]), list(state[1:-1:2]), state[-1]
    for i in range(p) if workers is None else workers:
        multiplier[i] -= x[i] - center
        moved = x[i] - eta * x[i] + eta * rho * (multiplier[i] + center)
        x[i] = moved / (1 + eta * rho)
        center = sum(x[j] - multiplier[j] for j in range(p)) / p
    return [*itertools.chain(*zip(multiplier, x, strict=True)), center]


def easgd_round(state, p, eta, alpha):
    """Paper (12)-(13) in plain loops, each of the p workers once."""
    *x, center = state
    for i in range(p):
        force = alpha * (x[i] - center)
        x[i] += -eta * x[i] - force
        center += force
    return [*x, center]


def synchronous_step(state, p, eta, alpha, h, update="jacobi"):
    """Paper (5)-(6) without noise in plain loops, and its two relatives."""
    *x, center = state
    if update == "step_first":
        x = [xi - eta * h * xi for xi in x]
    moved_center = center + sum(alpha * (xi - center) for xi in x)
    seen = moved_center if update == "gauss_seidel" else center
    local = 0 if update == "step_first" else eta * h
    return [*(xi - local * xi - alpha * (xi - seen) for xi in x), moved_center]


def synchronous_matrix(p, eta, alpha, h, update="jacobi"):
    return matrix_of(lambda state: synchronous_step(state, p, eta, alpha, h, update), p + 1)


def exact_center(t, p, eta, alpha, h, sigma, start):
    """Mean and variance of x̃_t: the recursion of all p + 1 means and their covariance."""
    matrix = synchronous_matrix(p, eta, alpha, h)
    noise = np.diag([(eta * sigma) ** 2] * p + [0])
    mean, covariance = np.array(start, float), np.zeros((p + 1, p + 1))
    for _ in range(t):
        mean, covariance = matrix @ mean, matrix @ covariance @ matrix.T + noise
    return mean[-1], covariance[-1, -1]


def stationary(matrix, noise):
    """The covariance C that solves C = M C Mᵀ + N."""
    n = len(matrix)
    system = np.eye(n * n) - np.kron(matrix, matrix)
    return np.linalg.solve(system, np.asarray(noise).ravel()).reshape(n, n)


def within(samples, expected, standard_errors=4.5):
    """Whether the mean of independent `samples` is `expected`, by its own standard error."""
    samples = np.asarray(samples)
    error = samples.std(ddof=1) / len(samples) ** 0.5
    return abs(samples.mean() - expected) < standard_errors * error


# When does it blow up?


@pytest.mark.parametrize("seed", SEEDS)
def test_admm_maps_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    p, eta, rho = int(rng.integers(1, 7)), *rng.uniform(0, [0.5, 10])
    by_loops = matrix_of(lambda state: admm_round(state, p, eta, rho), 2 * p + 1)
    assert np.allclose(theory.admm_round_map(p, eta, rho), by_loops, atol=1e-12)
    assert theory.admm_round_robin_radius(p, eta, rho) == pytest.approx(radius(by_loops), 1e-8)
    last = matrix_of(lambda state: admm_round(state, p, eta, rho, [p - 1]), 2 * p + 1)
    assert np.allclose(theory.admm_worker_map(p - 1, p, eta, rho), last, atol=1e-12)


def test_admm_round_is_one_turn_and_a_change_of_names_p_times():
    # Worker 1 moves, then all names shift by one: p times that is a round.
    for p, eta, rho in ((3, 0.001, 2.5), (8, 0.001, 2.5), (5, 0.008, 7.0)):
        names = np.eye(2 * p + 1)[[*range(2, 2 * p), 0, 1, 2 * p]]
        turn = matrix_of(lambda s, p=p, e=eta, r=rho: admm_round(s, p, e, r, [0]), 2 * p + 1)
        assert theory.admm_round_robin_radius(p, eta, rho) == pytest.approx(
            radius(names @ turn) ** p, rel=1e-10
        )


def test_admm_explodes_where_the_paper_says():
    # Section 4: η = .001, ρ = 2.5 is stable for p ≤ 2 and explodes for p = 3 and 8.
    for p, expected in ((1, 0.999002), (2, 0.999002), (3, 1.000974), (8, 1.002258)):
        assert theory.admm_round_robin_radius(p, 0.001, 2.5) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "lowest", "highest", "edges"),
    [
        (3, 0.9901, 1.00138, {1: 0.0028, 2.5: 0.0020, 5: 0.0012, 9: 0.0008}),
        (8, 0.9902, 1.00285, {1: 0.0060, 2.5: 0.0048, 5: 0.0032, 9: 0.0020}),
    ],
)
def test_figure_1_of_the_paper(p, lowest, highest, edges):
    eta, rho = np.linspace(0, 0.01, 51)[1:], np.linspace(0, 10, 51)[1:]
    heat = theory.admm_round_robin_radius(p, eta[:, None], rho)
    assert heat.shape == (50, 50)
    assert heat.min() == pytest.approx(lowest, abs=1e-4)
    assert heat.max() == pytest.approx(highest, abs=2e-5)
    for stiffness, edge in edges.items():  # unstable below, stable a step of the grid above
        assert theory.admm_round_robin_radius(p, edge, stiffness) > 1
        assert theory.admm_round_robin_radius(p, edge + 2e-4, stiffness) < 1


def test_admm_of_a_single_worker_is_always_stable():
    eta, rho = np.linspace(0, 0.01, 21)[1:, None], np.linspace(0, 10, 21)[1:]
    for worker in range(3):
        one = theory.spectral_radius(theory.admm_worker_map(worker, 3, eta, rho))
        assert np.allclose(one, 1, atol=1e-10)


def test_admm_falls_from_1000_and_then_grows():
    for p, rounds, expected in ((3, 30_000, -2.1e11), (8, 10_000, 1.7e8)):
        start = np.array([0.0, 1000.0] * p + [1000.0])
        state = list(start)
        for _ in range(1000):
            state = admm_round(state, p, 0.001, 2.5)
        turns = theory.admm_round_map(p, 0.001, 2.5)
        assert state[-1] == pytest.approx(368, abs=1)
        assert (np.linalg.matrix_power(turns, 1000) @ start)[-1] == pytest.approx(state[-1], 1e-8)
        later = (np.linalg.matrix_power(turns, rounds) @ start)[-1]
        assert later == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_easgd_round_against_plain_loops_and_the_simulator(seed):
    rng = np.random.default_rng(seed)
    p, eta, alpha = int(rng.integers(1, 7)), *rng.uniform(0, [2, 1])
    by_loops = matrix_of(lambda state: easgd_round(state, p, eta, alpha), p + 1)
    turns = theory.easgd_round_map(p, eta, alpha)
    assert np.allclose(turns, by_loops, atol=1e-12)
    assert theory.easgd_round_robin_radius(p, eta, alpha) == pytest.approx(radius(by_loops), 1e-8)
    start = rng.normal(size=(p, 1))
    settings = Settings("easgd", workers=p, eta=eta, alpha=alpha, tau=1, order="round_robin")
    path = simulate.trajectory(settings, Quadratic(), start, 3 * p)
    state = np.linalg.matrix_power(turns, 3) @ [*start[:, 0], start.mean()]
    assert np.allclose(state, [*path.workers[-1, :, 0], path.center[-1, 0]], atol=1e-10)


def test_the_round_robin_region_is_sufficient_for_the_round_and_necessary_for_a_turn():
    rng = np.random.default_rng(1)
    still_stable = 0
    for _ in range(400):
        p, eta, alpha = int(rng.integers(1, 9)), *rng.uniform(0, [2, 1.2])
        turn = radius(theory.easgd_worker_map(p - 1, p, eta, alpha))
        whole = radius(matrix_of(lambda s, p=p, e=eta, a=alpha: easgd_round(s, p, e, a), p + 1))
        if alpha <= theory.easgd_round_robin_alpha_limit(eta):
            assert turn <= 1 + 1e-12
            assert whole <= 1 + 1e-12
        else:
            assert turn > 1
            still_stable += whole <= 1
    assert still_stable > 0
    # On its edge the turn has the eigenvalue −1; the corners are (0, 1) and (2, 0).
    for eta in (0.0, 0.3, 1.7, 2.0):
        edge = theory.easgd_round_robin_alpha_limit(eta)
        lowest = np.linalg.eigvalsh(theory.easgd_worker_map(0, 1, eta, edge))[0]
        assert lowest == pytest.approx(-1, abs=1e-12)
    limits = theory.easgd_round_robin_alpha_limit(np.array([-0.1, 0, 2, 2.1, 4]))
    assert np.array_equal(limits, [np.nan, 1, 0, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("seed", SEEDS)
def test_synchronous_maps_against_plain_loops(seed, update):
    rng = np.random.default_rng(seed)
    p, eta, alpha, h = int(rng.integers(2, 8)), *rng.uniform(0, [1.5, 0.9, 2])
    state = rng.normal(size=p + 1)
    mean, center = state[:p].mean(), state[p]
    moved = synchronous_step(state, p, eta, alpha, h, update)
    pair = theory.pair_map(eta, alpha, p * alpha, h, update) @ [mean, center]
    assert np.allclose(pair, [np.mean(moved[:p]), moved[p]], atol=1e-12)
    factor = theory.difference_factor(eta, alpha, h, update)
    assert moved[0] - moved[1] == pytest.approx(factor * (state[0] - state[1]), abs=1e-12)
    for workers in (1, p):  # with one worker there are no differences
        expected = radius(synchronous_matrix(workers, eta, alpha, h, update))
        found = theory.synchronous_radius(workers, eta, alpha, h, update)
        assert found == pytest.approx(expected, rel=1e-7)


def test_one_worker_has_no_differences():
    # 1 − ηh − α = −.9 is an eigenvalue only from p = 2 on, and there the largest.
    args = 1.3, 0.6, 1.0, "gauss_seidel"
    alone, two = (theory.synchronous_radius(p, *args) for p in (1, 2))
    assert alone == pytest.approx(radius(synchronous_matrix(1, *args)), rel=1e-9)
    assert two == pytest.approx(radius(synchronous_matrix(2, *args)), rel=1e-9)
    assert alone < 0.7
    assert two == pytest.approx(0.9, rel=1e-9)


def test_condition_17_is_what_the_eigenvalues_say():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(1500):
        p, eta, alpha, h = int(rng.integers(1, 9)), *rng.uniform([-0.2, -0.1, 0.1], [3, 1.4, 1.5])
        stable = theory.synchronous_stable(p, eta, alpha, h)
        assert stable == (radius(synchronous_matrix(p, eta, alpha, h)) < 1)
        limit = theory.synchronous_alpha_limit(p, eta, h)
        if eta > 0 and alpha > 0:
            assert stable == (alpha < limit)  # never, where the limit is not a number
        seen.add(bool(stable))
    assert seen == {True, False}
    # Both factors of the first inequality negative: only the second tells.
    assert not theory.synchronous_stable(1000, 2.2, 2.2e-3)
    # Nothing on the edge is forgotten: η = 0, α = 0, φ = −1.
    edges = [(0.0, 0.3), (0.3, 0.0), (1.0, 0.5)]
    assert not any(theory.synchronous_stable(2, eta, alpha) for eta, alpha in edges)


def test_the_largest_beta_of_the_papers_condition():
    for p, at_zero, at_one in ((1, 1, 0.667), (4, 1.6, 1.333), (16, 1.882, 1.778)):
        limits = theory.synchronous_beta_limit(p, np.array([0.0, 0.5]), h=2.0)
        assert np.allclose(limits, [at_zero, at_one], atol=5e-4)
    assert np.isnan(theory.synchronous_alpha_limit(4, np.array([-0.1, 2.0, 2.1]))).all()
    # p = 1 is round robin: the same limit.
    eta = np.linspace(0, 1.99, 20)
    round_robin = theory.easgd_round_robin_alpha_limit(eta)
    assert np.allclose(theory.synchronous_alpha_limit(1, eta), round_robin, atol=1e-14)


# How noisy is the center?


def test_the_roots_are_the_eigenvalues_and_always_real():
    rng = np.random.default_rng(4)
    for _ in range(300):
        p, eta, alpha, h = int(rng.integers(1, 30)), *rng.uniform(-2, 2, 3)
        found = theory.center_roots(p, eta, alpha, h)
        reduced = np.array([[1 - eta * h - alpha, alpha], [p * alpha, 1 - p * alpha]])
        expected = np.linalg.eigvals(reduced)
        assert np.isrealobj(expected)
        assert np.allclose(found, sorted(expected, reverse=True), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_lemma_71_against_the_exact_recursion(seed):
    """Stable or not, any start; numbers and arrays."""
    rng = np.random.default_rng(seed)
    p, t = int(rng.integers(1, 12)), int(rng.integers(0, 40))
    eta, alpha, h = rng.uniform(0.01, [1.5, 2.2 / (p + 1), 1.5])
    sigma, center0, x0 = rng.uniform(0.1, 3), rng.normal(), rng.normal(size=p)
    mean, variance = exact_center(t, p, eta, alpha, h, sigma, [*x0, center0])
    assert theory.center_mean(t, p, eta, alpha, h, x0, center0) == pytest.approx(mean, 1e-8, 1e-12)
    assert theory.center_variance(t, p, eta, alpha, h, sigma) == pytest.approx(variance, 1e-8)
    together, _ = exact_center(t, p, eta, alpha, h, sigma, [0.7] * p + [center0])
    means = theory.center_mean(t, p, np.full((2, 1), eta), np.full(3, alpha), h, 0.7, center0)
    assert means.shape == (2, 3)
    assert np.allclose(means, together, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_lemma_71_s_mean_against_the_simulator(seed):
    rng = np.random.default_rng(seed)
    p, (eta, alpha) = 5, rng.uniform(0.02, [0.5, 0.3])
    start = rng.normal(size=(p, 1))
    settings = Settings("easgd", workers=p, eta=eta, alpha=alpha, tau=1)
    path = simulate.trajectory(settings, Quadratic(1.3), start, 20, order="synchronous")
    t = np.arange(21)
    means = theory.center_mean(t, p, eta, alpha, 1.3, start[:, 0], start.mean())
    assert np.allclose(path.center[:, 0], means, atol=1e-10)


def test_lemma_71_against_monte_carlo():
    p, eta, alpha, h, sigma, t, repeats = 4, 0.3, 0.2, 0.8, 2.0, 15, 40_000
    rng, objective = np.random.default_rng(5), Quadratic(h, sigma)
    x, center = np.full((p, repeats), -1.0), np.full(repeats, 2.0)
    for _ in range(t):
        force = alpha * (x - center)
        x, center = x - eta * objective.gradient(x, rng) - force, center + force.sum(0)
    mean = theory.center_mean(t, p, eta, alpha, h, x0=-1, center0=2)
    assert within(center, mean)
    assert within((center - mean) ** 2, theory.center_variance(t, p, eta, alpha, h, sigma))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_variance_in_the_end_solves_the_lyapunov_equation(seed):
    rng = np.random.default_rng(seed)
    p, eta, h = int(rng.integers(1, 9)), *rng.uniform(0.05, 1.2, 2)
    alpha = rng.uniform(0.05, 0.95) * (2 * (2 - eta * h) / (2 + p * (2 - eta * h)))
    noise = np.diag([(1.7 * eta) ** 2] * p + [0])
    expected = stationary(synchronous_matrix(p, eta, alpha, h), noise)[-1, -1]
    found = theory.center_variance(np.inf, p, eta, alpha, h, 1.7)
    assert found == pytest.approx(expected, rel=1e-8)
    assert theory.center_mean(np.inf, p, eta, alpha, h, 5.0, -3.0) == 0


def test_lemma_71_where_its_formula_would_divide_by_zero():
    # ηh = α = 0 (γ = φ = 1): none moves. h = 0 (γ = 1): a random walk. α = 0: no noise arrives.
    for t in (0, 1, 2, 7):
        for eta, alpha, h in ((0.0, 0.0, 1.0), (0.4, 0.0, 0.0), (0.0, 0.3, 1.0), (0.4, 0.0, 1.0)):
            start = [1.0, 4.0, -2.0]
            mean, variance = exact_center(t, 2, eta, alpha, h, 1.5, start)
            assert theory.center_mean(t, 2, eta, alpha, h, start[:2], start[2]) == pytest.approx(
                mean, rel=1e-12
            )
            assert theory.center_variance(t, 2, eta, alpha, h, 1.5) == variance == 0
        _, walk = exact_center(t, 3, 0.4, 0.2, 0.0, 1.5, [0.0] * 4)
        assert theory.center_variance(t, 3, 0.4, 0.2, 0.0, 1.5) == pytest.approx(walk, abs=1e-12)
        # γφ = 1 and φ = −1 exactly
        for eta, alpha in ((2.5, 0.5), (1.0, 0.5), (3.0, 1 / 3)):
            _, edge = exact_center(t, 2, eta, alpha, 1.0, 1.0, [0.0] * 3)
            assert theory.center_variance(t, 2, eta, alpha) == pytest.approx(edge, rel=1e-9)
    near = theory.center_mean(50, 3, 1e-9, 1e-9, 1.0, 2.0, 1.0)
    assert near == pytest.approx(exact_center(50, 3, 1e-9, 1e-9, 1, 0, [2, 2, 2, 1])[0], abs=1e-12)


def test_what_diverges_has_no_finite_limit():
    outside = [(0.5, 1.5, 1.0), (3.0, 0.2, 1.0), (5.0, 0.9, 1.0), (1.0, 0.5, 1.0)]  # last: φ = −1
    for eta, alpha, h in outside:
        assert radius(synchronous_matrix(2, eta, alpha, h)) >= 1 - 1e-12
        assert theory.center_variance(np.inf, 2, eta, alpha, h) == np.inf
        assert theory.center_mean(np.inf, 2, eta, alpha, h) == np.inf
        assert theory.double_average_variance(2, eta, alpha, h) == np.inf
    assert theory.center_variance(np.inf, 2, 0.5, 0.1, h=0.0) == np.inf  # a random walk
    assert theory.center_variance(5000, 2, 3.0, 0.9) == np.inf  # beyond float64
    assert theory.center_variance(np.inf, 2, 3.0, 0.9, sigma=0) == 0  # no noise, no variance
    assert theory.center_mean(np.inf, 2, 0.5, 0.1, h=-1.0) == np.inf  # a hill, not a valley
    assert theory.center_mean(np.inf, 2, 0.5, 0.1, h=-1.0, x0=-9.0, center0=-1.0) == np.inf
    # h = 0: the sum is conserved and all agree on the mean, (2·4 + 1)/3.
    agreed = theory.center_mean(np.inf, 2, 0.5, 0.1, h=0.0, x0=4.0, center0=1.0)
    assert agreed == pytest.approx(3, abs=1e-12)


def test_figure_5_of_the_paper():
    eta, beta = np.meshgrid(np.linspace(0, 2, 21), np.linspace(0, 2, 21))
    rng = np.random.default_rng(6)
    for p, t in itertools.product((1, 10, 100, 1000, 10_000), (1, 2, 10, 100, np.inf)):
        mean = theory.center_mean(t, p, eta, beta / p)
        mse = mean**2 + theory.center_variance(t, p, eta, beta / p, sigma=10)
        assert mse.shape == (21, 21)
        assert np.isrealobj(mse)
        assert not np.isnan(mse).any()
        if p <= 10 and t <= 100:
            i, j = rng.integers(0, 21, 2)
            first, second = exact_center(t, p, eta[i, j], beta[i, j] / p, 1, 10, [1] * (p + 1))
            assert mse[i, j] == pytest.approx(first**2 + second, rel=1e-7)
        elif p >= 1000 and t == 100:  # the pair (mean, center), noise σ²/p on the mean
            pair = np.array([[1 - 0.8 - 1.1 / p, 1.1 / p], [1.1, 1 - 1.1]])
            covariance = np.zeros((2, 2))
            for _ in range(t):
                covariance = pair @ covariance @ pair.T + np.diag([(0.8 * 10) ** 2 / p, 0])
            found = theory.center_variance(t, p, 0.8, 1.1 / p, sigma=10)
            assert found == pytest.approx(covariance[1, 1], rel=1e-8)


def test_corollary_71_is_the_limit_of_many_workers():
    rng = np.random.default_rng(7)
    assert theory.asymptotic_mse(0.3, 0.9, sigma=10) == pytest.approx(16.612041, abs=1e-6)
    at_a_million = 1e6 * theory.center_variance(np.inf, 1e6, 0.3, 0.9e-6, sigma=10)
    assert at_a_million == pytest.approx(16.612027, abs=1e-6)
    p = 1e7
    for _ in range(20):
        h = rng.uniform(0.2, 3)
        eta, beta, sigma = rng.uniform(0.1, [1.9 / h, 1.9, 5])
        pair = [[1 - eta * h - beta / p, beta / p], [beta, 1 - beta]]
        covariance = stationary(np.array(pair), np.diag([eta**2 * sigma**2 / p, 0]))
        found = theory.asymptotic_mse(eta, beta, h, sigma)
        assert found == pytest.approx(p * covariance[1, 1], rel=1e-4)
    for outside in ((0, 1), (0.5, 0), (0.5, 2), (0.5, 2.1), (0.5, -0.1), (2, 1), (2.1, 0.5)):
        assert theory.asymptotic_mse(*outside) == np.inf


def long_run_covariance(p, eta, alpha, hessian, noise, steps=20_000):
    """t · Cov of the mean of x̃_0 … x̃_{t−1}: the exact recursion of (mean, center, their sum)."""
    d = len(hessian)
    one, zero = np.eye(d), np.zeros((d, d))
    matrix = np.block(
        [
            [one - eta * hessian - alpha * one, alpha * one, zero],
            [p * alpha * one, one - p * alpha * one, zero],
            [zero, one, one],
        ]
    )
    kick = np.zeros((3 * d, 3 * d))
    kick[:d, :d] = eta**2 * noise / p
    covariance = np.zeros((3 * d, 3 * d))
    for _ in range(steps):
        covariance = matrix @ covariance @ matrix.T + kick
    return covariance[-d:, -d:] / steps


@pytest.mark.parametrize(("p", "eta", "alpha"), [(1, 0.5, 0.3), (4, 0.2, 0.3), (8, 1.1, 0.15)])
def test_the_double_average_forgets_eta_and_alpha(p, eta, alpha):
    expected = long_run_covariance(p, eta, alpha, np.array([[0.9]]), np.array([[9.0]]))[0, 0]
    found = theory.double_average_variance(p, eta, alpha, h=0.9, sigma=3)
    assert found == pytest.approx(expected, rel=2e-3)


def test_the_double_average_in_two_dimensions():
    hessian, noise = np.array([[1.0, 0.3], [0.3, 0.6]]), np.array([[2.0, -0.5], [-0.5, 1.0]])
    expected = long_run_covariance(4, 0.4, 0.2, hessian, noise)
    found = theory.double_average_covariance(4, hessian, noise)
    assert np.allclose(found, expected, rtol=3e-3)


def test_theorem_71_holds_on_random_quadratics_and_is_nearly_reached():
    """One exact step from random places, its noise added as a variance."""
    rng = np.random.default_rng(8)
    checks, slack = 0, np.inf
    for _ in range(600):
        d, p = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        curvatures = rng.uniform(0.1, 3, d)
        mu, smoothness = curvatures.min(), curvatures.max()
        alpha = rng.uniform(0, 0.99 / p)
        eta = rng.uniform(0, 2 * (1 - alpha) / (mu + smoothness))
        sigma = rng.uniform(0, 2)
        matrix, noise = theory.strongly_convex_bound(p, eta, alpha, mu, smoothness, sigma)
        x, center = rng.normal(size=(p, d)) + rng.normal(size=d), rng.normal(size=d)
        moved = x - eta * curvatures * x - alpha * (x - center)
        moved_center = center + alpha * (x - center).sum(0)
        before = (x.mean(0) ** 2).sum(), (x**2).sum(1).mean(), (center**2).sum()
        after = (
            (moved.mean(0) ** 2).sum() + (eta * sigma) ** 2 / p,
            (moved**2).sum(1).mean() + (eta * sigma) ** 2,
            (moved_center**2).sum(),
        )
        bound = matrix @ before + noise
        assert np.all(after <= bound + 1e-10)
        checks, slack = checks + 3, np.minimum(slack, (bound - after) / bound)
    assert checks == 1800
    assert np.all(slack < 5e-3)  # each component of the bound is nearly reached somewhere


def test_theorem_71_by_hand():
    # μ = L = 1, η = .25, α = .125, p = 2, σ = 4: γ₁ = 2ηL/2 = .25, γ₂ = 0, β = .25
    matrix, noise = theory.strongly_convex_bound(2, 0.25, 0.125, 1.0, 1.0, 4.0)
    assert np.allclose(matrix, [[0.625, 0, 0.125], [0, 0.625, 0.125], [0.25, 0, 0.75]], atol=1e-15)
    assert np.allclose(noise, [0.5, 1, 0], atol=1e-15)
    # μ = 1, L = 4, η = .1, α = 0: γ₁ = .16, γ₂ = .8(1 − 4/5) = .16
    matrix, noise = theory.strongly_convex_bound(3, np.array([0.1, 0.2]), 0.0, 1.0, 4.0)
    assert np.allclose(matrix[0], [[0.68, 0.16, 0], [0, 0.84, 0], [0, 0, 1]], atol=1e-15)
    assert noise.shape == (2, 3)
    # The edges of its conditions belong to it: η = 0 and β = 1; η = 2/(μ + L)
    assert np.allclose(theory.strongly_convex_bound(4, 0, 0.25, 1, 1)[1], 0, atol=1e-15)
    assert np.allclose(theory.strongly_convex_bound(1, 1, 0, 1, 1)[0][:2], 0, atol=1e-15)


# The limit of speed-up


def nesterov(state, eta, delta, h):
    x, v = state
    v = delta * v - eta * h * (x + delta * v)
    return x + v, v


@pytest.mark.parametrize("seed", SEEDS)
def test_minibatch_and_momentum_against_the_lyapunov_equation(seed):
    rng = np.random.default_rng(seed)
    p, h, delta = int(rng.integers(1, 9)), *rng.uniform([0.3, 0], [2, 0.98])
    eta, sigma = rng.uniform(0.02, [1.3 / h, 3])
    matrix = matrix_of(lambda state: nesterov(state, eta, delta, h), 2)
    assert np.allclose(theory.momentum_map(eta, delta, h), matrix, atol=1e-14)
    assert theory.momentum_rate(eta, delta, h) == pytest.approx(radius(matrix), rel=1e-7)
    noise = np.full((2, 2), (eta * sigma) ** 2 / p)  # one draw moves v, and x by v
    expected = stationary(matrix, noise)[0, 0]
    assert theory.momentum_variance(p, eta, delta, h, sigma) == pytest.approx(expected, rel=1e-8)
    x, variance = 1.0, 0.0
    for _ in range(3000):
        x, variance = x - eta * h * x, (1 - eta * h) ** 2 * variance + noise[0, 0]
    assert theory.minibatch_variance(p, eta, h, sigma) == pytest.approx(variance, rel=1e-8)
    assert theory.minibatch_rate(eta, h) == pytest.approx(abs(1 - eta * h), rel=1e-14)


def test_what_momentum_costs_in_variance():
    sgd = theory.minibatch_variance(1, 0.1)
    for delta, ratio in ((0.5, 1.79), (0.9, 5.14), (0.99, 8.95)):
        assert theory.momentum_variance(1, 0.1, delta) / sgd == pytest.approx(ratio, abs=5e-3)


def test_momentum_has_a_variance_where_its_eigenvalues_say_so():
    rng = np.random.default_rng(9)
    for _ in range(500):
        eta, delta = rng.uniform([-0.2, -1.2], [2.5, 1.2])
        stable = radius(matrix_of(lambda s, e=eta, d=delta: nesterov(s, e, d, 1.0), 2)) < 1
        assert np.isfinite(theory.momentum_variance(2, eta, delta)) == stable
    assert np.array_equal(theory.minibatch_variance(1, np.array([0.0, 2.0, 3.0])), [np.inf] * 3)
    assert theory.minibatch_variance(1, 0.5, sigma=0) == 0


def test_the_optimal_momentum_is_the_best_of_a_grid():
    for eta, h in ((0.1, 1.0), (0.3, 0.2), (0.5, 3.0)):  # the last has ηh > 1
        delta, rate = theory.optimal_momentum(eta, h)
        grid = np.linspace(-0.9999, 0.9999, 20_001)
        rates = theory.momentum_rate(eta, grid, h)
        assert delta == pytest.approx(grid[rates.argmin()], abs=2e-4)
        assert rate == pytest.approx(rates.min(), abs=0.02)
        assert rate <= rates.min() + 1e-7
        assert theory.momentum_rate(eta, delta, h) == pytest.approx(rate, abs=1e-7)


def test_the_optimal_moving_rate_is_the_best_of_a_grid():
    cases = [(0.05, 0.9, 1.0), (0.3, 0.2, 1.0), (0.1, 1.0, 2.0), (0.4, 1.5, 0.5), (1.0, 1.8, 1.0)]
    for eta, beta, h in cases:
        alpha, rate = theory.optimal_moving_rate(eta, beta, h)
        grid = np.linspace(-2, 1, 30_001)
        rates = [
            radius(np.array([[1 - eta * h - a, a], [beta, 1 - beta]]))
            for a in grid[abs(grid - alpha) < 0.05]
        ]
        everywhere = theory.spectral_radius(theory.pair_map(eta, grid, beta, h))
        assert alpha < 0
        assert alpha == pytest.approx(grid[everywhere.argmin()], abs=2e-4)
        assert rate <= min(rates) + 1e-7
        assert min(rates) == pytest.approx(everywhere.min(), abs=1e-9)
        at_optimum = theory.spectral_radius(theory.pair_map(eta, alpha, beta, h))
        assert at_optimum == pytest.approx(rate, abs=1e-6)  # a double root: √(rounding)
    alpha, rate = theory.optimal_moving_rate(0.05, 0.9)
    assert (alpha, rate) == pytest.approx((-0.5257, 0.7879), abs=5e-5)
    # A center or a gradient that does not act: an eigenvalue stays at 1, whatever α is.
    assert theory.optimal_moving_rate(0.05, 0.0)[1] == theory.optimal_moving_rate(0.0, 0.9)[1] == 1


def test_with_beta_1_a_negative_moving_rate_is_heavy_ball():
    eta, h = 0.05, 1.3
    alpha, rate = theory.optimal_moving_rate(eta, 1.0, h)
    assert alpha == pytest.approx(-((1 - (eta * h) ** 0.5) ** 2), rel=1e-12)  # Polyak's momentum
    x, previous = 3.0, -1.0  # x ← x − ηhx + δ(x − previous), δ = −α
    mean, center = x, previous
    for _ in range(50):
        x, previous = x - eta * h * x - alpha * (x - previous), x
        mean, center = theory.pair_map(eta, alpha, 1.0, h) @ [mean, center]
        assert (mean, center) == pytest.approx((x, previous), rel=1e-12)
    assert rate == pytest.approx(1 - (eta * h) ** 0.5, rel=1e-12)


def test_beyond_4_eta_h_the_optimal_moving_rate_drives_two_workers_apart():
    for beta, apart in ((0.19, False), (0.21, True)):  # 4ηh = .2
        alpha, rate = theory.optimal_moving_rate(0.05, beta)
        assert rate < 1
        x = [1.0, -1.0]  # their mean and the center rest at 0
        x = [xi - 0.05 * xi - alpha * (xi - 0) for xi in x]
        assert (x[0] - x[1] > 2) == apart
        assert theory.difference_factor(0.05, alpha) == pytest.approx((x[0] - x[1]) / 2, rel=1e-12)


@pytest.mark.parametrize(("p", "eta"), [(1, 0.4), (4, 0.9), (16, 2.0)])
def test_multiplicative_minibatch_against_monte_carlo(p, eta):
    noise, rng = MultiplicativeNoise(0.5, 1.0), np.random.default_rng(10)
    x = np.full((p, 100_000), 1.5)
    moved = x[0] - eta * noise.gradient(x, rng).mean(0)
    factor = theory.multiplicative_minibatch_factor(p, eta, 0.5, 1.0)
    assert within((moved / 1.5) ** 2, factor)


def test_the_optimal_minibatch_step_and_where_it_is_stable():
    for p, best in ((1, 0.667), (2, 0.5), (4, 0.333), (8, 0.2), (16, 0.111), (64, 0.030)):
        assert theory.multiplicative_minibatch_optimum(p, 0.5, 1.0)[1] == pytest.approx(best, 2e-2)
        for shape, rate in ((0.5, 1.0), (2.0, 3.0)):
            eta, factor = theory.multiplicative_minibatch_optimum(p, shape, rate)
            # From the moments of the mean of p draws: mean λ/ω, variance λ/(pω²)
            grid = np.linspace(0, 2 * eta, 10_001)
            mean, variance = shape / rate, shape / rate**2 / p
            factors = (1 - grid * mean) ** 2 + grid**2 * variance
            assert eta == pytest.approx(grid[factors.argmin()], abs=2 * grid[1])
            assert factor == pytest.approx(factors.min(), abs=1e-7)
            found = theory.multiplicative_minibatch_factor(p, grid, shape, rate)
            assert np.allclose(found, factors, atol=1e-12)
            assert factors[-1] == pytest.approx(1, abs=1e-12)


def second_moments(p, eta, alpha, shape, rate):
    """E[M ⊗ M] on all (p + 1)² second moments, M the map with its random ξ¹ … ξᵖ."""
    mean = synchronous_matrix(p, eta, alpha, shape / rate)
    system = np.kron(mean, mean)
    for i in range(p):
        kick = np.zeros((p + 1, p + 1))
        kick[i, i] = -eta
        system += shape / rate**2 * np.kron(kick, kick)
    return system


@pytest.mark.parametrize("seed", SEEDS)
def test_multiplicative_easgd_against_all_second_moments(seed):
    rng = np.random.default_rng(seed)
    p, eta, alpha = int(rng.integers(1, 6)), *rng.uniform(0.02, [2.5, 0.4])
    shape, rate = rng.uniform(0.3, 3, 2)
    system = second_moments(p, eta, alpha, shape, rate)
    factor = theory.multiplicative_easgd_factor(p, eta, alpha, shape, rate)
    assert factor == pytest.approx(radius(system), rel=1e-7)
    a, b, c, d = rng.normal(size=4)
    moments = np.full((p + 1, p + 1), b)
    np.fill_diagonal(moments, a)
    moments[p, :] = moments[:, p] = c
    moments[p, p] = d
    moved = (system @ moments.ravel()).reshape(p + 1, p + 1)
    found = theory.multiplicative_easgd_map(p, eta, alpha, shape, rate) @ [a, b, c, d]
    assert np.allclose(found[[0, 2, 3]], [moved[0, 0], moved[0, p], moved[p, p]], atol=1e-12)
    if p > 1:
        assert found[1] == pytest.approx(moved[0, 1], abs=1e-12)


def test_multiplicative_easgd_against_monte_carlo():
    p, eta, alpha, shape, rate = 3, 0.7, 0.2, 0.5, 1.0
    noise, rng = MultiplicativeNoise(shape, rate), np.random.default_rng(11)
    x, center = np.ones((p, 200_000)), np.ones(200_000)
    moments = np.ones(4)
    for _ in range(3):
        force = alpha * (x - center)
        x, center = x - eta * noise.gradient(x, rng) - force, center + force.sum(0)
        moments = theory.multiplicative_easgd_map(p, eta, alpha, shape, rate) @ moments
    samples = x[0] ** 2, x[0] * x[1], x[0] * center, center**2
    for sample, moment in zip(samples, moments, strict=True):
        assert within(sample, moment)


def test_easgd_s_best_factor_saturates():
    eta, beta = np.linspace(0.02, 2, 60)[:, None], np.linspace(0.02, 2, 60)
    for p, best in ((1, 0.745), (2, 0.650), (4, 0.579), (8, 0.548), (16, 0.563), (64, 0.632)):
        factors = theory.multiplicative_easgd_factor(p, eta, beta / p, 0.5, 1.0)
        assert factors.min() == pytest.approx(best, abs=3e-3)


# When elasticity breaks


def energy(place, rho):
    x1, x2, center = place
    wells = (1 - x1**2) ** 2 / 4 + (1 - x2**2) ** 2 / 4
    return wells + rho / 2 * ((x1 - center) ** 2 + (x2 - center) ** 2)


@pytest.mark.parametrize("rho", [0.1, 0.45, 2 / 3, 0.9])
def test_the_split_point_and_its_hessian_against_finite_differences(rho):
    assert np.array_equal(theory.split_point(np.array([0, 1])), [[1, -1, 0], [0, 0, 0]])
    place, steps = theory.split_point(rho), 1e-4 * np.eye(3)
    slope = [energy(place + e, rho) - energy(place - e, rho) for e in steps]
    assert np.allclose(slope, 0, atol=1e-10)
    assert place[0] > 0 > place[1]
    curvature = [
        [
            energy(place + e + f, rho)
            - energy(place + e - f, rho)
            - energy(place - e + f, rho)
            + energy(place - e - f, rho)
            for e in steps
        ]
        for f in steps
    ]
    hessian = theory.double_well_hessian(rho)
    assert hessian.shape == (3, 3)
    assert np.allclose(hessian, np.array(curvature) / 4e-8, atol=1e-6)


def test_the_split_minimum_disappears_at_two_thirds():
    smallest = np.linalg.eigvalsh(theory.double_well_hessian(np.linspace(0.1, 1, 10)))[:, 0]
    assert smallest.shape == (10,)
    for rho, expected in (
        (0.1, 0.1876), (0.3, 0.4169), (0.5, 0.2929), (0.6, 0.1282),
        (0.66, 0.0133), (0.667, -0.0007), (0.7, -0.0677),
    ):  # fmt: skip
        lowest = np.linalg.eigvalsh(theory.double_well_hessian(rho))[0]
        assert lowest == pytest.approx(expected, abs=6e-5)
    critical = theory.double_well_hessian(theory.CRITICAL_STIFFNESS)
    assert np.linalg.eigvalsh(critical)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("tau", [1, 4])
def test_two_workers_in_two_wells_stay_apart_below_the_critical_stiffness(tau):
    """By simulation: what counts is ρ_eff = α/(ητ)."""
    eta = 0.02
    for stiffness, apart in ((0.9, True), (1.1, False)):
        alpha = stiffness * theory.CRITICAL_STIFFNESS * eta * tau
        settings = Settings("easgd", workers=2, eta=eta, alpha=alpha, tau=tau)
        start = np.array([[0.62], [-0.58]])
        path = simulate.trajectory(settings, DoubleWell(), start, 6000, order="synchronous")
        x1, x2 = path.workers[-1, :, 0]
        assert (x1 * x2 < 0) == apart


def test_the_two_noisy_objectives():
    rng = np.random.default_rng(12)
    x = np.array([2.0, -0.5])
    draws = np.array([MultiplicativeNoise(2.0, 5.0).gradient(x, rng) for _ in range(20_000)])
    for j in range(2):
        assert within(draws[:, j], x[j] * 2 / 5)
        assert within((draws[:, j] / x[j] - 0.4) ** 2, 2 / 25)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.04  # a draw of its own for each coordinate
    well = np.vectorize(lambda x: (1 - x**2) ** 2 / 4)
    slope = (well(x + 1e-5) - well(x - 1e-5)) / 2e-5
    assert np.allclose(DoubleWell().gradient(x, rng), slope, atol=1e-8)
    noisy = [DoubleWell(sigma=3.0).gradient(0.5, rng) for _ in range(20_000)]
    assert within(noisy, 0.5**3 - 0.5)
    assert np.std(noisy) == pytest.approx(3, rel=0.03)
    assert np.shape(MultiplicativeNoise(1.0, 1.0).gradient(1.0, rng)) == ()
    with pytest.raises(FrozenInstanceError):
        DoubleWell().sigma = 1.0


def test_what_is_left_out_is_one():
    for function in vars(theory).values():
        if inspect.isfunction(function):
            for name in ("h", "sigma", "x0", "center0"):
                left_out = inspect.signature(function).parameters.get(name)
                assert left_out is None or left_out.default == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.admm_round_robin_radius(0, 0.1, 1), "p must be"),
        (lambda: theory.admm_worker_map(3, 3, 0.1, 1), "no worker 3 among p = 3"),
        (lambda: theory.easgd_round_robin_radius(0, 0.1, 0.1), "p must be"),
        (lambda: theory.easgd_worker_map(-1, 2, 0.1, 0.1), "no worker -1"),
        (lambda: theory.easgd_worker_map(2, 2, 0.1, 0.1), "no worker 2 among p = 2"),
        (lambda: theory.synchronous_radius(0, 0.1, 0.1), "p must be"),
        (lambda: theory.pair_map(0.1, 0.1, 0.1, update="seidel"), "unknown update 'seidel'"),
        (lambda: theory.center_mean(1, 0, 0.1, 0.1), "p must be"),
        (lambda: theory.center_mean(-1, 2, 0.1, 0.1), "t must be"),
        (lambda: theory.center_mean(1, 2, 0.1, 0.1, x0=[1, 2, 3]), r"shape \(p,\) = \(2,\)"),
        (lambda: theory.center_variance(1, 2, 0.1, 0.1, sigma=-1), "sigma must be"),
        (lambda: theory.center_variance(-2, 2, 0.1, 0.1), "t must be"),
        (lambda: theory.strongly_convex_bound(2, 0.1, 0.1, 2.0, 1.0), "0 < μ ≤ L"),
        (lambda: theory.strongly_convex_bound(2, 0.1, 0.1, 0.0, 1.0), "0 < μ ≤ L"),
        (lambda: theory.strongly_convex_bound(2, 0.1, 0.6, 1.0, 2.0), "0 ≤ β ≤ 1"),
        (lambda: theory.strongly_convex_bound(1, 0.0, 1.0, 1.0, 2.0), "0 ≤ α < 1"),
        (lambda: theory.strongly_convex_bound(2, 0.7, 0.1, 1.0, 2.0), "smaller η"),
        (lambda: theory.minibatch_variance(0, 0.1), "p must be"),
        (lambda: theory.momentum_variance(1, 0.1, 0.5, sigma=-1), "sigma must be"),
        (lambda: theory.optimal_moving_rate(0.1, -0.1), "needs β ≥ 0"),
        (lambda: theory.multiplicative_minibatch_factor(1, 0.1, 0, 1), "shape and rate"),
        (lambda: theory.multiplicative_minibatch_optimum(0, 1, 1), "p must be"),
        (lambda: theory.multiplicative_easgd_map(1, 0.1, 0.1, 1, 0), "shape and rate"),
        (lambda: theory.split_point(1.1), r"ρ must be in \[0, 1\]"),
        (lambda: theory.double_well_hessian(-0.1), r"ρ must be in \[0, 1\]"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("beta", np.linspace(0.01, 1.8, 40))
def test_without_gradients_the_center_stays_for_ever(beta):
    """η = 0, all at 1: nothing ever moves, whatever the rounding of γ."""
    assert theory.center_mean(np.inf, 10, 0.0, beta / 10) == 1
    assert theory.center_variance(np.inf, 10, 0.0, beta / 10) == 0


@pytest.mark.parametrize(
    ("p", "eta", "tau"), [(1, 0.1, 1), (1, 0.1, 10), (3, 0.05, 10), (4, 0.1, 40)]
)
def test_below_its_limit_the_background_exchange_forgets_its_start_and_above_it_does_not(
    p, eta, tau
):
    limit = float(theory.background_alpha_limit(p, eta, tau))

    def last(alpha: float) -> float:
        settings = Settings(
            "easgd", workers=p, eta=eta, alpha=alpha, tau=tau, variant="background",
            order="synchronous", allow_unstable=True,
        )  # fmt: skip
        path = simulate.trajectory(settings, Quadratic(1.0, 0.0), np.linspace(1, 2, p), 800 * tau)
        return abs(float(path.center[-1, 0]))

    assert last(0.97 * limit) < 1e-6
    assert last(1.03 * limit) > 1e6
