"""One worker: draw a batch, gradient where the method asks, exchange when τ divides t, move.

The loop is written once. `Worker` neither knows where the center variable x̃ lives nor which method
it runs; what it adds is what surrounds a method: the stopwatch, the log, the snapshots.
"""

import ctypes
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from easgd_lib.errors import NotFinite
from easgd_lib.learning.driving import Beside, carry_out
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.saver import state_of
from easgd_lib.learning.sources import steps_of
from easgd_lib.method.algorithms import SGD, Gradient, Request, Step, protocol_of
from easgd_lib.method.center import Begin, Center, End, Pull, Push, exchange
from easgd_lib.method.settings import Settings
from easgd_lib.method.tree import tie_of, tied

ACTIVITIES = ("compute", "data", "communication")
LOG_POINTS = 60  # training loss is logged about so often, each the mean since the last
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEEP = -1, -3, 2**30  # mallopt(3); bytes
REPORT_EVERY = 0.5  # seconds between two reports of progress


class Stopwatch:
    """Sorts a worker's time into compute, data and communication; nothing else is timed."""

    def __init__(self):
        self.spent = dict.fromkeys(ACTIVITIES, 0.0)
        self.activity: str | None = None
        self._since = 0.0

    def switch(self, activity: str | None):
        """From now on the time belongs to `activity`; None stops the watch."""
        now = time.perf_counter()
        if self.activity:
            self.spent[self.activity] += now - self._since
        self.activity, self._since = activity, now

    def state(self) -> dict:
        """What a checkpoint keeps of it."""
        return {"spent": dict(self.spent)}

    def restore(self, state: dict):
        """Go on from such a state."""
        self.spent = dict(state["spent"])

    @property
    def seconds(self) -> float:
        running = time.perf_counter() - self._since if self.activity else 0.0
        return sum(self.spent.values()) + running


class LogPoint(NamedTuple):
    """Mean training loss since the last point; `samples` are this worker's own."""

    seconds: float
    step: int
    samples: int
    loss: float


class Snapshot(NamedTuple):
    """Where a worker and the center stood, copied: evaluated after the run."""

    seconds: float
    step: int
    x: Tensor
    center: Tensor


def keep_freed_memory():
    """Have glibc keep what is freed instead of handing it back to the kernel.

    A network's step frees and takes the same megabytes again and again; faulting them in anew
    each time costs a fifth of a step. Elsewhere than on glibc this does nothing.
    """
    if sys.platform == "win32":
        return  # it has no handle on the program itself
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, KEEP)
        mallopt(M_MMAP_THRESHOLD, KEEP)


