"""Properties that hold whatever the settings, and the mistakes that they find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easgd_lib import Settings, methods, mistakes, properties, rules, simulate
from easgd_lib.learning.objectives import Quadratic

FOUND_BY = {
    mistakes.SummedWorkers: {"agreement is rest", "sum is conserved"},
    mistakes.DoubleForce: {"sum is conserved", "one worker is the closed form"},
    mistakes.TwoRates: {"sum is conserved", "one worker is the closed form"},
    mistakes.OverwrittenByValidation: {"no force is no contact", "one worker is the closed form"},
    mistakes.LookBack: {
        "no force is no contact", "no momentum is easgd", "one worker is the closed form"
    },
    mistakes.ForceInVelocity: {"sum is conserved", "one worker is the closed form"},
    methods.GaussSeidel: {"sum is conserved", "one worker is the closed form"},
    methods.StepFirst: {"one worker is the closed form"},
}  # fmt: skip


@pytest.mark.parametrize("method", [methods.EASGD, methods.EAMSGD])
def test_the_papers_rules_have_every_property(method):
    assert all(properties.examine(method).values())


@pytest.mark.parametrize("method", FOUND_BY, ids=lambda method: method.__name__)
def test_each_mistake_is_found_and_by_what(method):
    found = {name for name, holds in properties.examine(method).items() if not holds}
    assert found == FOUND_BY[method]


def test_every_mistake_is_tried():
    """A class added to mistakes.py must be found by something, here."""
    there = {
        cls for cls in vars(mistakes).values()
        if isinstance(cls, type) and cls.__module__ == mistakes.__name__
    }  # fmt: skip
    assert there == {cls for cls in FOUND_BY if cls.__module__ == mistakes.__name__}


elastic = st.sampled_from(["easgd", "eamsgd"])
orders = st.sampled_from(["synchronous", "round_robin"])


def settings_for(method: str, p: int, data, **more) -> Settings:
    drawn = {
        "workers": p,
        "tau": data.draw(st.integers(1, 6)),
        "eta": data.draw(st.floats(0.0, 0.5)),
        "alpha": data.draw(st.floats(0.0, 1.0)) * 1.99 / (p + 1),
        "seed": data.draw(st.integers(0, 50)),
    }
    if method == "eamsgd":
        drawn["delta"] = data.draw(st.floats(0, 0.95))
    return Settings(method, **drawn | more)


@given(elastic, st.integers(1, 9), orders, st.floats(-100, 100), st.data())
def test_at_agreement_an_exchange_moves_nothing(method, p, order, where, data):
    settings = settings_for(method, p, data)
    path = simulate.trajectory(settings, Quadratic(h=0), where, 20, order)
    assert np.allclose(path.workers, where, rtol=1e-14, atol=0)
    assert np.allclose(path.center, where, rtol=1e-14, atol=0)


@given(elastic, st.integers(1, 9), orders, st.data())
def test_the_sum_is_conserved_whatever_the_settings(method, p, order, data):
    """Also after noise has driven all apart: gradients off, momentum off, from anywhere."""
    settings = settings_for(method, p, data)
    start = np.random.default_rng(settings.seed).normal(size=(p, 3))
    path = simulate.trajectory(settings, Quadratic(h=0), start, 40, order)
    total = path.center + path.workers.sum(1)
    assert np.allclose(total, total[0], rtol=0, atol=1e-12)


@given(elastic, st.integers(1, 6), st.data())
def test_alpha_zero_is_p_independent_runs(method, p, data):
    settings = settings_for(method, p, data, alpha=0.0)
    path = simulate.trajectory(settings, Quadratic(1, 1), 1.0, 20, "synchronous")
    for i in range(p):
        single = settings.replace(workers=1)
        noise = _Stream(settings.seed, i)
        alone = simulate.trajectory(single, noise, 1.0, 20, "round_robin")
        assert np.allclose(path.workers[:, i], alone.workers[:, 0], atol=1e-12)


class _Stream:
    """h x²/2 with worker i's noise, whichever worker asks."""

    def __init__(self, seed, worker):
        from easgd_lib.learning.datasets import generator

        self.noise = generator(seed, worker)

    def gradient(self, x, _):
        return Quadratic(1, 1).gradient(x, self.noise)


@given(st.integers(1, 6), orders, st.data())
def test_delta_zero_makes_eamsgd_easgd(p, order, data):
    plain = settings_for("easgd", p, data)
    momentum = Settings(
        "eamsgd", workers=p, tau=plain.tau, eta=plain.eta, alpha=plain.alpha, seed=plain.seed,
        delta=0.0,
    )  # fmt: skip
    one, other = (
        simulate.trajectory(s, Quadratic(1, 1), 1.0, 25, order) for s in (plain, momentum)
    )
    assert np.allclose(one.workers, other.workers, atol=1e-13)
    assert np.allclose(one.center, other.center, atol=1e-13)


@given(st.floats(0.0, 0.9), st.floats(0.0, 0.99), st.floats(0.1, 2.0))
def test_one_worker_is_the_powers_of_its_matrix(eta, alpha, h):
    settings = Settings("easgd", eta=eta, alpha=alpha, tau=1)
    path = simulate.trajectory(settings, Quadratic(h), 1.0, 30, "synchronous")
    matrix = np.array([[1 - eta * h - alpha, alpha], [alpha, 1 - alpha]])
    end = np.linalg.matrix_power(matrix, 30) @ [1, 1]
    assert np.allclose([path.workers[-1, 0, 0], path.center[-1, 0]], end, atol=1e-10)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.floats(0, 1), st.data())
def test_flat_is_layer_by_layer(sizes, alpha, data):
    """One exchange of the whole vector is the exchanges of its layers, to the bit."""
    n = sum(sizes)
    x, center = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(2, n))
    flat = rules.elastic_exchange(x, center, alpha)
    cuts = np.cumsum(sizes)[:-1]
    layers = [
        rules.elastic_exchange(*layer, alpha)
        for layer in zip(np.split(x, cuts), np.split(center, cuts), strict=True)
    ]
    for whole, parts in zip(flat, zip(*layers, strict=True), strict=True):
        assert np.array_equal(whole, np.concatenate(parts))
