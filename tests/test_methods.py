"""Every method against plain loops written from the papers, with random settings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easgd_lib import Settings, datasets, simulate
from easgd_lib.errors import SettingsError
from easgd_lib.learning.objectives import Quadratic
from easgd_lib.method import limits
from easgd_lib.method.algorithms import METHODS, VARIANTS
from easgd_lib.simulation.clock import TimeModel
from plain_loops import PlainLoops

CASES = [
    (name, variant)
    for name, cls in METHODS.items()
    for variant in (VARIANTS if "variant" in cls.options else [None])
]


@pytest.mark.parametrize(("method", "variant"), CASES)
@given(data=st.data())
def test_a_trajectory_is_that_of_plain_loops(method, variant, data):
    options = METHODS[method].options
    p = data.draw(st.integers(1, 5)) if METHODS[method].exchange else 1
    fixed = [o for o in ("synchronous", "round_robin") if o in METHODS[method].orders]
    order = data.draw(st.sampled_from(fixed))
    eta, h = data.draw(st.floats(0.01, 0.5)), data.draw(st.floats(0.1, 1.5))
    gamma, seed = data.draw(st.sampled_from([0.0, 0.3])), data.draw(st.integers(0, 99))
    drawn = {
        "tau": 1 if METHODS[method].every_step else data.draw(st.integers(1, 5)),
        "alpha": data.draw(st.floats(0.0, 0.9)) * 2 / (p + 1),
        "delta": data.draw(st.floats(0.0, 0.95)),
        "average_rate": data.draw(st.floats(0.01, 1.0)),
        "outer_rate": data.draw(st.floats(0.1, 1.5)),
        "outer_momentum": data.draw(st.floats(0.0, 0.9)),
    }
    used = {name: value for name, value in drawn.items() if name in options}
    start = np.random.default_rng(seed).normal(size=(p, 1))
    settings = Settings(
        method, workers=p, eta=eta, gamma=gamma, seed=seed, variant=variant, **used,
        allow_unstable=True,
    )  # fmt: skip
    path = simulate.trajectory(settings, Quadratic(h, 0.3), start, 40, order=order)

    rng = [datasets.generator(seed, i) for i in range(p)]
    loops = PlainLoops(
        method, variant, start[:, 0], start.mean(), eta, gamma, h, drawn["tau"], drawn["alpha"],
        drawn["delta"], drawn["average_rate"], lambda i: 0.3 * rng[i].standard_normal(),
        outer=(drawn["outer_rate"], drawn["outer_momentum"]),
    )  # fmt: skip
    for t in range(40):
        loops.move(list(range(p)) if order == "synchronous" else [t % p])
        scale = max(1, *map(abs, loops.x))  # unstable draws grow; so does their rounding
        assert np.allclose(path.workers[t + 1, :, 0], loops.x, rtol=0, atol=1e-10 * scale)
        assert np.allclose(path.center[t + 1, 0], loops.center, rtol=0, atol=1e-10 * scale)
        if path.average is not None:
            assert np.allclose(path.average[t + 1, 0], loops.average, rtol=0, atol=1e-10 * scale)
    averaging = ("asgd", "mvasgd", "adownpour", "mvadownpour", "lookahead")
    assert (path.average is not None) == (method in averaging)


def follow(method, p=1, order="synchronous", steps=30, start=1.0, h=0.8, sigma=0.2, **options):
    if METHODS[method].exchange:
        options["order"] = order
    settings = Settings(method, workers=p, **options)
    return simulate.trajectory(settings, Quadratic(h, sigma), start, steps, order=order)


def test_mdownpour_with_one_worker_looks_ahead_like_nesterov():
    """With the misprint fixed, its x̃ is MSGD's x + δv; as printed, δ = 0 would never move."""
    delta = 0.7
    server = follow("mdownpour", eta=0.1, delta=delta)
    alone = follow("msgd", eta=0.1, delta=delta)
    velocity = np.diff(alone.center, axis=0)
    assert np.allclose(server.center[1:], alone.center[1:] + delta * velocity, atol=1e-12)
    assert np.allclose(
        follow("mdownpour", eta=0.1, delta=0.0).center, follow("sgd", eta=0.1).center, atol=1e-12
    )