class Worker:
    """One worker of a run on real images.

    Parameters
    ----------
    index : int
        Worker 0 … p − 1. Worker 0 also takes the snapshots, unless `takes_snapshots` is set.
    method : type
        One of `methods`, or of your own making.
    center : Center or None
        None for a sequential method, which is its own center.
    report : callable
        Called now and then with a small dict of live numbers.
    """

    def __init__(
        self,
        index: int,
        settings: Settings,
        objective: ImageClassification,
        method: type[SGD],
        center: Center | None = None,
        report: Callable[[dict], None] = lambda numbers: None,
        watch: Stopwatch | None = None,
    ):
        self.index, self.settings, self.objective = index, settings, objective
        self.center: Any = center  # None: the method never asks for it
        self.report = report
        self.method = method(objective.start, settings)
        self.watch = watch or Stopwatch()
        self.log: list[LogPoint] = []
        self.snapshots: list[Snapshot] = []
        self.beside = Beside()
        self.tie = tie_of(protocol_of(settings, method), index, settings.workers)
        self.takes_snapshots: Callable[[], bool] = lambda: index == 0
        self.total_steps = steps_of(settings, len(objective.data.train_labels))
        self._losses: list[float] = []
        self._logged = 0.0
        self._next_snapshot = 0
        self._reported = time.monotonic()

    @property
    def samples(self) -> int:
        return self.method.t * self.settings.batch_size

    @property
    def exchanges(self) -> int:
        """Exchanges so far: one at each own step that τ divides, the first at step 0."""
        return math.ceil(self.method.t / self.settings.tau) if self.method.exchange else 0

    @property
    def progress(self) -> float:
        """How much of the run is over, 0 to 1, on this worker's own clock."""
        if self.total_steps is not None:
            return self.method.t / self.total_steps
        return self.watch.seconds / self.settings.seconds

    def answer(self, request: Request) -> Any:
        """Give the method what it asks for; the stopwatch notes what that took.

        From a pull until the next gradient everything is communication, the elastic
        arithmetic included.
        """
        match request:
            case Pull():
                self.watch.switch("communication")
                return self.center.pull()
            case Push(change):
                self.watch.switch("communication")
                self.center.push(change)
            case Begin(change):
                root = self.center.root if self.tie else self.center
                self.beside.begin(partial(exchange, root, change))
            case End():
                self.watch.switch("communication")
                return self.beside.end()
            case Gradient(at):
                return self.gradient(at)

    def gradient(self, at: Tensor) -> Tensor:
        """The gradient at this point, on the next batch."""
        self.watch.switch("data")
        batch = self.objective.draw()
        self.watch.switch("compute")
        return self.objective.gradient(at, batch)

    def step(self) -> Step:
        """One step of the method; afterwards check the loss and take notes."""
        self.watch.switch("compute")
        yield from tied(self.method.step(), self.tie)
        self.watch.switch(None)
        loss = self.objective.loss
        if not math.isfinite(loss):
            raise NotFinite(
                f"the loss of worker {self.index} is {loss} at step {self.method.t - 1} "
                f"({self.settings.summary})",
                "lower eta, or alpha",
            )
        self._losses.append(loss)
        if self.progress - self._logged >= 1 / LOG_POINTS:
            self._take_note()
        if time.monotonic() - self._reported >= REPORT_EVERY:
            self._reported = time.monotonic()
            self.report(self.live())

    def _take_note(self):
        mean = sum(self._losses) / len(self._losses)
        self.log.append(LogPoint(self.watch.seconds, self.method.t, self.samples, mean))
        self._logged, self._losses = self.progress, []

    def live(self) -> dict:
        """What a progress bar wants to know."""
        last = self._losses[-20:] or [self.log[-1].loss]
        return {
            "worker": self.index,
            "progress": min(self.progress, 1.0),
            "seconds": self.watch.seconds,
            "loss": sum(last) / len(last),
            "images_per_second": self.samples / self.watch.seconds,
        }

    def snapshot_if_due(self):
        """Copy this worker and the center, evenly over the run, start included."""
        due = self._next_snapshot / self.settings.snapshots
        if self.progress >= due and due < 1 and self.takes_snapshots():
            passed = int(self.progress * self.settings.snapshots)
            self._next_snapshot = 1 + max(passed, self._next_snapshot)
            self.take_snapshot()

    def take_snapshot(self, center: Tensor | None = None):
        """Copy x, and the center: the one given, else as it is now (or what stands in for it)."""
        x = self.method.x.clone()
        self.beside.end()  # a center answers one question at a time
        if center is None:
            center = self.center.snapshot() if self.center else self.method.evaluated.clone()
        self.snapshots.append(Snapshot(self.watch.seconds, self.method.t, x, center))

    def train(self, over: Callable[[bool], bool] = lambda mine: mine):
        """Step until the run is over. `over` may make all workers agree on that."""
        self.snapshot_if_due()
        while not over(self.progress >= 1):
            carry_out(self.step(), self.answer)
            self.snapshot_if_due()
        self.finish()

    def finish(self):
        """The last note, and the last report; the last exchange comes to its end."""
        self.beside.close()
        if self._losses and (not self.log or self.progress - self._logged > 0.5 / LOG_POINTS):
            self._take_note()  # a mean over a few batches more would only be noise
        if self.log:
            self.report(self.live())

    def state(self) -> dict:
        """All that a checkpoint keeps of this worker, between two of its steps."""
        return {
            "beside": self.beside.end(),
            "method": state_of_method(self.method),
            "objective": state_of(self.objective, "objective"),
            "watch": self.watch.state(),
            "log": self.log,
            "losses": self._losses,
            "logged": self._logged,
            "snapshots": self.snapshots,
            "next_snapshot": self._next_snapshot,
        }

    def restore(self, state: dict):
        """Go on from such a state."""
        vars(self.method).update(state["method"])
        self.objective.restore(state["objective"])
        self.watch.restore(state["watch"])
        self.log = [LogPoint(*point) for point in state["log"]]
        self.snapshots = [Snapshot(*snapshot) for snapshot in state["snapshots"]]
        self._losses, self._logged = state["losses"], state["logged"]
        self.beside.result = state["beside"]
        self._next_snapshot = state["next_snapshot"]

    def rejoin(self, center: Tensor, t: int):
        """Take the place of a worker that was lost: start at x̃, at the others' step."""
        self.method = type(self.method)(center.clone(), self.settings)
        self.method.t = t

    def account(self) -> dict:
        """This worker's part of the record."""
        return {
            "worker": self.index,
            "seconds": self.watch.seconds,
            "samples": self.samples,
            "exchanges": self.exchanges,
            "time_split": self.watch.spent,
            "log": self.log,
        }


def state_of_method(method: SGD) -> dict:
    """Its x and all else that it remembers from step to step."""
    return {name: value for name, value in vars(method).items() if name != "settings"}
