"""p workers in one process: the same methods, the same center, and every number repeats.

`trajectory` follows them on an objective of NumPy's; `train` trains them on images under a virtual
clock, in which a model says how long computing and exchanging take, stragglers included
(`clock.py`); what that does to the staleness of pushes can then be seen.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from easgd_lib.errors import SettingsError
from easgd_lib.learning import data_files, datasets, evaluate, given, records
from easgd_lib.learning.checkpoint import EVERY, Checkpoint
from easgd_lib.learning.objectives import objective_of
from easgd_lib.learning.pointless import warn_if_pointless
from easgd_lib.learning.records import Run
from easgd_lib.learning.sources import CIFAR10, is_task
from easgd_lib.learning.worker import Stopwatch, Worker, keep_freed_memory
from easgd_lib.method.algorithms import SGD, method_of, protocol_of, worker_too
from easgd_lib.method.settings import Settings
from easgd_lib.resources import cores
from easgd_lib.simulation.centers import VirtualCenters
from easgd_lib.simulation.checkpoint import Stored, Tape
from easgd_lib.simulation.clock import Clock, Process, Requests, Span, TimeModel, Vote, link_of
from easgd_lib.simulation.predict import Prediction, predict, throughput
from easgd_lib.simulation.trajectory import Trajectory, admm_round_robin, trajectory

__all__ = [
    "Prediction", "Trajectory", "admm_round_robin", "predict", "run_workers", "throughput", "train",
    "trajectory",
]  # fmt: skip


class VirtualWatch(Stopwatch):
    """A worker's stopwatch, set by the clock."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def switch(self, activity: str | None):
        """Nothing: the clock knows what the worker is doing."""

    def note(self, span: Span):
        self.spent[span.activity] += span.end - span.start
        self.now = span.end

    def state(self) -> dict:
        return super().state() | {"now": self.now}

    def restore(self, state: dict):
        super().restore(state)
        self.now = state["now"]

    @property
    def seconds(self) -> float:
        return self.now


def train(
    settings: Settings,
    report: Callable[[dict], None] = lambda numbers: None,
    *,
    times: TimeModel | None = None,
    method: type[SGD] | None = None,
    task: Callable[[], Any] | None = None,
    checkpoint: str | Path | None = None,
    every: float = EVERY,
    resume: bool = False,
) -> Run:
    """Train p workers on images in this process, under a virtual clock.

    Seconds, images per second and the time split are virtual: those of p workers that have
    a core each. Losses and accuracies are real. The record's environment says so, and
    holds the time model and the seconds it really took.

    Parameters
    ----------
    settings : Settings
        ``center`` is the one to imitate; "local" serves one exchange at a time.
    report : callable
        Called with live numbers of worker 0.
    times : TimeModel, optional
        By default the one that `easgd calibrate` measured, with the KTH report's network: it
        says nothing of CIFAR-10's, which wants a model of its own.
    method : type, optional
        A class like those in `methods`, in place of the one that the settings name.
    task : callable, optional
        A function that makes a `Task`, a network, data and a loss of your own; it needs `times`.
    checkpoint : str or Path, optional
        A folder to write checkpoints into, `every` so many real seconds; with `resume` the run
        goes on from the newest one in it, and gives the very numbers of a run never stopped.
    """
    began = time.perf_counter()
    if task:
        given.give(task)
        settings = settings.replace(data=given.NAME)
    method = method or method_of(settings)
    link_of(settings.center)
    if times is None and (settings.data == CIFAR10 or is_task(settings.data)):
        raise SettingsError(
            f"the calibrated times are those of the KTH report's network, not of {settings.data}'s",
            "give a time model (--time-model)",
        )
    times = times or TimeModel.calibrated(settings.center)
    warn_if_pointless(settings)
    data = datasets.load(data_files.resolve(settings.data))
    settings = settings.replace(data=data.name)
    asked = Checkpoint.asked(checkpoint, every, resume)
    workers = run_workers(settings, data, method, times, report, asked)
    workers[0].take_snapshot()
    jobs = evaluate.jobs(workers[0].snapshots, with_worker=worker_too(settings))
    evaluations = evaluate.carry_out(data, jobs)
    where = records.environment(data, torch.get_num_threads(), ranks=1, mpi=None)
    where |= {
        "clock": "virtual",
        "time_model": {name: x for name, x in asdict(times).items() if x < float("inf")},
        "real_seconds": round(time.perf_counter() - began, 1),
    }
    accounts = [worker.account() for worker in workers]
    return Run.from_dict(records.assemble(settings, accounts, evaluations, where))


def run_workers(
    settings: Settings,
    data: datasets.Dataset,
    method: type[SGD],
    times: TimeModel,
    report: Callable[[dict], None] = lambda numbers: None,
    checkpoint: Checkpoint | None = None,
) -> list[Worker]:
    """All p workers, from their first step to their last, worker 0 with its snapshots."""
    torch.set_num_threads(settings.threads or cores())
    keep_freed_memory()
    p, images = settings.workers, settings.batch_size
    clock, watches = Clock(), [VirtualWatch() for _ in range(p)]
    protocol = protocol_of(settings, method)
    objectives = [objective_of(settings)(data, settings, i) for i in range(p)]
    start = objectives[0].start
    virtual = VirtualCenters(clock, settings, protocol, times, start, start.nbytes)
    center = virtual.evaluated if method.exchange else None
    workers = [
        Worker(i, settings, objectives[i], method, center, report, watch)
        for i, watch in enumerate(watches)
    ]
    if checkpoint and (settings.variant == "background" or settings.kind.nodes):
        raise SettingsError(
            "under the virtual clock what exchanges in the background has no checkpoints",
            "train without one, or with another variant or center",
        )
    tapes = [Tape(worker) for worker in workers] if checkpoint else []
    requests = [tape.recorded(_requests_of(tape.worker, tape.begin)) for tape in tapes]
    processes = [
        Process(
            i, clock, requests[i] if tapes else _requests_of(workers[i]), workers[i].gradient,
            images * times.data_per_image, times.compute_times(settings.seed, i, p, images),
            watches[i].note,
        )
        for i in range(p)
    ]  # fmt: skip
    if checkpoint is None:
        virtual.run(processes)
        return workers
    stored = Stored(checkpoint, settings, virtual, processes, tapes)
    try:
        with stored.saver.kept_if_not_finite():
            virtual.run(processes, stored.save_if_due, resumed=stored.restore())
        stored.save()
    finally:
        stored.saver.close()
    return workers


def _requests_of(worker: Worker, begin: Callable[[], None] = lambda: None) -> Requests:
    """Step until the run is over. Where exchanges wait for one another, vote before each."""
    settings = worker.settings
    votes = settings.order in ("synchronous", "round_robin") and settings.seconds is not None
    while True:
        begin()
        worker.snapshot_if_due()
        over = worker.progress >= 1
        if votes:
            over = (yield Vote(over)) if worker.method.exchange_is_due else False
        if over:
            return worker.finish()
        yield from worker.step()
