"""Experiments: what is run, that nothing is run twice, and that nothing outlives an interrupt."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from easgd_lib import Run, Settings, simulate
from easgd_lib.errors import NotFinite
from easgd_lib.reproduction.experiments import COMPLETE, FULL, QUICK, Experiment, Size, conduct
from easgd_lib.reproduction.experiments.kth import FIGURE_3
from easgd_lib.reproduction.experiments.paper import (
    BY_PERIOD,
    BY_RATE,
    EASGD,
    PERIOD,
    RATES,
    TUNING,
    best_rates,
)
from easgd_lib.simulation.clock import TimeModel
from helpers import made_up

SHORTEST = replace(FULL, seconds=FULL.seconds / 4, steps=FULL.steps // 4, seeds=(0,))
SIZES = (QUICK, FULL, COMPLETE, SHORTEST)
EVERY = (*conduct.ALL, *conduct.ON_REQUEST)
SPEED = 1000.0  # images per second of a machine that nobody has


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.name}, {size.steps} steps")
@pytest.mark.parametrize("experiment", EVERY, ids=lambda experiment: experiment.name)
def test_an_experiment_is_a_list_of_runs(experiment: Experiment, size: Size):
    """Making the settings checks them."""
    planned = experiment.planned(size)
    names = [each.name for each in planned]
    assert len(set(names)) == len(names)
    seeds = [each.settings.seed for each in planned]
    assert seeds == sorted(seeds), "whatever is missing in the end is a repetition"
    for each in planned:
        settings = each.settings
        assert each.name.endswith(f"-seed{settings.seed}")
        if experiment.clock == "mpi":
            assert settings.center != "local"
            assert each.cores == 1
        else:
            assert settings.seconds is None, "virtual ones would be no fair budget"
            assert settings.kind.link, "the clock sends no messages"


def test_every_experiment_has_a_folder_of_its_own():
    names = [experiment.name for experiment in EVERY]
    assert len(set(names)) == len(names)
    assert {each.clock for each in (*conduct.ON_MPI, *conduct.ON_REQUEST)} == {"mpi"}
    assert {each.clock for each in (conduct.TUNING, *conduct.SIMULATED)} == {"virtual"}


class Training:
    """Stands in for a trainer: made-up runs, and a list of what was asked for."""

    def __init__(self):
        self.asked: list[Settings] = []

    def __call__(self, settings: Settings, **checkpoint) -> Run:
        self.asked.append(settings)
        return made_up(settings)


def conducted(size: Size, *experiments: Experiment) -> list[Settings]:
    training = Training()
    told = list(conduct.on_mpi(size, training, experiments))
    assert [planned.settings for planned, _ in told] == training.asked
    return training.asked


def test_finished_runs_are_not_repeated_but_changed_ones_are(runs):
    assert len(conducted(QUICK, FIGURE_3)) == len(FIGURE_3.planned(QUICK))
    assert conducted(QUICK, FIGURE_3) == []
    assert all(each.path(QUICK).is_relative_to(runs / "quick") for each in FIGURE_3.planned(QUICK))
    longer = replace(QUICK, seconds=5.0)
    assert {each.seconds for each in conducted(longer, FIGURE_3)} == {5.0}
    FIGURE_3.planned(longer)[3].path(longer).unlink()
    assert conducted(longer, FIGURE_3) == [FIGURE_3.planned(longer)[3].settings]


@pytest.mark.usefixtures("runs")
def test_nothing_is_run_twice_not_even_in_two_experiments():
    """Figure 8 takes its runs of the first seed from the tuning, where they have the same names."""
    asked = conducted(FULL, TUNING, BY_RATE)
    assert len(set(asked)) == len(asked)
    for experiment in (TUNING, BY_RATE):
        stored = experiment.stored(FULL)
        assert list(stored) == list(experiment.grid(FULL))
        for planned in experiment.planned(FULL):
            assert Run.load(planned.path(FULL)).settings == planned.settings
    assert len(asked) < len(TUNING.planned(FULL)) + len(BY_RATE.planned(FULL))
    assert conducted(FULL, BY_RATE, TUNING) == []


@pytest.mark.usefixtures("runs")
def test_a_loss_that_explodes_is_a_result():
    """Stored in JSON that any reader reads, and not run again."""

    def explode(settings: Settings, **checkpoint) -> Run:
        raise NotFinite(f"the loss of worker 0 is nan at step 3 ({settings.summary})")

    first = FIGURE_3.planned(QUICK)[0]
    for planned, run in conduct.on_mpi(QUICK, explode, (FIGURE_3,)):
        assert "is nan at step 3" in run.diverged
        again = Run.load(planned.path(QUICK))
        assert (again.settings, again.diverged) == (planned.settings, run.diverged)
        assert again.table.empty
    text = first.path(QUICK).read_text()
    record = json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))
    assert record["final_test_accuracy"] is None
    assert conducted(QUICK, FIGURE_3) == []


@pytest.mark.usefixtures("runs")
def test_the_best_rate_has_the_smallest_error_and_did_not_diverge():
    small, middle, large = RATES["easgd"]
    tried = {
        each.case.eta: each for each in TUNING.planned(FULL) if each.case[:2] == ("easgd", PERIOD)
    }
    assert list(tried) == [small, middle, large]
    assert best_rates(FULL) == {}
    assert BY_PERIOD.grid(FULL)[EASGD]["eta"] == middle, "before anything is tuned"
    for eta, end in ((small, 0.7), (middle, 0.8), (large, 0.9)):
        made_up(tried[eta].settings, (0.1, end)).save(tried[eta].path(FULL))
    assert BY_PERIOD.grid(FULL, best_rates(FULL))[EASGD]["eta"] == large
    for eta, then in ((large, middle), (middle, small), (small, middle)):
        Run.lost(tried[eta].settings, "nan").save(tried[eta].path(FULL))
        assert BY_PERIOD.grid(FULL, best_rates(FULL))[EASGD]["eta"] == then


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_nothing_missing_takes_no_time():
    assert conduct.estimate(QUICK, SPEED).minutes > 0
    before = conduct.estimate(QUICK, SPEED).runs
    asked = conducted(QUICK, TUNING) + conducted(QUICK, *conduct.ALL)
    assert before == len(asked)
    assert conduct.estimate(QUICK, SPEED) == (0, 0, 0)
    assert conduct.fitted(QUICK, SPEED, minutes=0) == QUICK


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_what_is_made_to_fit_fits_unless_nothing_smaller_is_left():
    whole = conduct.estimate(FULL, SPEED).minutes
    assert conduct.fitted(FULL, SPEED, whole) == FULL
    assert conduct.fitted(FULL, SPEED, 0) == SHORTEST
    assert conduct.estimate(SHORTEST, SPEED).minutes > 0
    seen = []
    for part in (0.8, 0.5, 0.3, 0.2):
        size = conduct.fitted(FULL, SPEED, part * whole)
        assert conduct.estimate(size, SPEED).minutes <= part * whole or size == SHORTEST
        assert size.steps == FULL.steps // 4 or size.seeds == FULL.seeds, "seeds go last"
        seen.append((size.steps, len(size.seeds)))
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 1


def tiny(steps: int) -> Experiment:
    return Experiment(
        "tiny",
        "Two runs of no interest.",
        "virtual",
        lambda size: {
            "data": "sample",
            "steps": steps,
            "batch_size": 8,
            "snapshots": 1,
            "threads": 1,
        },
        lambda size, rates: {
            "two": {"method": "easgd", "workers": 2, "center": "server", "tau": 1},
            "shared": {"method": "sgd", "center": "local", "cores": 4},
        },
    )


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_the_pool_finds_what_one_process_finds():
    """Everything but the real seconds: the same losses, the same accuracies, virtual seconds."""

    def numbers(run: Run) -> dict:
        return run.to_dict() | {"environment": None}

    found = dict(conduct.simulated(QUICK, (tiny(steps=3),)))
    assert [planned.name for planned in tiny(3).planned(QUICK)] == ["two-seed0", "shared-seed0"]
    assert len(found) == 2
    for planned in found:
        times = TimeModel.calibrated(planned.settings.center).shared_by(planned.cores)
        here = simulate.train(planned.settings, times=times)
        assert numbers(found[planned]) == numbers(here)
        assert numbers(Run.load(planned.path(QUICK))) == numbers(here.brief())


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_a_run_that_diverges_in_the_pool_leaves_the_others_alone():
    wild = replace(
        tiny(steps=3),
        cases=lambda size, rates: tiny(3).grid(size) | {"wild": {"method": "sgd", "eta": 1e9}},
    )
    found = {planned.name: run for planned, run in conduct.simulated(QUICK, (wild,))}
    assert {name for name, run in found.items() if run.diverged} == {"wild-seed0"}
    assert len(found) == 3


FOREVER = textwrap.dedent("""
    import pathlib, signal, sys
    sys.path.insert(0, sys.argv[1])
    from easgd_lib import paths
    from easgd_lib.reproduction.experiments import QUICK, conduct
    from test_experiments import tiny
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    paths.RUNS = pathlib.Path(sys.argv[2])
    list(conduct.simulated(QUICK, (tiny(steps=100_000),)))
""")


def pool_of(client: subprocess.Popen) -> list[psutil.Process]:
    """Its processes once they compute: a second of it is more than starting takes them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        pool = psutil.Process(client.pid).children(recursive=True)
        working = [each for each in pool if "spawn_main" in " ".join(each.cmdline())]
        if working and all(each.cpu_times().user > 5 for each in working):
            return pool
        time.sleep(0.2)
    raise AssertionError("the pool never began")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_client_leaves_no_pool(how, runs):
    here = str(Path(__file__).parent)
    client = subprocess.Popen(
        [sys.executable, "-c", FOREVER, here, str(runs)], stderr=subprocess.DEVNULL
    )
    try:
        pool = pool_of(client)
        client.send_signal(how)
        assert client.wait(timeout=30) != 0
        _, alive = psutil.wait_procs(pool, timeout=15)
        for each in alive:
            each.kill()  # an orphan would eat a core
        assert alive == []
    finally:
        client.kill()
