"""Virtual time: an event queue on which any number of workers run as if each had its own core.

Every process is a generator of requests, as the methods are. The clock answers each request
when its time has come, and so decides which worker sees which x̃. Gradients are real and
the numbers are exact; only the seconds are a model's (`TimeModel`). Same seed, same numbers.
"""

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from easgd_lib import paths
from easgd_lib.errors import SettingsError
from easgd_lib.method.algorithms import Gradient
from easgd_lib.method.center import (
    Begin,
    CenterKind,
    End,
    ExchangeProtocol,
    LocalCenter,
    Pull,
    Push,
    kind_of,
)
from easgd_lib.values import kind, number, read_json

# What a time model on disk says of a step, and of a link.
MEASURED_STEP = ("step", "per_image", "data_per_image", "spread")
MEASURED_LINK = ("latency", "bandwidth")
WIDEST = 10.0  # σ of a log-normal factor; a wider one gives steps that take no time
CALIBRATED = paths.DATA / "time-model.json"


@dataclass(frozen=True)
class TimeModel:
    """How long things take, in seconds. A message of n bytes takes latency + n/bandwidth.

    Attributes
    ----------
    step, per_image : float
        A gradient on b images and the step made of it: step + b · per_image.
    data_per_image : float
        Drawing and standardizing one image.
    spread : float
        σ of the log-normal factor (mean 1) on every single compute time; 0: constant.
    stragglers, slowdown : int, float
        The last so many workers compute so many times slower.
    latency, bandwidth : float
        Of a pull or a push: seconds, and bytes per second.
    """

    step: float = 0.001
    per_image: float = 0.0
    data_per_image: float = 0.0
    spread: float = 0.0
    stragglers: int = 0
    slowdown: float = 1.0
    latency: float = 0.0
    bandwidth: float = float("inf")

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name != "bandwidth" or value != float("inf"):
                most = WIDEST if name == "spread" else float("inf")
                number(name, value, 0, most, whole=name == "stragglers")
        if not (self.step + self.per_image > 0 and self.bandwidth > 0):
            raise SettingsError("a step and a bandwidth must be more than 0")

    @classmethod
    def calibrated(cls, center: str = "window", path: Path = CALIBRATED) -> "TimeModel":
        """The model that `easgd calibrate` measured for this center.

        Raises
        ------
        DataError
            No such file, or not one of ours.
        """
        link_of(center)
        return read_json(
            Path(path),
            lambda record: cls.from_record(record, center),
            "no readable time model",
            "`easgd calibrate` writes one",
        )

    @classmethod
    def from_record(cls, record: dict, center: str) -> "TimeModel":
        """The model for this center in a record that `calibrate.measure` made.

        Raises
        ------
        SettingsError
            The clock cannot imitate this center.
        """
        kind("step", record["step"], dict)
        kind("links", record["links"], dict)
        link = record["links"][link_of(center)]
        kind("a link", link, dict)
        measured = {name: record["step"][name] for name in MEASURED_STEP}
        return cls(**measured | {name: link[name] for name in MEASURED_LINK})

    def but(self, **changes) -> "TimeModel":
        """This model with some values changed."""
        return replace(self, **changes)

    def shared_by(self, cores: int) -> "TimeModel":
        """One batch computed by so many cores, its images dealt out and nothing lost by it.

        The most that a data-parallel rival could reach: its gradients are summed for free.
        """
        return self.but(
            per_image=self.per_image / cores, data_per_image=self.data_per_image / cores
        )

    def message(self, size: float) -> float:
        """Seconds that `size` bytes take, one way."""
        return self.latency + size / self.bandwidth

    def allreduce(self, size: int, p: int) -> float:
        """Seconds of a ring all-reduce over p workers: 2(p − 1) messages of size/p bytes."""
        return 2 * (p - 1) * self.message(size / p)

    def compute_times(self, seed: int, worker: int, workers: int, images: int) -> Iterator[float]:
        """The compute times of one worker's steps, endless. Its own source of randomness."""
        slowdown = self.slowdown if worker >= workers - self.stragglers else 1.0
        mean = slowdown * (self.step + images * self.per_image)
        rng = np.random.default_rng([seed, worker + 1, 1])
        while True:
            for factor in rng.lognormal(-(self.spread**2) / 2, self.spread, 256):
                yield mean * float(factor)


def link_of(center: str) -> str:
    """Which measured link this center's messages take.

    Raises
    ------
    SettingsError
        The clock cannot imitate this center.
    """
    link = kind_of(center).link
    if link is None:
        raise SettingsError("the virtual clock sends no messages", f"{center} needs MPI engines")
    return link


class Vote(NamedTuple):
    """Asks all others whether any wants to stop; the answer is the same for all."""

    stop: bool


class Span(NamedTuple):
    """What one worker did from `start` to `end`, in virtual seconds."""

    worker: int
    activity: str
    start: float
    end: float


