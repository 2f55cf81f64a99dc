"""Settings: what follows from what, and what is refused."""

import json
import math

import numpy as np
import pytest

from easgd_lib import Settings
from easgd_lib.errors import SettingsError
from easgd_lib.method.algorithms import method_of
from easgd_lib.reproduction import kth

MINE = "easgd_lib.conformance.mistakes:SummedWorkers"  # a method that no table names


def test_one_elastic_parameter_gives_the_others():
    s = Settings("easgd", workers=4, eta=0.05, tau=10, beta=0.9)
    assert (s.alpha, s.beta, s.rho) == pytest.approx((0.225, 0.9, 4.5))
    assert s.rho_effective == pytest.approx(0.45)
    assert Settings("easgd", workers=4, eta=0.05, alpha=0.225).beta == pytest.approx(0.9)
    assert Settings("easgd", workers=4, eta=0.05, rho=4.5).alpha == pytest.approx(0.225)


def test_the_reports_reading_spreads_beta_over_the_period():
    s = Settings("easgd", workers=2, tau=64, beta=0.9, beta_per="step")
    assert s.alpha == pytest.approx(0.9 / (2 * 64))
    assert Settings("easgd", workers=2, tau=64, alpha=s.alpha, beta_per="step").beta == (
        pytest.approx(0.9)
    )


def test_beta_is_nine_tenths_unless_said():
    assert Settings("eamsgd", workers=2).alpha == pytest.approx(0.45)


def test_replace_derives_anew_from_what_was_given():
    base = Settings("easgd", workers=2, beta=0.8, seconds=3)
    assert base.replace(workers=4).alpha == pytest.approx(0.2)
    assert base.replace(alpha=0.1).beta == pytest.approx(0.2)
    assert base.replace(steps=5).seconds is None


def test_round_trip_through_a_record():
    for s in (
        Settings("easgd", workers=3, tau=4, rho=1.0, eta=0.1, beta_per="step", steps=7),
        Settings("msgd", delta=0.5, gamma=0.1, epochs=2, data="sample"),
        Settings("sgd"),
        Settings("easgd", workers=2, center=kth.PROGRAM, objective=kth.OWN_START),
    ):
        assert Settings.from_dict(json.loads(json.dumps(s.to_dict()))) == s
        assert hash(Settings.from_dict(s.to_dict())) == hash(s)


@pytest.mark.parametrize(
    ("center", "order", "limit"),
    [
        ("window", "asynchronous", 2 / 5),
        ("window", "synchronous", 2 / 5),
        ("server", "synchronous", 2 / 5),
        ("server", "asynchronous", 1.0),
        (kth.SCHEME, None, 1.0),
        ("window", "round_robin", 1.0),
    ],
)
def test_the_guard_on_alpha(center, order, limit):
    def make(alpha, **more):
        return Settings("easgd", workers=4, alpha=alpha, center=center, order=order, **more)

    assert make(limit * 0.999).alpha_limit == pytest.approx(limit)
    with pytest.raises(SettingsError, match=f"{limit:.4g}"):
        make(limit * 1.001)
    assert make(limit * 1.001, allow_unstable=True).alpha > limit


def spectral_radius(p: int, alpha: float, variant: str, seen: int) -> float:
    """Of the exchange alone, all p pulls before all pushes; a worker's second pull sees `seen`.

    By moving each unit vector of (x¹ … x^p, x̃) by the update's own words.
    """
    columns = []
    for unit in np.eye(p + 1):
        x, center = unit[:p], unit[p]
        pushed = alpha * (x - center)
        if variant == "gauss_seidel":
            # which pushes worker i sees: its own, and those of the `seen` − 1 after it
            after = [center + sum(pushed[(i + k) % p] for k in range(seen)) for i in range(p)]
            moved = x - alpha * (x - np.array(after))
        else:
            moved = x - pushed
        columns.append([*moved, center + pushed.sum()])
    return max(abs(np.linalg.eigvals(np.array(columns).T)))