def gauss_seidel_at_the_pulled_x(p, order, steps, eta, h, start):
    """α = 1, β = p: the center moves by x − x̃, the worker to x̃', and takes its gradient there."""
    x, center, path = np.full(p, start), start, [start]
    for t in range(steps):
        active = list(range(p)) if order == "synchronous" else [t % p]
        center = center + sum(1.0 * (x[i] - center) for i in active)
        for i in active:
            x[i] -= 1.0 * (x[i] - center)
            x[i] -= eta * h * x[i]
        path.append(center)
    return np.array(path)


def test_synchronous_downpour_is_the_gauss_seidel_member_alpha_1_beta_p():
    options = {"p": 3, "eta": 0.1, "h": 0.8, "steps": 25}
    downpour = follow("downpour", tau=1, sigma=0, **options)
    family = gauss_seidel_at_the_pulled_x(order="synchronous", start=1.0, **options)
    assert np.allclose(downpour.center[:, 0], family, atol=1e-13)


def test_where_downpour_leaves_the_gauss_seidel_family():
    """Round robin: x̃ moved since the worker's last pull, and x − x̃ is not what it did itself."""
    options = {"p": 3, "eta": 0.1, "h": 0.8, "steps": 25}
    downpour = follow("downpour", tau=1, sigma=0, order="round_robin", **options)
    family = gauss_seidel_at_the_pulled_x(order="round_robin", start=1.0, **options)
    assert abs(downpour.center[:, 0] - family).max() > 0.01
    # And with the gradient at the saved x, as in our variant, even where all step together.
    saved = follow(
        "easgd", p=3, eta=0.1, steps=25, sigma=0, tau=1, alpha=1.0, variant="gauss_seidel",
    )  # fmt: skip
    together = follow("downpour", tau=1, sigma=0, **options)
    assert abs(saved.center - together.center).max() > 0.01


def test_averages_change_only_what_is_evaluated():
    for method, plain, p in (("asgd", "sgd", 1), ("adownpour", "downpour", 3)):
        one, other = follow(method, p=p), follow(plain, p=p)
        assert np.allclose(one.center, other.center, atol=1e-14)
        assert np.allclose(one.workers, other.workers, atol=1e-14)
    path = follow("asgd", steps=9)
    assert np.allclose(path.average[9], path.center[:9].mean(0), atol=1e-14)


def test_your_own_method_runs_too():
    from easgd_lib.method.algorithms import EASGD

    class Still(EASGD):
        def step(self):
            self.t += 1
            return
            yield

    settings = Settings("easgd", workers=2, alpha=0.1)
    path = simulate.trajectory(
        settings, Quadratic(), [[1.0], [2.0]], 5, order="synchronous", method=Still
    )
    assert np.array_equal(path.workers[0], path.workers[-1])


@pytest.mark.slow
def test_one_hundred_thousand_workers():
    """The vectorised path: the center of many workers is the mean field's."""
    settings = Settings("easgd", workers=100_000, eta=0.1, beta=0.5, tau=1, seed=1)
    path = simulate.trajectory(
        settings, Quadratic(1.0, 1.0), 1.0, 20, order="synchronous", keep="center"
    )
    assert path.center.shape == (21, 1)
    assert path.workers.shape == (1, 100_000, 1)
    y = c = 1.0
    for t in range(20):
        assert abs(path.center[t, 0] - c) < 5 / 100_000**0.5
        y, c = y - 0.1 * y - settings.alpha * (y - c), c + 0.5 * (y - c)


def test_an_asynchronous_trajectory_needs_a_time_model():
    settings = Settings("easgd", workers=2)
    with pytest.raises(SettingsError, match="time model"):
        simulate.trajectory(settings, Quadratic(), 1.0, 3)
    with pytest.raises(SettingsError, match="only for it"):
        simulate.trajectory(settings, Quadratic(), 1.0, 3, "synchronous", times=TimeModel())


# The family: which is a special case of which.


def same(one, other):
    assert np.allclose(one.center, other.center, rtol=0, atol=1e-12)
    assert np.allclose(one.workers, other.workers, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "outer"),
    [
        ("slowmo", {"outer_rate": 1.0, "outer_momentum": 0.0}),
        ("diloco", {"outer_rate": 1.0, "outer_momentum": 0.0}),
    ],
)
def test_without_an_outer_optimizer_it_is_local_sgd(method, outer):
    common = {"p": 3, "tau": 4, "delta": 0.5, "eta": 0.1}
    same(follow(method, **common, **outer), follow("local_sgd", **common))


