"""A parameter server: rank 0 owns the center variable x̃, serves the workers and does not train."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import TypeVar

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError
from easgd_lib.method.center import ExchangeProtocol, LocalCenter, Push, State
from easgd_lib.parallel.centers import TakesOver
from easgd_lib.parallel.centers.channel import MessageChannel
from easgd_lib.parallel.world import IDLE_LIMIT, RankLost, World

Result = TypeVar("Result")

SERVER = 0
SNAPSHOT, DONE, CENTER, STATE, PUSHES = 1, 2, 3, 4, 5  # message tags
EXCHANGE = 10  # and that of an exchange's first request; the second one's is one more


class ServerCenter:
    """A worker's end. A pull is a request and x̃ in one message; a push is one message.

    If the server dies, and exchanges come in no fixed order, the first of the living workers
    takes over x̃ as it last pulled it, and trains no more; the others go on with it.

    Parameters
    ----------
    world : World
    start : (d,) tensor
        Tells the size and the kind of x̃.
    protocol : ExchangeProtocol
    channel : MessageChannel, optional
        How vectors travel, the same at both ends.

    Raises
    ------
    TakesOver
        Of any request: the server died, and this worker is to serve.
    MPIError
        The server died, and exchanges come in a fixed order.
    """

    def __init__(
        self, world: World, start: Tensor, protocol: ExchangeProtocol,
        channel: MessageChannel | None = None,
    ):  # fmt: skip
        self.world, self.protocol = world, protocol
        self.channel = channel or MessageChannel(world)
        self.center = start.clone()
        self.incoming = torch.empty_like(start)
        self.asked = 0

    def _request(self, tag: int):
        self.world.send(np.empty(0, np.uint8), SERVER, tag, "the server to listen")

    def _receive(self) -> Tensor:
        """x̃. Into a vector of its own: half a message would spoil the last x̃ that we know."""
        self.channel.receive(self.incoming, SERVER, CENTER, "the server to send the center")
        self.center, self.incoming = self.incoming, self.center
        return self.center

    def _whoever_serves(self, ask: Callable[[], Result]) -> Result:
        """Ask the server; if it died, whoever takes over."""
        while True:
            try:
                return ask()
            except RankLost:
                self.world.agree(False, "the others to notice that the server died")
                self._replace_server()

    def _replace_server(self):
        if self.protocol.order != "asynchronous":
            raise MPIError(
                "the server died, and exchanges in a fixed order cannot go on without it",
                "resume from the checkpoint, or start the run again",
            )
        self.world.shrink()
        if self.world.rank == SERVER:
            raise TakesOver(self.center)

    def _next_tag(self) -> int:
        return EXCHANGE + self.asked % len(self.protocol.exchange)

    def pull(self) -> Tensor:
        def ask() -> Tensor:
            self._request(self._next_tag())
            return self._receive()

        center = self._whoever_serves(ask)
        self.asked += 1
        return center

    def push(self, change: Tensor) -> None:
        self._whoever_serves(
            lambda: self.channel.send(
                change, SERVER, self._next_tag(), "the server to take the change"
            )
        )
        self.asked += 1

    def snapshot(self) -> Tensor:
        def ask() -> Tensor:
            self._request(SNAPSHOT)
            return self._receive().clone()

        return self._whoever_serves(ask)

    def state(self) -> tuple[State, int]:
        vectors, pushes = len(self.protocol.begin(self.center)), np.empty(1, np.int64)

        def ask() -> tuple[State, int]:
            self._request(STATE)
            state = tuple(self._receive().clone() for _ in range(vectors))
            self.world.receive(pushes, SERVER, PUSHES, "the server to count its pushes")
            return state, int(pushes[0])

        return self._whoever_serves(ask)

    def close(self) -> Tensor:
        self._whoever_serves(lambda: self._request(DONE))
        while not self.world.agree(True, "the other workers to finish"):
            self._replace_server()
            self._whoever_serves(lambda: self._request(DONE))
        return self.center


def connect(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> ServerCenter:
    """A worker's end of the center `server`."""
    return ServerCenter(world, start, protocol)


