"""Virtual time: an event queue on which any number of workers run as if each had its own core.

Every process is a generator of requests, as the methods are. The clock answers each request
when its time has come, and so decides which worker sees which x̃. Gradients are real and
the numbers are exact; only the seconds are a model's (`TimeModel`). Same seed, same numbers.
"""

import heapq
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
    End,
    Pull,
    Push,
    kind_of,
)
from easgd_lib.values import kind, number, read_json

# What a time model on disk says of a step, and of a link.
MEASURED_STEP = ("step", "per_image", "data_per_image", "spread")
MEASURED_LINK = ("latency", "bandwidth")
ROOT_LINK = "server"  # that of a node to the root of a tree
WHOLE = ("stragglers", "near", "per_host")
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
    root_latency, root_bandwidth : float
        The same between a node and the root of a tree.
    near : int
        The first so many workers are on the server's computer, where a message takes no time; of
        a tree the first so many nodes.
    per_host : int
        Workers on one computer, in which an all-reduce takes no time.
    """

    step: float = 0.001
    per_image: float = 0.0
    data_per_image: float = 0.0
    spread: float = 0.0
    stragglers: int = 0
    slowdown: float = 1.0
    latency: float = 0.0
    bandwidth: float = float("inf")
    root_latency: float = 0.0
    root_bandwidth: float = float("inf")
    near: int = 0
    per_host: int = 1

    def __post_init__(self):
        for name, value in asdict(self).items():
            if "bandwidth" not in name or value != float("inf"):
                most = WIDEST if name == "spread" else float("inf")
                number(name, value, 0, most, whole=name in WHOLE)
        if not (self.step + self.per_image > 0 and min(self.bandwidth, self.root_bandwidth) > 0):
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
        measured |= {name: link[name] for name in MEASURED_LINK}
        if kind_of(center).nodes:
            root = record["links"][ROOT_LINK]
            kind("a link", root, dict)
            measured |= {f"root_{name}": root[name] for name in MEASURED_LINK}
        return cls(**measured)

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

    def to_the_root(self) -> "TimeModel":
        """The same with the link between the nodes and the root."""
        return self.but(latency=self.root_latency, bandwidth=self.root_bandwidth)

    def message(self, size: float) -> float:
        """Seconds that `size` bytes take, one way."""
        return self.latency + size / self.bandwidth

    def allreduce(self, size: int, p: int) -> float:
        """Seconds of a ring all-reduce over n computers: 2(n − 1) messages of size/n bytes."""
        n = -(-p // self.per_host)
        return 2 * (n - 1) * self.message(size / n)

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
    center, ballot : VirtualCenter, Ballot
        Whom it asks.
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
        self.center: Any  # a `centers.VirtualCenter`
        self.ballot: Ballot
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
                case End() if self.beside.request is None:
                    self.answer = self.beside.pushed
                case End():
                    return
                case Vote():
                    return self.ballot.ask(self)
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
    """The exchange of one worker that goes on while the worker does; a process of its own.

    Attributes
    ----------
    center : VirtualCenter
        Its owner's, or the root of a tree, to which its owner's node is tied.
    index : int
        Whose it is in the eyes of this center: a worker, or a node.
    """

    def __init__(self, owner: Process):
        self.owner, self.index = owner, owner.index
        self.number = -1
        self.center: Any
        self.request: Any = None
        self.answer: Any = None
        self.pushed: Any = None
        self.asked = 0

    def begin(self, change: Callable[[Any], Any]):
        """The owner goes on at once."""
        self.change = change
        self.request = Pull()
        self.center.ask(self)

    def act(self):
        """Its request to the center is done."""
        self.center.complete(self)

    def answered(self):
        """After the pull comes the push; after the push the owner, if it waits."""
        if isinstance(self.request, Pull):
            self.pushed = self.change(self.answer)
            self.request = Push(self.pushed)
            self.center.ask(self)
            return
        self.request = None
        if isinstance(self.owner.request, End):
            self.owner.answer = self.pushed
            self.owner.answered()


class Ballot:
    """Where all workers vote whether to stop."""

    def __init__(self, clock: Clock, workers: int):
        self.clock, self.workers = clock, workers
        self.voting: dict[int, Process] = {}

    def ask(self, who: Process):
        """When the last one has voted, all have their answer."""
        self.voting[who.number] = who
        if len(self.voting) < self.workers:
            return
        everybody = [self.voting[each] for each in sorted(self.voting)]
        self.voting.clear()
        stop = any(process.request.stop for process in everybody)
        for process in everybody:
            process.answer = stop
            self.clock.at(self.clock.now, process.number)
