"""The center on a rank of its own: rank 0 owns x̃, serves the workers and does not train."""

from collections.abc import Callable, Iterable
from itertools import cycle

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.method.center import LocalCenter, Pull, Push, Terms
from easgd_lib.parallel.centers.channel import Courier
from easgd_lib.parallel.world import IDLE_LIMIT, World

SERVER = 0
PULL, CENTER, PUSH, SNAPSHOT, DONE = range(1, 6)  # message tags
TAGS = {Pull: PULL, Push: PUSH}


class ServerCenter:
    """A worker's end. A pull is a request and x̃ in one message; a push is one message.

    (Unless the courier cuts them up: one of the report's suspects.)
    """

    def __init__(self, world: World, start: Tensor, courier: Courier | None = None):
        self.world = world
        self.courier = courier or Courier(world)
        self.center = torch.empty_like(start)

    def _request(self, tag: int):
        request = self.world.comm.Isend(np.empty(0, np.uint8), SERVER, tag)
        self.world.complete(request, "the server to listen")

    def _receive(self) -> Tensor:
        self.courier.receive(self.center, SERVER, CENTER, "the server to send the center")
        return self.center

    def pull(self) -> Tensor:
        self._request(PULL)
        return self._receive()

    def push(self, change: Tensor) -> None:
        self.courier.send(change, SERVER, PUSH, "the server to take the change")

    def snapshot(self) -> Tensor:
        self._request(SNAPSHOT)
        return self._receive().clone()

    def close(self) -> Tensor:
        self._request(DONE)
        return self.center


def serve(
    world: World,
    start: Tensor,
    terms: Terms,
    courier: Courier | None = None,
    between: Callable[[], None] = lambda: None,
) -> Tensor:
    """Own x̃ until every worker is done; returns what is evaluated of it.

    Asynchronous: first come, first served. If the terms allow it, one whole exchange at a
    time: then no other push falls between a worker's pull and its push, and α ≤ 1 is stable.
    Round robin: exchange after exchange, in rank order. Synchronous: the n-th request of
    all workers, in rank order, before the (n + 1)-th of any. Waiting, the server sleeps:
    a spinning server would eat a worker's core. For what it does `between` two rounds of
    exchanges, nothing by default, the workers wait.
    """
    return _Server(world, start, terms, courier or Courier(world), between).run()


class _Server:
    def __init__(self, world: World, start: Tensor, terms: Terms, courier: Courier, between):
        self.world = world
        self.terms = terms
        self.courier, self.between = courier, between
        self.served = 0
        self.center = LocalCenter(start, terms)
        self.buffer = torch.empty_like(start)
        self.workers = set(range(1, world.size))

    def run(self) -> Tensor:
        workers, requests = range(1, self.world.size), self.terms.exchange
        if self.terms.order == "asynchronous":
            self._first_come()
        elif self.terms.order == "round_robin":
            self._in_order((worker, request) for worker in workers for request in requests)
        else:
            self._in_order((worker, request) for request in requests for worker in workers)
        return self.center.snapshot()

    def _first_come(self):
        first, *rest = [TAGS[request] for request in self.terms.exchange]
        welcome = first if self.terms.held else MPI.ANY_TAG
        while found := self._await(MPI.ANY_SOURCE, welcome):
            self._serve(*found)
            for tag in rest if self.terms.held else ():
                self._serve(*self._await(found[0], tag))

    def _in_order(self, requests: Iterable[tuple[int, type]]):
        for worker, request in cycle(requests):
            if not (found := self._await(worker, TAGS[request])):
                return
            self._serve(*found)

    def _serve(self, worker: int, tag: int):
        if tag == PUSH:
            self.courier.receive(self.buffer, worker, PUSH, f"the change of rank {worker}")
            self.center.push(self.buffer)
        else:
            self._take(worker, PULL)
            self._send(worker, self.center.pull())
        self.served += 1
        if self.served % (len(self.terms.exchange) * (self.world.size - 1)) == 0:
            self.between()

    def _take(self, worker: int, tag: int):
        self.world.comm.Recv(np.empty(0, np.uint8), worker, tag)

    def _send(self, worker: int, vector: Tensor):
        self.courier.send(vector, worker, CENTER, f"rank {worker} to take the center")

    def _await(self, worker: int, tag: int) -> tuple[int, int] | None:
        """Wait for this kind of request (or any) of this worker (or any): whose, and which.

        None: all workers are done. Meanwhile snapshots are handed out.
        """
        status = MPI.Status()

        def arrived() -> bool:
            # Who is done pushed before: what was seen of it here is what is looked for below.
            while self.world.comm.Iprobe(MPI.ANY_SOURCE, SNAPSHOT, status):
                self._take(status.source, SNAPSHOT)
                self._send(status.source, self.center.snapshot())
            while self.world.comm.Iprobe(MPI.ANY_SOURCE, DONE, status):
                self._take(status.source, DONE)
                self.workers.discard(status.source)
            there = self.world.comm.Iprobe(worker, tag, status) and status.tag in (PULL, PUSH)
            return there or not self.workers

        self.world.wait(arrived, "a worker's request", IDLE_LIMIT)
        self.world.listen()
        return (status.source, status.tag) if status.tag in (PULL, PUSH) else None