@pytest.mark.parametrize("p", [1, 2, 3, 5, 6, 8, 16])
@pytest.mark.parametrize(
    ("variant", "order", "seen"),
    [
        ("jacobi", "synchronous", 0),
        ("step_first", "asynchronous", 0),
        ("gauss_seidel", "synchronous", "p"),
        ("gauss_seidel", "asynchronous", 1),
    ],
)
def test_the_guard_is_where_the_exchange_starts_to_explode(p, variant, order, seen):
    """Against the exchange's own matrix, for each update order."""
    seen = p if seen == "p" else seen
    limit = Settings("easgd", workers=p, alpha=0.01, variant=variant, order=order).alpha_limit
    for beyond in (0.2, 0.5, 0.8, 0.99, 1.01):
        radius = spectral_radius(p, beyond * limit, variant, seen)
        assert (radius > 1 + 1e-9) == (beyond > 1), (radius, beyond)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"method": "easg"}, "unknown method"),
        ({"method": "easgd", "alpha": 0.1, "beta": 0.2}, "alpha and beta"),
        ({"method": "easgd", "workers": 0}, "workers"),
        ({"method": "easgd", "workers": 1.5}, "workers"),
        ({"method": "easgd", "tau": 0}, "tau"),
        ({"method": "easgd", "alpha": -0.1}, "unstable"),
        ({"method": "easgd", "alpha": math.nan}, "finite"),
        ({"method": "easgd", "eta": math.inf}, "eta"),
        ({"method": "easgd", "delta": 0.9}, "does not use delta"),
        ({"method": "sgd", "tau": 4}, "does not use tau"),
        ({"method": "sgd", "beta": 0.9}, "does not use beta"),
        ({"method": "downpour", "alpha": 0.9}, "does not use alpha"),
        ({"method": "downpour", "variant": "jacobi"}, "does not use variant"),
        ({"method": "sgd", "order": "synchronous"}, "does not use order"),
        ({"method": "msgd", "beta_per": "step"}, "does not use beta_per"),
        ({"method": "downpour", "average_rate": 0.1}, "does not use average_rate"),
        ({"method": "mvasgd", "average_rate": 1.5}, "average_rate"),
        ({"method": "mdownpour", "tau": 4}, "tau must be 1"),
        ({"method": "sgd", "center": "server"}, "no center"),
        ({"method": "easgd", "center": "allreduce", "order": "round_robin"}, "is synchronous"),
        ({"method": "mdownpour", "center": "allreduce"}, "only adds"),
        ({"method": "easgd", "variant": "backwards"}, "unknown variant"),
        ({"method": "sgd", "workers": 2}, "sequential"),
        ({"method": "eamsgd", "delta": 1.0}, "delta"),
        ({"method": "easgd", "seconds": 3, "steps": 4}, "seconds and steps"),
        ({"method": "easgd", "seconds": -3}, "seconds"),
        ({"method": "easgd", "seconds": 0}, "seconds"),
        ({"method": "easgd", "center": "cloud"}, "unknown center"),
        ({"method": "easgd", "center": kth.SCHEME, "order": "asynchronous"}, "is round_robin"),
        ({"method": "easgd", "center": kth.SCHEME, "order": "synchronous"}, "is round_robin"),
        ({"method": "sgd", "center": kth.SCHEME}, "no center"),
        ({"method": "easgd", "objective": "speed"}, "unknown objective 'speed'"),
        ({"method": "json:JSONDecoder"}, "is no method"),
        ({"method": "easgd", "center": "math:pi"}, "is no CenterKind"),
        ({"method": "easgd", "center": "nowhere:here"}, "every rank can import"),
        ({"method": MINE, "variant": "gauss_seidel"}, "has no variant"),
    ],
)
def test_bad_settings_are_refused_by_name(bad, says):
    with pytest.raises(SettingsError, match=says):
        Settings(**bad)


def test_the_server_is_one_rank_more():
    assert Settings("easgd", workers=3, center="server").ranks == 4
    assert Settings("easgd", workers=3, center=kth.SCHEME).ranks == 4
    assert Settings("easgd", workers=3).ranks == 3
    assert Settings("sgd").ranks == 1


def test_allreduce_is_synchronous_also_after_a_replacement():
    settings = Settings("easgd", workers=3).replace(center="allreduce")
    assert settings.order == "synchronous"
    assert settings.alpha_limit == pytest.approx(0.5)
    assert settings.replace(center="window").order == "asynchronous"


def test_the_report_s_center_serves_in_turn_also_after_a_replacement():
    settings = Settings("easgd", workers=3).replace(center=kth.SCHEME)
    assert settings.order == "round_robin"
    assert settings.replace(center="server").order == "asynchronous"


def test_short_runs_take_fewer_snapshots_unless_told_how_many():
    assert [Settings("sgd", steps=n).snapshots for n in (5, 12, 60, 500)] == [1, 1, 6, 12]
    assert Settings("sgd", steps=12, snapshots=5).snapshots == 5
    assert Settings("sgd", seconds=1).snapshots == Settings("sgd").snapshots == 12
    assert Settings("sgd", steps=12).replace(steps=500).snapshots == 12
    assert Settings("sgd", steps=500, snapshots=5).replace(steps=12).snapshots == 5


def test_a_method_of_one_s_own_has_the_options_of_its_class():
    settings = Settings(MINE, workers=2, tau=3)
    assert (settings.alpha, settings.tau, settings.variant) == (0.45, 3, "jacobi")
    assert method_of(settings).__name__ == "SummedWorkers"
    assert Settings.from_dict(settings.to_dict()) == settings


def test_a_record_of_the_time_before_ablations_is_refused():
    """Read without its factors, it would pass for a run of another program."""
    old = Settings("easgd", workers=2).to_dict()
    assert Settings.from_dict(old | {"suspects": []}) == Settings("easgd", workers=2)
    with pytest.raises(SettingsError, match="suspects"):
        Settings.from_dict(old | {"suspects": ["layers"]})
