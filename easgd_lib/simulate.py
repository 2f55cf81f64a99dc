"""p workers in one process: the same methods, the same center, nothing left to chance.

Two orders. *Synchronous*: all workers step together; what all of them ask for is answered
before anybody goes on, so every pull of one step sees the same x̃. *Round robin*: one
worker at a time takes a whole step, in rank order.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from easgd_lib import datasets, evaluate, records
from easgd_lib.centers.local import LocalCenter
from easgd_lib.errors import SettingsError
from easgd_lib.methods import METHODS, Request
from easgd_lib.objectives import Digits
from easgd_lib.settings import Settings
from easgd_lib.worker import Worker, answering, carry_out, keep_freed_memory


class Trajectory(NamedTuple):
    """Where everybody was: workers (steps + 1, p, d), center (steps + 1, d), float64."""

    workers: np.ndarray
    center: np.ndarray


def together(methods: list, answers: list[Callable[[Request], Any]]):
    """One synchronous step of all `methods`: each round of requests is answered as a whole."""
    steps = [method.step() for method in methods]
    known: list[Any] = [None] * len(steps)
    while True:
        requests = []
        for step, given in zip(steps, known, strict=True):
            try:
                requests.append(step.send(given))
            except StopIteration:
                continue
        if not requests:
            return
        known = [answer(request) for answer, request in zip(answers, requests, strict=True)]


def trajectory(
    settings: Settings, objective, start, steps: int, order: str | None = None
) -> Trajectory:
    """Follow p workers and the center on `objective`, exactly.

    Parameters
    ----------
    settings : Settings
        Method, p, η, α, τ, δ, γ and the seed of the noise.
    objective
        Has ``gradient(x, generator)``, such as `objectives.Quadratic`.
    start : scalar, (d,) or (p, d) array
        Where the workers start; the center starts at their mean.
    steps : int
        Synchronous: one step moves every worker once. Round robin: one step is one
        worker's turn, worker t mod p.
    order : {"synchronous", "round_robin"}, optional
        Overrides ``settings.order``.

    Returns
    -------
    Trajectory

    Raises
    ------
    SettingsError
        The order is not fixed by the settings, so there is no one trajectory.
    """
    order = order or settings.order
    if order not in ("synchronous", "round_robin"):
        raise SettingsError(f"order {order} fixes no trajectory: use synchronous or round_robin")
    p = settings.workers
    start = np.atleast_1d(np.asarray(start, dtype=np.float64))
    start = np.broadcast_to(start, (p, start.shape[-1]))
    methods = [METHODS[settings.method](x, settings) for x in start]
    center = LocalCenter(start.mean(0))

    def noisy_gradient(noise: np.random.Generator, x: np.ndarray) -> np.ndarray:
        return objective.gradient(x, noise)

    noises = [datasets.generator(settings.seed, worker) for worker in range(p)]
    answers = [answering(center, partial(noisy_gradient, noise)) for noise in noises]
    seen = [(start, center.pull())]
    for t in range(steps):
        if order == "synchronous":
            together(methods, answers)
        else:
            carry_out(methods[t % p].step(), answers[t % p])
        workers = np.array([method.x for method in methods])
        seen.append((workers, center.pull() if methods[0].exchanges else workers[0]))
    return Trajectory(*map(np.array, zip(*seen, strict=True)))


def train(settings: Settings, report: Callable[[dict], None] = lambda numbers: None) -> dict:
    """Train p workers on digits in this process (``center="local"``). Returns a run's record.

    Each worker's clock counts its own work only, as if it had its core to itself, so seconds
    are virtual. Asynchronous workers of equal speed take turns: here that is round robin.
    """
    torch.set_num_threads(settings.threads or records.cores())
    keep_freed_memory()
    data = datasets.load(datasets.resolve(settings.data))
    settings = settings.replace(data=data.name)
    digits = [Digits(data, settings, worker) for worker in range(settings.workers)]
    center = LocalCenter(digits[0].start) if METHODS[settings.method].exchanges else None
    workers = [Worker(i, settings, d, center, report) for i, d in enumerate(digits)]
    step = _synchronous_step if settings.order == "synchronous" else _step_in_turn
    workers[0].snapshot_if_due()
    while any(worker.progress < 1 for worker in workers):
        step(workers)
        workers[0].snapshot_if_due()
    workers[0].take_snapshot()
    jobs = evaluate.jobs(workers[0].snapshots, with_worker=center is not None)
    where = records.environment(data, torch.get_num_threads(), ranks=1, mpi=None)
    accounts = [worker.account() for worker in workers]
    return records.assemble(settings, accounts, evaluate.carry_out(data, jobs), where).to_dict()


def _step_in_turn(workers: list[Worker]):
    for worker in workers:
        worker.step()


def _synchronous_step(workers: list[Worker]):
    def answer(worker: Worker, request: Request) -> Any:
        result = worker.answer(request)
        worker.watch.switch(None)  # while the others have their turn
        return result

    together([worker.method for worker in workers], [partial(answer, w) for w in workers])
    for worker in workers:
        worker.after_step()
