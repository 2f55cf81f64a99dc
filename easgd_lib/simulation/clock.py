"""Virtual time: an event queue on which any number of workers run as if each had its own core.

Every process is a generator of requests, as the methods are. The clock answers each request
when its time has come, and so decides which worker sees which x̃. Gradients are real and
the numbers are exact; only the seconds are a model's (`TimeModel`). Same seed, same numbers.
"""

import heapq
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from easgd_lib import paths
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.method.algorithms import Gradient
from easgd_lib.method.center import CenterKind, ExchangeProtocol, LocalCenter, Pull, Push, kind_of

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
            if not value >= 0:
                raise SettingsError(f"{name} must be at least 0: {value}")
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
        try:
            return cls.from_record(json.loads(Path(path).read_text()), center)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is no readable time model ({error})", "`easgd calibrate` writes one"
            ) from error

    @classmethod
    def from_record(cls, record: dict, center: str) -> "TimeModel":
        """The model for this center in a record that `calibrate.measure` made.

        Raises
        ------
        SettingsError
            The clock cannot imitate this center.
        """
        return cls(**record["step"], **record["links"][link_of(center)])

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
    """The event queue: `at` a time something happens, earliest first, ties first come."""

    def __init__(self):
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()

    def at(self, time: float, act: Callable[[], None]):
        heapq.heappush(self._queue, (time, next(self._count), act))

    def run(self):
        while self._queue:
            self.now, _, act = heapq.heappop(self._queue)
            act()


class Process:
    """One worker under the clock: a process, in SimPy's word, that a generator drives.

    Parameters
    ----------
    requests : generator
        Yields `Pull`, `Push`, `Gradient` and `Vote`; is sent the answers.
    gradient : callable
        From a point to a gradient.
    data, compute : float, iterator of floats
        Seconds before each gradient and of each gradient.
    note : callable
        Called with every `Span`.
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
        self.index, self.clock, self.requests = index, clock, requests
        self.gradient, self.data, self.compute, self.note = gradient, data, compute, note
        self.center: VirtualCenter
        self.asked = 0  # requests to the center
        self._asked_at = 0.0

    def resume(self, answer: Any = None):
        """Go on with this answer, until the next request."""
        try:
            request = self.requests.send(answer)
        except StopIteration:
            return
        if isinstance(request, Gradient):
            gradient, now = self.gradient(request.at), self.clock.now
            drawn = now + self.data
            done = drawn + next(self.compute)
            self.note(Span(self.index, "data", now, drawn))
            self.note(Span(self.index, "compute", drawn, done))
            self.clock.at(done, lambda: self.resume(gradient))
        else:
            self._asked_at = self.clock.now
            self.center.ask(self, request)

    def answered(self, answer: Any = None):
        """The center is done with the last request: that took until now."""
        self.note(Span(self.index, "communication", self._asked_at, self.clock.now))
        self.resume(answer)


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
        self.gathered: dict[int, tuple[Process, Any]] = {}  # waiting for all others
        self.queue: deque[tuple[Process, Any]] = deque()  # waiting for a turn
        self.holder: int | None = None  # whose exchange or request is being served
        self.turn = 0  # round robin: whose exchange is next

    def ask(self, who: Process, request: Any):
        if self.protocol.order == "synchronous" or isinstance(request, Vote):
            self._gather(who, request)
        elif self.holder == who.index or self._never_waits(request):
            self._carry_out(who, request)
        else:
            self.queue.append((who, request))
            self._serve_next()

    def _never_waits(self, request: Any) -> bool:
        free = not self.kind.atomic and self.protocol.order == "asynchronous"
        return free and isinstance(request, Pull)

    def _serve_next(self):
        """If the center is free, let in the first in the queue, or the worker whose turn it is."""
        if self.holder is not None:
            return
        for i, (who, request) in enumerate(self.queue):
            if self.protocol.order == "asynchronous" or who.index == self.turn:
                del self.queue[i]
                self.holder = who.index
                self._carry_out(who, request)
                return

    @property
    def _whole_exchanges(self) -> bool:
        """Whether a worker keeps the center from its first request to its last."""
        if self.protocol.order == "round_robin":
            return True
        return self.kind.atomic and self.protocol.atomic

    def _carry_out(self, who: Process, request: Any):
        """A pull sees x̃ as it is when granted; a push is there when its message is."""
        found = self.center.pull() if isinstance(request, Pull) else None
        who.asked += 1
        last = who.asked % len(self.protocol.exchange) == 0

        def done():
            if isinstance(request, Push):
                self.center.push(request.change)
            if self.holder == who.index and (last or not self._whole_exchanges):
                self.holder = None
                self.turn = (self.turn + 1) % self.workers
                self._serve_next()
            who.answered(found)

        self.clock.at(self.clock.now + self.cost, done)

    def _gather(self, who: Process, request: Any):
        self.gathered[who.index] = who, request
        if len(self.gathered) < self.workers:
            return
        all_workers = [self.gathered[i] for i in range(self.workers)]
        self.gathered = {}
        if isinstance(request, Vote):
            stop = any(vote.stop for _, vote in all_workers)
            for one, _ in all_workers:
                self.clock.at(self.clock.now, partial(one.answered, stop))
            return
        for one, each in all_workers:
            done = self.clock.now + self._synchronous_cost(each, one.index)
            self.clock.at(done, partial(self._finish, one, each))

    def _finish(self, who: Process, request: Any):
        if isinstance(request, Push):
            self.center.push(request.change)
            who.answered()
        else:
            who.answered(self.center.pull())

    def _synchronous_cost(self, request: Any, worker: int) -> float:
        """From when all have asked until this worker has its answer."""
        if self.kind.replicas:
            pulls = isinstance(request, Pull)
            return 0.0 if pulls else self.times.allreduce(self.size, self.workers)
        if not self.kind.atomic and isinstance(request, Pull):
            return self.cost
        return (worker + 1) * self.cost


def run(center: VirtualCenter, processes: list[Process]):
    """Run every process to its end."""
    for process in processes:
        process.center = center
        center.clock.at(0.0, process.resume)
    center.clock.run()
