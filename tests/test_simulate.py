"""The simulator against recursions written independently of it."""

import numpy as np
import pytest

from easgd_lib import Settings, datasets, simulate
from easgd_lib.errors import NotFinite
from easgd_lib.learning.objectives import Quadratic


def independent(p, eta, alpha, tau, delta, x, center, turns, h):
    """Round robin EAMSGD (EASGD for δ = 0) as the algorithm box says, in plain loops."""
    x, v, clock, path = [float(a) for a in x], [0.0] * p, [0] * p, []
    for t in range(turns):
        i = t % p
        saved = x[i]
        if clock[i] % tau == 0:
            moved = alpha * (saved - center)
            x[i] -= moved
            center += moved
        v[i] = delta * v[i] - eta * h * (saved + delta * v[i])
        x[i] += v[i]
        clock[i] += 1
        path.append((*x, center))
    return np.array(path)


@pytest.mark.parametrize("seed", range(12))
def test_round_robin_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    p, tau = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    eta, alpha, delta, h = rng.uniform(0.01, [0.5, 1.0, 0.95, 2.0])
    start = rng.normal(size=(p, 1))
    settings = Settings(
        "eamsgd", workers=p, eta=eta, alpha=alpha, tau=tau, delta=delta, order="round_robin"
    )
    path = simulate.trajectory(settings, Quadratic(h), start, 60)
    expected = independent(p, eta, alpha, tau, delta, start[:, 0], start.mean(), 60, h)
    assert np.allclose(path.workers[1:, :, 0], expected[:, :p], atol=1e-10)
    assert np.allclose(path.center[1:, 0], expected[:, p], atol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_synchronous_against_the_matrix(seed):
    """One synchronous step on h x²/2 is a fixed matrix on (x¹ … x^p, x̃): its powers."""
    rng = np.random.default_rng(100 + seed)
    p = int(rng.integers(1, 6))
    eta, alpha, h = rng.uniform(0.01, [0.5, 1.9 / (p + 1), 2.0])
    matrix = np.zeros((p + 1, p + 1))
    matrix[:p, :p] = np.eye(p) * (1 - eta * h - alpha)
    matrix[:p, p] = matrix[p, :p] = alpha
    matrix[p, p] = 1 - p * alpha
    start = rng.normal(size=(p, 2))
    settings = Settings("easgd", workers=p, eta=eta, alpha=alpha, tau=1)
    path = simulate.trajectory(settings, Quadratic(h), start, 40, order="synchronous")
    state = np.vstack([start, start.mean(0)])
    for t in range(41):
        assert np.allclose(path.workers[t], state[:p], atol=1e-10)
        assert np.allclose(path.center[t], state[p], atol=1e-10)
        state = matrix @ state


def test_noise_is_each_worker_s_own_and_repeats():
    settings = Settings("easgd", workers=3, alpha=0.0, tau=1, eta=0.1, seed=4)
    one, again = (
        simulate.trajectory(settings, Quadratic(1, 1), 1.0, 30, order="synchronous")
        for _ in range(2)
    )
    assert np.array_equal(one.workers, again.workers)
    # α = 0 is p independent runs, each of which a sequential run with its noise repeats.
    assert len(np.unique(one.workers[-1])) == 3
    alone = simulate.trajectory(
        Settings("sgd", eta=0.1, seed=4), Quadratic(1, 1), 1.0, 30, "synchronous"
    )
    assert np.allclose(alone.workers[:, 0], one.workers[:, 0], atol=1e-12)


class AnyNoise:
    """Draws with whatever a NumPy generator has; shapes by name and by place, arrays as means."""

    def gradient(self, x, generator):
        noise = generator.laplace(0.0, 0.3, np.shape(x)) + generator.integers(2, size=np.shape(x))
        noise = noise * generator.standard_gamma(2, x.shape) + generator.standard_normal(x.shape)
        return generator.normal(x, 0.1, size=np.shape(x)) + noise


def test_an_objective_may_draw_with_any_method_of_a_generator():
    """All together, without a force: each worker is a loop of its own, with its own generator."""
    settings = Settings("easgd", workers=3, eta=0.1, alpha=0.0, seed=5)
    start = np.arange(6.0).reshape(3, 2)
    path = simulate.trajectory(settings, AnyNoise(), start, 20, "synchronous")
    for i, x in enumerate(start):
        generator = datasets.generator(5, i)
        for _ in range(20):
            x = x - 0.1 * AnyNoise().gradient(x, generator)
        assert np.array_equal(path.workers[-1, i], x)


def test_a_draw_without_a_shape_is_refused():
    class Shapeless:
        def gradient(self, x, generator):
            return x + generator.normal()

    with pytest.raises(TypeError, match=r"normal must be asked for a shape"):
        simulate.trajectory(Settings("easgd", workers=3), Shapeless(), 1.0, 2, "synchronous")


def test_starts_of_every_shape():
    settings = Settings("easgd", workers=3, order="synchronous")
    for start, d in ((1.0, 1), ([1.0, 2.0], 2), (np.ones((3, 5)), 5)):
        path = simulate.trajectory(settings, Quadratic(), start, 4)
        assert path.workers.shape == (5, 3, d)
        assert path.center.shape == (5, d)
        assert path.workers.dtype == np.float64


def test_the_sum_is_conserved_without_gradients():
    settings = Settings("easgd", workers=4, eta=0.0, alpha=0.3, tau=2)
    start = np.random.default_rng(0).normal(size=(4, 3))
    for order in ("synchronous", "round_robin"):
        path = simulate.trajectory(settings, Quadratic(), start, 50, order=order)
        total = path.center + path.workers.sum(1)
        assert np.allclose(total, total[0], atol=1e-13)


@pytest.mark.slow
def test_digits_learn_in_one_process_and_repeat_to_the_bit():
    settings = Settings(
        "eamsgd", workers=3, tau=4, steps=40, center="local", data="sample", threads=1, snapshots=2
    )
    one, again = (simulate.train(settings) for _ in range(2))
    assert one.final_test_accuracy == again.final_test_accuracy > 0.8
    assert one.exchanges == 3 * 10
    losses = [run.table[run.table.metric == "train_loss"].value.to_numpy() for run in (one, again)]
    assert np.array_equal(*losses)
    assert one.table["samples"].max() == 3 * 40 * 64


def test_a_loss_that_explodes_says_who_and_when():
    settings = Settings("easgd", workers=2, eta=1e6, steps=20, center="local", data="sample")
    with pytest.raises(
        NotFinite, match=r"worker \d is (nan|inf) at step \d+ \(easgd, p = 2, η = 1e\+06"
    ):
        simulate.train(settings)


def test_admm_is_the_papers_composed_map():
    """Paper section 4: the state (λ¹, x¹, …, λ^p, x^p, x̃) under F³F²F¹ of each worker in turn."""
    p, eta, rho = 3, 0.4, 2.5
    round_map = np.eye(2 * p + 1)
    for i in range(p):
        first, second, third = (np.eye(2 * p + 1) for _ in range(3))
        first[2 * i, 2 * i + 1], first[2 * i, -1] = -1, 1
        second[2 * i + 1] = 0
        second[2 * i + 1, [2 * i, 2 * i + 1, -1]] = eta * rho, 1 - eta, eta * rho
        second[2 * i + 1] /= 1 + eta * rho
        third[-1] = [-1 / p, 1 / p] * p + [0]
        round_map = third @ second @ first @ round_map
    start = np.array([3.0, -1.0, 4.0])
    path = simulate.admm_round_robin(p, eta, rho, start[:, None], 12 * p, Quadratic())
    state = np.zeros(2 * p + 1)
    state[1:-1:2], state[-1] = start, start.mean()
    for r in range(13):
        assert np.allclose(path.workers[r * p, :, 0], state[1:-1:2], atol=1e-12)
        assert np.allclose(path.center[r * p, 0], state[-1], atol=1e-12)
        state = round_map @ state


@pytest.mark.slow
def test_admm_falls_and_then_explodes_where_easgd_rests():
    """η = .001, ρ = 2.5, p = 3, from 1000: 368 after 1,000 rounds, −2·10¹¹ after 30,000."""
    path = simulate.admm_round_robin(3, 0.001, 2.5, 1000.0, 90_000, Quadratic())
    assert path.center[3000, 0] == pytest.approx(368.4, abs=0.1)
    assert path.center[-1, 0] == pytest.approx(-2.1e11, rel=0.05)
    settings = Settings("easgd", workers=3, eta=0.001, rho=2.5, tau=1)
    rest = simulate.trajectory(settings, Quadratic(), 1000.0, 90_000, "round_robin", keep="center")
    assert abs(rest.center[-1, 0]) < 1e-3