def test_local_sgd_at_every_step_is_sgd_on_all_batches():
    """Also number for number what averaging every gradient gives: one step later in x̃."""
    local = follow("local_sgd", p=3, tau=1, eta=0.1, steps=31)
    reduced = follow("allreduce_sgd", p=3, eta=0.1, steps=30)
    assert np.allclose(local.center[1:], reduced.center, rtol=0, atol=1e-12)


def test_local_sgd_is_a_pull_all_the_way_and_a_push_of_a_pth_of_it():
    """Elastic averaging with α = 1/p for the center and 1 for the worker: to the new center."""
    p, tau, eta, h = 3, 2, 0.1, 0.8
    path = follow("local_sgd", p=p, tau=tau, eta=eta, sigma=0.0, h=h, start=[[1.0], [2.0], [4.0]])
    x, center = np.array([1.0, 2.0, 4.0]), 7 / 3
    for t in range(30):
        if t % tau == 0:
            center = center + sum((each - center) / p for each in x)
            x = x - 1.0 * (x - center)
        x = x - eta * h * x
        assert np.allclose(path.workers[t + 1, :, 0], x, rtol=0, atol=1e-12) or t < tau


def test_lookahead_is_one_worker_of_the_family():
    """As SlowMo with p = 1 and no slow momentum; z is then the center."""
    alone = follow("lookahead", tau=3, eta=0.1, delta=0.5, outer_rate=0.4)
    center = follow("slowmo", tau=3, eta=0.1, delta=0.5, outer_rate=0.4, outer_momentum=0.0)
    assert np.allclose(alone.average, center.center, rtol=0, atol=1e-12)
    assert np.allclose(alone.workers, center.workers, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", ["synchronous", "round_robin"])
def test_asynchronous_diloco_without_an_outer_optimizer_is_downpour(order):
    common = {"p": 3, "tau": 4, "eta": 0.05, "order": order}
    plain = follow("async_diloco", **common, outer_rate=1.0, outer_momentum=0.0)
    same(plain, follow("downpour", **common))


def test_diloco_asynchronous_with_one_worker_is_diloco():
    common = {"tau": 4, "eta": 0.05}
    same(follow("async_diloco", **common), follow("diloco", **common))


def test_allreduce_with_one_worker_is_sequential():
    msgd = follow("msgd", eta=0.1, delta=0.7, steps=31)
    assert np.allclose(
        follow("allreduce_msgd", eta=0.1, delta=0.7).center, msgd.center[:31], atol=1e-12
    )


@pytest.mark.parametrize(
    ("method", "momentum"), [("slowmo", 0.6), ("diloco", 0.9), ("lookahead", 0)]
)
def test_beyond_its_limit_an_outer_rate_blows_up(method, momentum):
    """Rounds so long that each ends at the minimum: the worst case that the limit is for."""
    own = {} if method == "lookahead" else {"outer_momentum": momentum}
    limit = limits.outer_rate(momentum, nesterov=method == "diloco")

    def last(rate):
        path = follow(
            method, p=1 if method == "lookahead" else 2, tau=40, eta=0.9, h=1.0, sigma=0.0,
            steps=4001, outer_rate=rate, allow_unstable=True, **own,
        )  # fmt: skip
        return abs(path.center[-2, 0]) if method != "lookahead" else abs(path.average[-1, 0])

    assert last(0.9 * limit) < 1
    assert last(1.1 * limit) > 1e3
    with pytest.raises(SettingsError, match="outer_rate"):
        Settings(method, workers=1, outer_rate=limit, **own)


@pytest.mark.parametrize("method", ["local_sgd", "slowmo", "diloco", "allreduce_sgd"])
def test_methods_that_wait_for_one_another_know_no_other_order(method):
    assert Settings(method, workers=2).order == "synchronous"
    with pytest.raises(SettingsError, match="knows no asynchronous order"):
        Settings(method, workers=2, order="asynchronous")


def test_slow_momentum_needs_a_rate():
    with pytest.raises(SettingsError, match="eta must be more than 0"):
        Settings("slowmo", eta=0.0)