Requests = Generator[Any, Any, None]  # what a process asks for, in turn


class Clock:
    """The event queue: `at` a time it is a process's turn, earliest first, ties first come.

    What is due then follows from what the process waits for. So a queue is numbers only, and
    can be written down (`state`) and read back.
    """

    def __init__(self):
        self.now = 0.0
        self._queue: list[tuple[float, int, int]] = []
        self._count = 0

    def at(self, time: float, process: int):
        heapq.heappush(self._queue, (time, self._count, process))
        self._count += 1

    def run(self, act: Callable[[int], None], between: Callable[[], None] = lambda: None):
        """Let each process act when its time has come; call `between` after every event."""
        while self._queue:
            self.now, _, process = heapq.heappop(self._queue)
            act(process)
            between()

    def state(self) -> dict:
        """Now, and what is still to come, as plain numbers."""
        return {"now": self.now, "count": self._count, "queue": list(self._queue)}

    def restore(self, state: dict):
        """Go on from such a state."""
        self.now, self._count = state["now"], state["count"]
        self._queue = [(time, count, process) for time, count, process in state["queue"]]


class Process:
    """One worker under the clock: a process, in SimPy's word, that a generator drives.

    Parameters
    ----------
    requests : generator
        Yields `Pull`, `Push`, `Begin`, `End`, `Gradient` and `Vote`; is sent the answers.
    gradient : callable
        From a point to a gradient.
    data, compute : float, iterator of floats
        Seconds before each gradient and of each gradient.
    note : callable
        Called with every `Span`.

    Attributes
    ----------
    number : int
        Under which the clock knows it.
    request : Pull, Push, End, Gradient, Vote or None
        What it waits for; None before it has begun, and when it has ended.
    answer
        What it will be answered, as far as that is known by now.
    beside : Exchange
        The exchange that goes on while it does.
    """

    def __init__(
        self,
        index: int,
        clock: Clock,
        requests: Requests,
        gradient: Callable[[Any], Any],
        data: float,
        compute: Iterator[float],
        note: Callable[[Span], None],
    ):
        self.index = self.number = index
        self.clock, self.requests = clock, requests
        self.gradient, self.data, self.compute, self.note = gradient, data, compute, note
        self.center: VirtualCenter
        self.request: Any = None
        self.answer: Any = None
        self.asked = 0  # requests to the center
        self.computed = 0  # gradients
        self.asked_at = 0.0
        self.beside = Exchange(self)

    def act(self):
        """Its time has come: it begins, its gradient is done, or its request to the center is."""
        if self.request is None or isinstance(self.request, Gradient):
            self.resume()
        else:
            self.center.complete(self)

    def resume(self):
        """Go on with the answer, until the next request that takes time."""
        while True:
            try:
                self.request = self.requests.send(self.answer)
            except StopIteration:
                self.request = self.answer = None
                return
            self.answer, self.asked_at = None, self.clock.now
            match self.request:
                case Begin(change):
                    self.beside.begin(change)
                case End() if not self.beside.request:
                    self.answer = self.beside.pushed
                case End():
                    return
                case Gradient(at):
                    return self.compute_gradient(at)
                case _:
                    return self.center.ask(self)

    def compute_gradient(self, at: Any):
        """Draw, and compute: that takes its time."""
        now = self.clock.now
        self.answer = self.gradient(at)
        drawn = now + self.data
        done = drawn + next(self.compute)
        self.computed += 1
        self.note(Span(self.index, "data", now, drawn))
        self.note(Span(self.index, "compute", drawn, done))
        self.clock.at(done, self.number)

    def answered(self):
        """The center is done with the last request: that took until now."""
        self.note(Span(self.index, "communication", self.asked_at, self.clock.now))
        self.resume()


class Exchange:
    """The exchange of one worker that goes on while the worker does; a process of its own."""

    def __init__(self, owner: Process):
        self.owner, self.index = owner, owner.index
        self.number = -1
        self.request: Any = None
        self.answer: Any = None
        self.pushed: Any = None
        self.asked = 0

    def begin(self, change: Callable[[Any], Any]):
        """The owner goes on at once."""
        self.change = change
        self.request = Pull()
        self.owner.center.ask(self)

    def act(self):
        """Its request to the center is done."""
        self.owner.center.complete(self)

    def answered(self):
        """After the pull comes the push; after the push the owner, if it waits."""
        if isinstance(self.request, Pull):
            self.pushed = self.change(self.answer)
            self.request = Push(self.pushed)
            self.owner.center.ask(self)
            return
        self.request = None
        if isinstance(self.owner.request, End):
            self.owner.answer = self.pushed
            self.owner.answered()