def serve(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> Tensor:
    """The center `server`: own x̃ until every worker is done; returns what is evaluated of it."""
    return Server(world, LocalCenter(start, protocol)).run()


class Server:
    """Serves a center that lives on this rank.

    Asynchronous: first come, first served. If the protocol allows it, one whole exchange at a
    time: then no other push falls between a worker's pull and its push, and α ≤ 1 is stable.
    Round robin: exchange after exchange, in rank order. Synchronous: the n-th request of
    all workers, in rank order, before the (n + 1)-th of any. Waiting, the server sleeps:
    a spinning server would eat a worker's core. A worker that dies is not waited for.

    Parameters
    ----------
    world : World
    center : LocalCenter
    channel : MessageChannel, optional
        How vectors travel, the same at both ends.
    clients : list of int, optional
        The ranks that exchange; by default all others. The rest only ask for copies.
    """

    def __init__(
        self, world: World, center: LocalCenter, channel: MessageChannel | None = None,
        clients: Sequence[int] | None = None,
    ):  # fmt: skip
        self.world, self.center, self.protocol = world, center, center.protocol
        self.channel = channel or MessageChannel(world)
        self.buffer = torch.empty_like(center.pull())
        self.workers = set(range(1, world.size))
        self.clients = clients or range(1, world.size)
        self.tags = [EXCHANGE + place for place in range(len(self.protocol.exchange))]
        steps = zip(self.tags, self.protocol.exchange, strict=True)
        self.pushes = [tag for tag, request in steps if request is Push]
        self.copies = {SNAPSHOT: self._send_snapshot, STATE: self._send_state}

    def run(self) -> Tensor:
        """Serve until every worker is done; returns what is evaluated."""
        workers, tags = self.clients, self.tags
        if self.protocol.order == "asynchronous":
            self._first_come()
        elif self.protocol.order == "round_robin":
            self._in_order(cycle((worker, tag) for worker in workers for tag in tags))
        else:
            self._in_order(cycle((worker, tag) for tag in tags for worker in workers))
        self.world.agree(True, "the workers to finish")
        return self.center.snapshot()

    def _first_come(self):
        while True:
            with suppress(RankLost):  # this worker's exchange ends here; the next one's may begin
                if not (found := self._await(MPI.ANY_SOURCE, MPI.ANY_TAG)):
                    return
                self._serve(*found)
                worker, tag = found
                if self.protocol.atomic:
                    self._in_order((worker, later) for later in self.tags if later > tag)

    def _in_order(self, requests: Iterable[tuple[int, int]]):
        for worker, tag in requests:
            with suppress(RankLost):
                if not (found := self._await(worker, tag)):
                    return
                self._serve(*found)

    def _serve(self, worker: int, tag: int):
        if tag in self.pushes:
            self.channel.receive(self.buffer, worker, tag, f"the change of rank {worker}")
            self.center.push(self.buffer)
        else:
            self._take(worker, tag)
            self._send(worker, self.center.pull())

    def _take(self, worker: int, tag: int):
        self.world.receive(np.empty(0, np.uint8), worker, tag, f"the request of rank {worker}")

    def _send(self, worker: int, vector: Tensor):
        self.channel.send(vector, worker, CENTER, f"rank {worker} to take the center")

    def _send_snapshot(self, worker: int):
        self._send(worker, self.center.snapshot())

    def _send_state(self, worker: int):
        vectors, pushes = self.center.state()
        for vector in vectors:
            self._send(worker, vector)
        count = np.array([pushes], np.int64)
        self.world.send(count, worker, PUSHES, f"rank {worker} to take the count of pushes")

    def _await(self, worker: int, tag: int) -> tuple[int, int] | None:
        """Wait for this request (or any) of this worker (or any): whose, and which.

        None: all workers are done. Meanwhile snapshots and states are handed out.
        """
        status = MPI.Status()
        probe = self.world.probe

        fixed = self.protocol.order != "asynchronous"
        between = self._between_pushes(worker, tag)

        def there() -> bool:
            return probe(worker, tag, status) and status.tag in self.tags

        def arrived() -> bool:
            # Between pushes only the one awaited may have a copy, who needs it to go on.
            asking = worker if between and worker in self.workers else MPI.ANY_SOURCE
            for copy, send in self.copies.items():
                while probe(asking, copy, status):
                    asker = status.source
                    if fixed and there():
                        return True  # pushed before the copy was asked for: it belongs to it
                    self._take(asker, copy)
                    with suppress(RankLost):
                        send(asker)
            # A worker that is done has pushed before: its push is found by the probe below.
            while probe(MPI.ANY_SOURCE, DONE, status):
                self._take(status.source, DONE)
                self.workers.discard(status.source)
            return there() or not self._at_work

        peer = None if worker == MPI.ANY_SOURCE else worker
        self.world.wait(arrived, "a worker's request", IDLE_LIMIT, peer)
        self.world.check_for_failures()
        return (status.source, status.tag) if status.tag in self.tags else None

    def _between_pushes(self, awaited: int, tag: int) -> bool:
        """Synchronous: of an exchange, a copy of x̃ holds all pushes or none."""
        synchronous = self.protocol.order == "synchronous"
        return synchronous and tag in self.pushes and awaited != self.clients[0]

    @property
    def _at_work(self) -> bool:
        """Whether any worker is neither done nor dead."""
        world = self.world
        return any(world.members[worker] not in world.lost for worker in self.workers)
