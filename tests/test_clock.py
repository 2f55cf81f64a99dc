"""Virtual time: who comes first, how long it takes, and that it repeats to the bit."""

import json
from itertools import pairwise
from statistics import mean, stdev

import numpy as np
import pytest

from easgd_lib import Settings, simulate
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.learning.objectives import Quadratic
from easgd_lib.method.algorithms import METHODS, VARIANTS
from easgd_lib.simulation.clock import CALIBRATED, TimeModel

EQUAL = TimeModel(step=1.0)  # all workers equally fast, exchanges free
UNEQUAL = TimeModel(step=1.0, spread=0.3, latency=0.1)


def follow(times, steps=80, p=4, start=None, objective=None, **options):
    settings = Settings(**{"method": "easgd", "workers": p, "eta": 0.1, "seed": 2} | options)
    start = np.linspace(1, 2, p)[:, None] if start is None else start
    objective = objective or Quadratic(1.0, 0.0)
    return settings, simulate.trajectory(settings, objective, start, steps, times=times)


def growth(path, rounds: int, p: int) -> float:
    """By what the state grows in a round, from the last half of the run."""
    size = np.linalg.norm(np.hstack([path.workers[:, :, 0], path.center]), axis=1)
    half = rounds // 2 * p
    return float((size[-1] / size[half]) ** (p / (len(size) - 1 - half)))


@pytest.mark.parametrize("tau", [1, 3])
def test_equal_workers_on_a_window_all_overlap(tau):
    """All pull the same x̃ before any pushes: the synchronous trajectory."""
    settings, path = follow(EQUAL, center="window", tau=tau, beta=0.9)
    together = simulate.trajectory(settings, Quadratic(), path.workers[0], 20, "synchronous")
    assert np.allclose(path.workers[::4], together.workers, atol=1e-13)


@pytest.mark.parametrize("tau", [1, 3])
def test_equal_workers_at_a_server_take_turns(tau):
    """One whole exchange after another: the round-robin trajectory, at the end of each round."""
    settings, path = follow(EQUAL, center="server", tau=tau, beta=0.9)
    turns = simulate.trajectory(settings, Quadratic(), path.workers[0], 80, "round_robin")
    assert np.allclose(path.workers[::4], turns.workers[::4], atol=1e-13)


def test_overlapping_pushes_blow_up_where_whole_exchanges_do_not():
    """p = 4, α = .45, ηh = .1: spectral radius 1.27 against .92."""
    options = {"alpha": 0.45, "tau": 1, "steps": 400, "allow_unstable": True}
    _, window = follow(EQUAL, center="window", **options)
    _, server = follow(EQUAL, center="server", **options)
    assert growth(window, 100, 4) == pytest.approx(1.27, abs=0.005)
    assert growth(server, 100, 4) == pytest.approx(0.92, abs=0.005)


@pytest.mark.parametrize("center", ["window", "server"])
def test_same_seed_same_numbers_to_the_bit(center):
    objective = Quadratic(1, 1)
    paths = [
        follow(UNEQUAL, center=center, seed=seed, objective=objective)[1] for seed in (2, 2, 3)
    ]
    assert np.array_equal(paths[0].workers, paths[1].workers)
    assert np.array_equal(paths[0].seconds, paths[1].seconds)
    assert paths[0].spans == paths[1].spans
    assert not np.array_equal(paths[0].seconds, paths[2].seconds)


CASES = [
    (name, variant, center)
    for name, cls in METHODS.items()
    if cls.exchange and "asynchronous" in cls.orders
    for variant in (VARIANTS if "variant" in cls.options else [None])
    for center in ("window", "server", "local")
]


@pytest.mark.parametrize(("method", "variant", "center"), CASES)
def test_every_method_runs_in_virtual_time(method, variant, center):
    """No worker waits for ever, time does not run back, and what is minimized gets smaller."""
    options = {"delta": 0.3} if "delta" in METHODS[method].options else {}
    options |= {"outer_momentum": 0.2} if method == "async_diloco" else {}
    options |= {"tau": 1 if method == "mdownpour" else 2, "method": method, "variant": variant}
    _, path = follow(UNEQUAL, steps=200, center=center, **options)
    assert (np.diff(path.seconds) >= 0).all()
    assert abs(path.center[-1, 0]) < 0.7 * abs(path.center[0, 0])
    for worker in range(4):
        mine = [span for span in path.spans if span.worker == worker]
        assert mine[0].start == 0
        assert all(after.start == before.end for before, after in pairwise(mine))
        assert len(mine) > 40


