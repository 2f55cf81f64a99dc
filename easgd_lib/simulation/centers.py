"""The centers of a run under the clock: who waits for whom, and for how long."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from easgd_lib.method.center import (
    CENTERS,
    CenterKind,
    ExchangeProtocol,
    LocalCenter,
    Pull,
    Push,
)
from easgd_lib.method.settings import Settings
from easgd_lib.method.tree import root_protocol
from easgd_lib.simulation.clock import ROOT_LINK, Ballot, Clock, Process, TimeModel


class VirtualCenter:
    """x̃ under the clock. Which requests wait for which is what makes an order, and a center.

    - Asynchronous, window: a pull never waits; pushes go one at a time.
    - Asynchronous, server (and local): atomic exchanges, first come, first served;
      one request at a time where a gradient falls within the exchange.
    - Round robin: one exchange at a time, in rank order.
    - Synchronous: the n-th requests of all workers together, pushes in rank order.

    Its members are workers; those of the root of a tree are nodes.
    """

    def __init__(
        self, clock: Clock, center: LocalCenter, protocol: ExchangeProtocol, kind: CenterKind,
        times: TimeModel, members: Sequence[int], size: int,
    ):  # fmt: skip
        self.clock, self.center, self.protocol, self.kind = clock, center, protocol, kind
        self.times, self.members, self.size = times, members, size
        far = times.message(size)
        self.costs = [0.0 if place < times.near else far for place in range(len(members))]
        self.cost_of = dict(zip(members, self.costs, strict=True))
        self.processes: list[Any] = []  # by number: workers, and the exchanges beside them
        self.gathered: set[int] = set()  # waiting for all others to ask
        self.queue: deque[int] = deque()  # waiting for a turn
        self.holder: int | None = None  # whose exchange or request is being served
        self.turn = 0  # round robin: whose exchange is next

    def ask(self, who: Any):
        if self.protocol.order == "synchronous":
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
            who = self.processes[first]
            if self.protocol.order == "asynchronous" or who.index == self.members[self.turn]:
                self.queue.remove(first)
                self.holder = first
                return self._carry_out(who)

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
        self.clock.at(self.clock.now + self.cost_of[who.index], who.number)

    def complete(self, who: Any):
        """The request of this process is done now."""
        if isinstance(who.request, Push):
            self.center.push(who.request.change)
        elif isinstance(who.request, Pull) and self.protocol.order == "synchronous":
            who.answer = self.center.pull()
        last = who.asked % len(self.protocol.exchange) == 0
        if self.holder == who.number and (last or not self._whole_exchanges):
            self.holder = None
            self.turn = (self.turn + 1) % len(self.members)
            self._serve_next()
        who.answered()

    def _gather(self, who: Any):
        self.gathered.add(who.number)
        if len(self.gathered) < len(self.members):
            return
        everybody = [self.processes[each] for each in sorted(self.gathered)]
        self.gathered.clear()
        for place, process in enumerate(everybody):
            cost = self._synchronous_cost(process.request, place)
            self.clock.at(self.clock.now + cost, process.number)

    def _synchronous_cost(self, request: Any, place: int) -> float:
        """From when all have asked until this worker has its answer."""
        if self.kind.replicas:
            pulls = isinstance(request, Pull)
            return 0.0 if pulls else self.times.allreduce(self.size, len(self.members))
        if not self.kind.atomic and isinstance(request, Pull):
            return self.costs[place]
        return sum(self.costs[: place + 1])

    def state(self) -> dict:
        """Who waits for what, as plain numbers; x̃ itself is not in it."""
        return {
            "gathered": sorted(self.gathered), "queue": list(self.queue),
            "holder": self.holder, "turn": self.turn,
        }  # fmt: skip

    def restore(self, state: dict):
        """Go on from such a state."""
        self.gathered = set(state["gathered"])
        self.queue, self.holder, self.turn = deque(state["queue"]), state["holder"], state["turn"]


class VirtualCenters:
    """All that the workers of one run ask: one center, or a tree of them; and the ballot.

    Parameters
    ----------
    settings : Settings
    start
        Where every center begins.
    size : int
        Bytes of a vector.

    Attributes
    ----------
    evaluated : LocalCenter
        x̃.
    """

    def __init__(
        self, clock: Clock, settings: Settings, protocol: ExchangeProtocol, times: TimeModel,
        start: Any, size: int,
    ):  # fmt: skip
        p, self.clock = settings.workers, clock
        self.ballot = Ballot(clock, p)
        self.groups = protocol.nodes.members(p) if protocol.nodes else [list(range(p))]
        inside = times.but(near=0) if protocol.nodes else times
        self.centers = [
            VirtualCenter(
                clock, LocalCenter(start, protocol), protocol, settings.kind, inside, members, size
            )
            for members in self.groups
        ]
        self.root = self.centers[0]
        if protocol.nodes:
            above = root_protocol(protocol)
            self.root = VirtualCenter(
                clock, LocalCenter(start, above), above, CENTERS[ROOT_LINK],
                times.to_the_root(), range(len(self.groups)), size,
            )  # fmt: skip
        self.evaluated = self.root.center

    def run(
        self,
        processes: list[Process],
        between: Callable[[], None] = lambda: None,
        *,
        resumed: bool = False,
    ):
        """Run every process to its end, from the beginning or from where the clock stands."""
        everything: list[Any] = [*processes, *(process.beside for process in processes)]
        for place, process in enumerate(everything):
            process.number = place
        for k, (center, members) in enumerate(zip(self.centers, self.groups, strict=True)):
            for worker in members:
                process = processes[worker]
                process.center, process.ballot = center, self.ballot
                process.beside.center = self.root
                process.beside.index = worker if self.root is center else k
        for center in {self.root, *self.centers}:
            center.processes = everything
        if not resumed:
            for process in processes:
                self.clock.at(0.0, process.number)
        self.clock.run(lambda number: everything[number].act(), between)

    def state(self) -> dict:
        """Who waits for what, as plain numbers; x̃ itself is not in it. Of one center only."""
        return self.root.state() | {"voting": sorted(self.ballot.voting)}

    def restore(self, state: dict, processes: list[Process]):
        """Go on from such a state."""
        self.root.restore(state)
        self.ballot.voting = {number: processes[number] for number in state["voting"]}
