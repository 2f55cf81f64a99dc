"""The rules against trajectories worked by hand (all numbers below are exact in decimals)."""

import numpy as np
import pytest

from easgd_lib import rules
from easgd_lib.method.algorithms import METHODS, Gradient, Pull, Push
from easgd_lib.method.settings import Settings


def follow(method, center: float, steps: int, gradient=lambda x: x):
    """Drive one worker and its center on f(x) = x²/2, noting everything that is asked."""
    asked, path = [], [(method.x, center)]
    for _ in range(steps):
        step, answer = method.step(), None
        while True:
            try:
                request = step.send(answer)
            except StopIteration:
                break
            asked.append(request)
            match request:
                case Pull():
                    answer = center
                case Push(change):
                    center, answer = center + change, None
                case Gradient(at):
                    answer = gradient(at)
        path.append((method.x, center))
    return path, asked


def settings(method: str, **more) -> Settings:
    return Settings(method=method, **more)


def test_sgd_by_hand():
    # f = x²/2, η = .5:  1 → .5 → .25 → .125
    path, _ = follow(METHODS["sgd"](1.0, settings("sgd", eta=0.5)), 0.0, 3)
    assert [x for x, _ in path] == [1, 0.5, 0.25, 0.125]


def test_learning_rate_decays_with_the_workers_own_clock():
    # η/(1 + γt)^½ with γ = 3: η, η/2 at t = 1, η/4 at t = 5
    assert [rules.learning_rate(0.8, 3, t) for t in (0, 1, 5)] == [0.8, 0.4, 0.2]


def test_momentum_looks_ahead_along_the_velocity():
    # η = .1, δ = .5, x = 1, v = 0.
    # t=0: gradient at 1:             v = −.1,            x = .9
    # t=1: gradient at .9 − .05 = .85: v = −.05 − .085,    x = .765
    path, asked = follow(METHODS["msgd"](1.0, settings("msgd", eta=0.1, delta=0.5)), 0.0, 2)
    assert [x for x, _ in path] == pytest.approx([1, 0.9, 0.765], abs=1e-15)
    assert asked[1].at == pytest.approx(0.85, abs=1e-15)


def test_easgd_by_hand_with_period_two():
    # η = .1, α = .5, τ = 2, x = 2, x̃ = 0, gradient x.
    # t=0: exchange: force .5(2−0) = 1, x̃ = 1; gradient at the saved 2: x = 2 − .2 − 1 = .8
    # t=1: no exchange:                         gradient at .8:        x = .8 − .08 = .72
    # t=2: exchange: force .5(.72−1) = −.14, x̃ = .86; x = .72 − .072 + .14 = .788
    method = METHODS["easgd"](2.0, settings("easgd", eta=0.1, alpha=0.5, tau=2))
    path, asked = follow(method, 0.0, 3)
    assert np.allclose(path, [(2, 0), (0.8, 1), (0.72, 1), (0.788, 0.86)], atol=1e-15)
    assert [type(request).__name__ for request in asked] == [
        "Pull", "Push", "Gradient", "Gradient", "Pull", "Push", "Gradient",
    ]  # fmt: skip
    assert asked[2].at == 2.0, "the gradient sees the saved x, not the one after the exchange"


def test_eamsgd_five_steps_by_hand():
    # η = .1, δ = .5, α = .5, τ = 2, x = 2, v = 0, x̃ = 0, gradient at x + .5v.
    # t=0: force 1, x̃ = 1;      at 2:     v = −.2;                 x = 2 − .2 − 1 = .8
    # t=1:                       at .7:    v = −.1 − .07 = −.17;     x = .63
    # t=2: force −.185, x̃=.815; at .545:  v = −.085 − .0545 = −.1395; x = .6755
    # t=3:                       at .60575: v = −.06975 − .060575 = −.130325; x = .545175
    # t=4: force −.1349125, x̃ = .6800875; at .4800125:
    #      v = −.0651625 − .04800125 = −.11316375; x = .545175 − .11316375 + .1349125 = .56692375
    method = METHODS["eamsgd"](2.0, settings("eamsgd", eta=0.1, alpha=0.5, tau=2, delta=0.5))
    path, _ = follow(method, 0.0, 5)
    expected = [
        (2, 0), (0.8, 1), (0.63, 1), (0.6755, 0.815), (0.545175, 0.815), (0.56692375, 0.6800875),
    ]  # fmt: skip
    assert np.allclose(path, expected, atol=1e-15)
    assert method.velocity == pytest.approx(-0.11316375, abs=1e-15)


def test_the_force_never_enters_the_velocity():
    method = METHODS["eamsgd"](2.0, settings("eamsgd", eta=0.1, alpha=0.5, tau=1))
    follow(method, -7.0, 6, gradient=lambda x: 0.0)
    assert method.velocity == 0.0


def test_eamsgd_without_momentum_is_easgd():
    kwargs = {"eta": 0.3, "alpha": 0.4, "tau": 3, "gamma": 0.2}
    easgd, _ = follow(METHODS["easgd"](1.7, settings("easgd", **kwargs)), -1.0, 20)
    eamsgd, _ = follow(METHODS["eamsgd"](1.7, settings("eamsgd", delta=0.0, **kwargs)), -1.0, 20)
    assert np.allclose(easgd, eamsgd, atol=1e-15)


def test_synchronous_equations_by_hand():
    # p = 2, η = .1, α = .2 (β = .4); x = (1, 3), x̃ = 1, gradients = x.
    # (7): x¹ = 1 − .1 − 0 = .9;  x² = 3 − .3 − .4 = 2.3     (8): x̃ = .6·1 + .4·2 = 1.4
    x, center = rules.synchronous_easgd(
        np.array([[1.0], [3.0]]), np.array([1.0]), np.array([[1.0], [3.0]]), eta=0.1, alpha=0.2
    )
    assert np.allclose(x, [[0.9], [2.3]], atol=1e-15)
    assert np.allclose(center, [1.4], atol=1e-15)


def test_equations_5_and_6_are_7_and_8():
    rng = np.random.default_rng(1)
    x, g, center = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal(size=3)
    eta, rho = 0.07, 1.3
    by_rho = (
        x - eta * (g + rho * (x - center)),  # eq. (5)
        center + eta * sum(rho * (xi - center) for xi in x),  # eq. (6)
    )
    by_alpha = rules.synchronous_easgd(x, center, g, eta, alpha=eta * rho)
    for one, other in zip(by_rho, by_alpha, strict=True):
        assert np.allclose(one, other, atol=1e-14)


def test_exchange_conserves_the_sum_and_rests_at_agreement():
    rng = np.random.default_rng(2)
    x, center = rng.normal(size=(2, 1000))
    for alpha in (0.0, 0.1, 0.5, 1.0):
        moved, moved_center = rules.elastic_exchange(x, center, alpha)
        assert np.allclose(moved + moved_center, x + center, atol=1e-14)
        assert np.array_equal(rules.elastic_exchange(x, x, alpha), [x, x])
    assert np.allclose(rules.elastic_exchange(x, center, 1.0), [center, x], atol=1e-14)