@pytest.mark.slow
def test_a_straggler_steps_less_and_holds_up_only_those_who_wait_for_it():
    slow = TimeModel(step=1.0, stragglers=1, slowdown=4.0)
    _, path = follow(slow, steps=130, center="server")
    steps = [sum(s.worker == i and s.activity == "compute" for s in path.spans) for i in range(4)]
    assert steps[3] == pytest.approx(steps[0] / 4, abs=1)
    settings = Settings(
        "easgd", workers=4, tau=1, center="window", order="synchronous", data="sample", steps=4,
        snapshots=1,
    )  # fmt: skip
    run = simulate.train(settings, times=slow)
    assert run.seconds == pytest.approx(16), "all wait for the slowest, at every exchange"
    assert run.time_split["communication"] == pytest.approx(3 * 3 * (4 - 1))


def test_a_busy_server_is_the_limit():
    """Each exchange takes 2 · 0.5 s of the server, whatever the workers do."""
    busy = TimeModel(step=0.01, latency=0.5)
    _, path = follow(busy, steps=100, center="server", tau=1)
    assert path.seconds[-1] == pytest.approx(100, rel=0.06)
    _, path = follow(busy, steps=100, center="window", tau=1)
    assert path.seconds[-1] == pytest.approx(50, rel=0.06), "pulls from a window do not queue"


def test_compute_times_keep_their_mean():
    times = TimeModel(step=0.5, per_image=0.01, spread=0.4).compute_times(0, 0, 4, images=50)
    drawn = [next(times) for _ in range(20_000)]
    assert mean(drawn) == pytest.approx(1.0, abs=4 * 0.42 / 20_000**0.5)
    assert stdev(np.log(drawn)) == pytest.approx(0.4, rel=0.03)


@pytest.mark.slow
def test_p_cores_take_as_long_for_p_times_the_batch_as_one_core_for_the_batch():
    """On the clock: a step of 1 + 32 · 0.1 s, and 32 · 0.05 s of data before it."""
    times = TimeModel(step=1.0, per_image=0.1, data_per_image=0.05, spread=0.2)
    common = {"data": "sample", "steps": 3, "snapshots": 1, "center": "local", "threads": 1}
    one, four = (
        simulate.train(Settings("sgd", batch_size=32 * p, **common), times=times.shared_by(p))
        for p in (1, 4)
    )
    assert four.seconds == pytest.approx(one.seconds)
    assert four.time_split == pytest.approx(one.time_split)
    assert one.time_split["data"] == pytest.approx(3 * 1.6)
    assert times.shared_by(1) == times


@pytest.mark.slow
@pytest.mark.parametrize("order", ["synchronous", "round_robin"])
def test_seconds_end_all_workers_after_the_same_exchange(order):
    settings = Settings(
        "easgd", workers=3, tau=4, center="window", order=order, data="sample", seconds=7.0,
        snapshots=1, batch_size=8,
    )  # fmt: skip
    data = simulate.datasets.load("sample")
    workers = simulate.run_workers(
        settings, data, METHODS["easgd"], TimeModel(step=1.0, spread=0.2)
    )
    assert len({worker.method.t for worker in workers}) == 1
    assert workers[0].method.t % 4 == 0


def test_bad_time_models_are_refused(tmp_path):
    for bad in ({"latency": -1}, {"step": 0}, {"bandwidth": 0}, {"spread": float("nan")}):
        with pytest.raises(SettingsError):
            TimeModel(**bad)
    with pytest.raises(DataError, match="easgd calibrate"):
        TimeModel.calibrated("window", tmp_path / "none.json")


def test_the_stored_time_model_predicts_mpi():
    """What `easgd calibrate` found: images/s within 15 %, accuracies inside the seeds' spread."""
    record = json.loads(CALIBRATED.read_text())
    assert len(record["checks"]) == 6
    for check in record["checks"]:
        assert 0.85 < check["predicted"] / check["real"] < 1.15, check
        real, predicted = check["real_accuracy"], check["predicted_accuracy"]
        assert len(real) == len(predicted) >= 3
        assert max(min(real), min(predicted)) <= min(max(real), max(predicted)), check
