"""Measure what the virtual clock needs to know, and how far off its predictions then are."""

import time
from collections.abc import Iterator
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch

from easgd_lib.learning import datasets, models, records
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.worker import keep_freed_memory
from easgd_lib.method.algorithms import protocol_of
from easgd_lib.method.center import CENTERS, kind_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import mpiexec
from easgd_lib.parallel.engines import Engines
from easgd_lib.simulation import simulate
from easgd_lib.simulation.clock import TimeModel

WORKERS = 2
BATCHES = (32, 64, 128)
STEPS = 200  # timed steps of each batch size
ROUNDS = 150  # timed exchanges of each kind
WARM_UP = 20
SMALL, WHOLE = 1, models.CONVNET_PARAMETERS  # floats: all latency, and the network
LINKS = [name for name, kind in CENTERS.items() if kind.link == name]  # each measured as itself
BASE: dict[str, Any] = {"workers": WORKERS, "data": "sample", "threads": 1, "snapshots": 1}
CASES: dict[str, dict[str, Any]] = {
    "window, τ = 1": {"method": "easgd", "center": "window", "tau": 1},
    "window, τ = 10": {"method": "eamsgd", "center": "window", "tau": 10},
    "window, τ = 1, synchronous": {
        "method": "easgd", "center": "window", "tau": 1, "order": "synchronous"
    },
    "server, τ = 1": {"method": "easgd", "center": "server", "tau": 1},
    "server, τ = 10": {"method": "eamsgd", "center": "server", "tau": 10},
    "allreduce, τ = 1": {"method": "easgd", "center": "allreduce", "tau": 1},
}  # fmt: skip


def measure(engines: Engines) -> dict:
    """Time steps and exchanges on engines: the record that `TimeModel.calibrated` reads."""
    workers = engines.client[list(range(WORKERS))]
    timed = {batch: np.concatenate(workers.apply_sync(_steps, batch, STEPS)) for batch in BATCHES}
    compute = {batch: times[:, 1].mean() for batch, times in timed.items()}
    per_image, step = np.polyfit(list(compute), list(compute.values()), 1)
    variation = timed[64][:, 1].std() / compute[64]
    links = {center: _link(engines, center) for center in LINKS}
    return {
        "step": {
            "step": max(float(step), 0.0),
            "per_image": float(per_image),
            "data_per_image": float(mean(t[:, 0].mean() / b for b, t in timed.items())),
            "spread": float(np.log1p(variation**2) ** 0.5),
        },
        "links": links,
    }


def _link(engines: Engines, center: str) -> dict[str, float]:
    """Latency and bandwidth of one request, of two in an exchange."""
    ranks = WORKERS + kind_of(center).extra_ranks
    times = {}
    for size in (SMALL, WHOLE):
        found = engines.client[list(range(ranks))].apply_sync(_exchanges, center, size, ROUNDS)
        times[size] = mean(mean(each) for each in found if each) / 2
    bandwidth = 4 * (WHOLE - SMALL) / (times[WHOLE] - times[SMALL])
    return {"latency": times[SMALL], "bandwidth": bandwidth}


class Check(NamedTuple):
    """One case, run on MPI and predicted, several seeds each.

    `real` and `predicted` are mean images per second; the accuracies are the center's, by seed.
    """

    case: str
    real: float
    predicted: float
    real_accuracy: list[float]
    predicted_accuracy: list[float]

    @property
    def ratio(self) -> float:
        """Predicted over real images per second."""
        return self.predicted / self.real


def checks(engines: Engines, model: dict, seeds: int, steps: int) -> Iterator[Check]:
    """Every case on MPI and under the virtual clock, the same seeds and steps."""
    for case, difference in CASES.items():
        runs = [Settings(**BASE | difference, steps=steps, seed=seed) for seed in range(seeds)]
        times = TimeModel.from_record(model, runs[0].center)
        real = [engines.train(settings) for settings in runs]
        predicted = [simulate.train(settings, times=times) for settings in runs]
        speeds = [mean(run.images_per_second for run in group) for group in (real, predicted)]
        accuracies = [[run.final_test_accuracy for run in group] for group in (real, predicted)]
        yield Check(case, speeds[0], speeds[1], accuracies[0], accuracies[1])


# Below: what runs on the engines.


def _steps(batch_size: int, n: int) -> np.ndarray:
    """Seconds of drawing and of computing of n steps, (n, 2)."""
    from easgd_lib.parallel.world import World  # starts MPI: only on an engine

    torch.set_num_threads(1)
    keep_freed_memory()
    world = World.of(2)
    settings = Settings("sgd", batch_size=batch_size, data="sample")
    objective = ImageClassification(datasets.load("sample"), settings, world.rank)
    x = objective.start
    times = np.empty((WARM_UP + n, 2))
    for t in range(len(times)):
        if t == WARM_UP:
            world.barrier("the other engine")
        began = time.perf_counter()
        batch = objective.draw()
        drawn = time.perf_counter()
        x = x - settings.eta * objective.gradient(x, batch)
        times[t] = drawn - began, time.perf_counter() - drawn
    world.barrier("the other engine")
    return times[WARM_UP:]


def _exchanges(center: str, size: int, n: int) -> list[float]:
    """Seconds of n exchanges with a gradient between them; nothing from the server."""
    # They start MPI: only on an engine.
    from easgd_lib.parallel import centers
    from easgd_lib.parallel.world import World

    torch.set_num_threads(1)
    settings = Settings("easgd", workers=WORKERS, center=center, data="sample")
    world = World.of(settings.ranks)
    there = settings.kind, world, torch.zeros(size), protocol_of(settings)
    worker = world.rank - settings.kind.extra_ranks
    if worker < 0:
        centers.serve(*there)
        return []
    objective = ImageClassification(datasets.load("sample"), settings, worker)
    connected = centers.connect(*there)
    x, times = there[2], []
    for _ in range(WARM_UP + n):
        objective.gradient(objective.start, objective.draw())
        began = time.perf_counter()
        force = 0.4 * (x - connected.pull())
        connected.push(force)
        times.append(time.perf_counter() - began)
        x = x - force
    connected.close()
    return times[WARM_UP:]


def record(model: dict, checked: list[Check], environment: dict) -> dict:
    """What is stored: the model, how well it did, and where."""
    return model | {
        "checks": [check._asdict() | {"ratio": check.ratio} for check in checked],
        "environment": environment,
    }


def environment() -> dict:
    """Where it was measured."""
    return records.environment(datasets.load("sample"), 1, WORKERS, mpiexec.library_version())
