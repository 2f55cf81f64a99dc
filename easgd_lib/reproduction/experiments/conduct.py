"""Run what is missing of the experiments: on MPI one by one, under the clock a core each."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from easgd_lib.errors import EasgdError, MPIError, NotFinite
from easgd_lib.learning import datasets
from easgd_lib.learning.evaluate import images_per_vector
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.records import Run, settings_of, write_atomically
from easgd_lib.learning.worker import keep_freed_memory
from easgd_lib.method.settings import Settings
from easgd_lib.paths import make_writable
from easgd_lib.reproduction.experiments import Experiment, Planned, Size
from easgd_lib.reproduction.experiments.cifar import CIFAR
from easgd_lib.reproduction.experiments.kth import ABLATION, FIGURE_3
from easgd_lib.reproduction.experiments.paper import (
    BY_ALPHA,
    BY_ORDER,
    BY_PERIOD,
    BY_RATE,
    BY_WORKERS,
    LONG_PERIODS,
    NINETY_NINE,
    SEQUENTIAL,
    SIXTEEN,
    TUNING,
    best_rates,
)
from easgd_lib.resources import cores, free_memory
from easgd_lib.simulation import simulate
from easgd_lib.simulation.clock import TimeModel

# Tuning before the others under the clock: they need its rates.
ALL = (
    FIGURE_3, ABLATION, TUNING, BY_PERIOD, BY_WORKERS, BY_RATE, LONG_PERIODS, SEQUENTIAL, BY_ALPHA,
    BY_ORDER, NINETY_NINE, SIXTEEN,
)  # fmt: skip
ON_MPI = tuple(experiment for experiment in ALL if experiment.clock == "mpi")
SIMULATED = tuple(each for each in ALL if each.clock == "virtual" and each is not TUNING)
TUNED = (BY_PERIOD, BY_WORKERS, SEQUENTIAL, BY_ORDER)  # at the rates that tuning found
ON_REQUEST = (CIFAR,)  # days: run only where --only names it
PROBE = 2.0  # seconds of gradients that say how fast this machine is
OVERHEAD = 2.0  # seconds around each run: loading, starting
MEMORY_EACH = 2**30  # bytes of a simulating process: torch, full MNIST, the workers
IMAGES_PER_GRADIENT = 3  # evaluating an image takes a third of learning from one


def missing(experiments: tuple[Experiment, ...], size: Size) -> list[Planned]:
    """What must be run: the first seed of every experiment first, and nothing twice.

    A run that has a record of these very settings, here or in another experiment, is not missing.
    """
    stored = _stored(size)
    wanted = {_identity(each): each for each in reversed(_planned(experiments, size))}
    runs = [each for identity, each in wanted.items() if identity not in stored]
    runs.reverse()
    return sorted(runs, key=lambda each: each.settings.seed)


def copy_twins(experiments: tuple[Experiment, ...], size: Size):
    """Copy the records of runs that another experiment has made already."""
    stored = _stored(size)
    for each in _planned(experiments, size):
        twin = stored.get(_identity(each))
        if twin and not _is_stored(each, size):
            write_atomically(each.path(size), twin.read_bytes())


def _planned(experiments: tuple[Experiment, ...], size: Size) -> list[Planned]:
    rates = best_rates(size)
    return [each for experiment in experiments for each in experiment.planned(size, rates)]


def _stored(size: Size) -> dict[tuple, Path]:
    """Every record there is, by what it is a record of."""
    return {
        _identity(each): each.path(size)
        for each in _planned((*ALL, *ON_REQUEST), size)
        if _is_stored(each, size)
    }


def _is_stored(planned: Planned, size: Size) -> bool:
    path = planned.path(size)
    return path.exists() and settings_of(path) == planned.settings


def _identity(planned: Planned) -> tuple[Settings, int]:
    return planned.settings, planned.cores


class Estimate(NamedTuple):
    """Minutes that what is missing should take, on MPI and under the virtual clock."""

    mpi: float
    virtual: float
    runs: int

    @property
    def minutes(self) -> float:
        return self.mpi + self.virtual


def estimate(
    size: Size, images_per_second: float, experiments: tuple[Experiment, ...] = ALL
) -> Estimate:
    """How long what is missing takes, one thread learning from so many images a second.

    Experiments that are run on request only are left out.
    """
    mpi, virtual = (
        missing(tuple(each for each in experiments if each in group), size)
        for group in (ON_MPI, (TUNING, *SIMULATED))
    )

    def looking(planned: Planned) -> float:
        vectors = planned.settings.snapshots * (1 + planned.settings.worker_curve)
        images = vectors * images_per_vector(planned.settings.data)
        return images / IMAGES_PER_GRADIENT / images_per_second / cores()

    seconds = [
        sum(each.settings.seconds + looking(each) + OVERHEAD for each in mpi),
        sum(
            each.images() / images_per_second / cores() + looking(each) + OVERHEAD / cores()
            for each in virtual
        ),
    ]
    return Estimate(seconds[0] / 60, seconds[1] / 60, len(mpi) + len(virtual))


def fitted(
    size: Size,
    images_per_second: float,
    minutes: float,
    experiments: tuple[Experiment, ...] = ALL,
) -> Size:
    """The size, with fewer seeds and then shorter runs until it should end in time.

    Three seeds are the fewest that show a spread: they go only once runs are a quarter as long.
    """
    shorter = [replace(size, seconds=size.seconds / n, steps=size.steps // n) for n in (1, 2, 4)]
    fewer = [replace(shorter[-1], seeds=size.seeds[:n]) for n in (2, 1)]
    for smaller in [*shorter, *fewer]:
        if estimate(smaller, images_per_second, experiments).minutes <= minutes:
            return smaller
    return fewer[-1]


def speed() -> float:
    """Images per second that one thread learns from here, batches of 32."""
    torch.set_num_threads(1)
    keep_freed_memory()
    images = ImageClassification(
        datasets.load("sample"), Settings("sgd", batch_size=32, data="sample"), 0
    )
    x, steps = images.start, 0
    images.gradient(x, images.draw())
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < PROBE:
        images.gradient(x, images.draw())
        steps += 1
    return 32 * steps / spent


def on_mpi(
    size: Size, train: Callable[..., Run], experiments: tuple[Experiment, ...] = ON_MPI
) -> Iterator[tuple[Planned, Run]]:
    """Run what is missing, one at a time; store each as it ends, and yield it."""
    for planned in missing(experiments, size):
        path = planned.path(size)
        make_writable(path.parent)
        try:
            run = train(planned.settings, **unfinished(path))
        except NotFinite as error:
            run = Run.lost(planned.settings, str(error))
        if run.workers_lost:
            raise MPIError(
                f"a worker died in a run to be recorded as {path.name}: it is not comparable",
                "call the same command again",
            )
        _store(run, path)
        yield planned, run
    copy_twins(experiments, size)


def unfinished(path: Path) -> dict:
    """Where the run of this record leaves its checkpoints; if there are some, it goes on there."""
    folder = path.with_suffix(".unfinished")
    return {"checkpoint": str(folder), "resume": folder.is_dir()}


def _store(run: Run, path: Path):
    run.brief().save(path)
    shutil.rmtree(path.with_suffix(".unfinished"), ignore_errors=True)


def simulated(
    size: Size, experiments: tuple[Experiment, ...] = SIMULATED
) -> Iterator[tuple[Planned, Run]]:
    """Run what is missing, as many at a time as there are cores; store each as it ends.

    How long that really takes changes no number: the seconds are virtual.
    """
    runs = missing(experiments, size)
    if runs:
        yield from _in_parallel(runs, size)
    copy_twins(experiments, size)


def _in_parallel(runs: list[Planned], size: Size) -> Iterator[tuple[Planned, Run]]:
    # Largest last of a seed would leave cores idle at the end.
    runs.sort(key=lambda each: (each.settings.seed, -each.images()))
    context = multiprocessing.get_context("spawn")
    room = max(1, free_memory() // MEMORY_EACH)
    pool = ProcessPoolExecutor(
        min(cores(), room, len(runs)), context, initializer=_settle, initargs=(os.getpid(),)
    )
    try:
        waiting = {
            pool.submit(_simulate, each.settings.to_dict(), each.cores, each.path(size)): each
            for each in runs
        }
        for done in as_completed(waiting):
            run = Run.from_dict(done.result())
            _store(run, waiting[done].path(size))
            yield waiting[done], run
    except BrokenProcessPool as error:
        raise EasgdError(
            "a simulating process died (killed, or out of memory); what was finished is stored",
            "call the same command again",
        ) from error
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()  # a run of minutes must not outlive an interrupt
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _settle(parent: int):
    """In a process of the pool: one thread; interrupts are the parent's, and so is its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int):
    """Should the parent be killed, a process of the pool must not go on alone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _simulate(record: dict, shared_by: int, path: Path) -> dict:
    settings = Settings.from_dict(record)
    times = TimeModel.calibrated(settings.center).shared_by(shared_by)
    try:
        make_writable(path.parent)
        return simulate.train(settings, times=times, **unfinished(path)).to_dict()
    except NotFinite as error:
        return Run.lost(settings, str(error)).to_dict()