class VirtualCenter:
    """x̃ under the clock. Which requests wait for which is what makes an order, and a center.

    - Asynchronous, window: a pull never waits; pushes go one at a time.
    - Asynchronous, server (and local): atomic exchanges, first come, first served;
      one request at a time where a gradient falls within the exchange.
    - Round robin: one exchange at a time, in rank order.
    - Synchronous: the n-th requests of all workers together, pushes in rank order.
    """

    def __init__(
        self, clock: Clock, center: LocalCenter, protocol: ExchangeProtocol, kind: CenterKind,
        times: TimeModel, workers: int, size: int,
    ):  # fmt: skip
        self.clock, self.center, self.protocol, self.kind = clock, center, protocol, kind
        self.times, self.workers, self.size = times, workers, size
        self.cost = times.message(size)
        self.processes: list[Any] = []  # by number: workers, and the exchanges beside them
        self.gathered: set[int] = set()  # waiting for all others to ask
        self.voting: set[int] = set()  # or to vote
        self.queue: deque[int] = deque()  # waiting for a turn
        self.holder: int | None = None  # whose exchange or request is being served
        self.turn = 0  # round robin: whose exchange is next

    def ask(self, who: Any):
        if self.protocol.order == "synchronous" or isinstance(who.request, Vote):
            self._gather(who)
        elif self.holder == who.number or self._never_waits(who.request):
            self._carry_out(who)
        else:
            self.queue.append(who.number)
            self._serve_next()

    def _never_waits(self, request: Any) -> bool:
        free = not self.kind.atomic and self.protocol.order == "asynchronous"
        return free and isinstance(request, Pull)

    def _serve_next(self):
        """If the center is free, let in the first in the queue, or the worker whose turn it is."""
        if self.holder is not None:
            return
        for first in self.queue:
            if self.protocol.order == "asynchronous" or first % self.workers == self.turn:
                self.queue.remove(first)
                self.holder = first
                self._carry_out(self.processes[first])
                return

    @property
    def _whole_exchanges(self) -> bool:
        """Whether a worker keeps the center from its first request to its last."""
        if self.protocol.order == "round_robin":
            return True
        return self.kind.atomic and self.protocol.atomic

    def _carry_out(self, who: Any):
        """A pull sees x̃ as it is when granted; a push is there when its message is."""
        who.answer = self.center.pull() if isinstance(who.request, Pull) else None
        who.asked += 1
        self.clock.at(self.clock.now + self.cost, who.number)

    def complete(self, who: Any):
        """The request of this process is done now."""
        if isinstance(who.request, Push):
            self.center.push(who.request.change)
        elif isinstance(who.request, Pull) and self.protocol.order == "synchronous":
            who.answer = self.center.pull()
        last = who.asked % len(self.protocol.exchange) == 0
        if self.holder == who.number and (last or not self._whole_exchanges):
            self.holder = None
            self.turn = (self.turn + 1) % self.workers
            self._serve_next()
        who.answered()

    def _gather(self, who: Any):
        vote = isinstance(who.request, Vote)
        waiting = self.voting if vote else self.gathered
        waiting.add(who.number)
        if len(waiting) < self.workers:
            return
        everybody = [self.processes[each] for each in sorted(waiting)]
        waiting.clear()
        if vote:
            stop = any(process.request.stop for process in everybody)
            for process in everybody:
                process.answer = stop
                self.clock.at(self.clock.now, process.number)
            return
        for process in everybody:
            cost = self._synchronous_cost(process.request, process.index)
            self.clock.at(self.clock.now + cost, process.number)

    def _synchronous_cost(self, request: Any, worker: int) -> float:
        """From when all have asked until this worker has its answer."""
        if self.kind.replicas:
            pulls = isinstance(request, Pull)
            return 0.0 if pulls else self.times.allreduce(self.size, self.workers)
        if not self.kind.atomic and isinstance(request, Pull):
            return self.cost
        return (worker + 1) * self.cost

    def state(self) -> dict:
        """Who waits for what, as plain numbers; x̃ itself is not in it."""
        return {
            "gathered": sorted(self.gathered), "voting": sorted(self.voting),
            "queue": list(self.queue), "holder": self.holder, "turn": self.turn,
        }  # fmt: skip

    def restore(self, state: dict):
        """Go on from such a state."""
        self.gathered, self.voting = set(state["gathered"]), set(state["voting"])
        self.queue, self.holder, self.turn = deque(state["queue"]), state["holder"], state["turn"]


def run(
    center: VirtualCenter,
    processes: list[Process],
    between: Callable[[], None] = lambda: None,
    *,
    resumed: bool = False,
):
    """Run every process to its end, from the beginning or from where the clock was restored to."""
    center.processes = [*processes, *(process.beside for process in processes)]
    for place, process in enumerate(center.processes):
        process.number = place
    for process in processes:
        process.center = center
        if not resumed:
            center.clock.at(0.0, process.number)
    center.clock.run(lambda number: center.processes[number].act(), between)
