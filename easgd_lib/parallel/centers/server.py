"""A parameter server: rank 0 owns the center variable x̃, serves the workers and does not train."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.method.center import ExchangeProtocol, LocalCenter, Pull, Push
from easgd_lib.parallel.centers.channel import MessageChannel
from easgd_lib.parallel.world import IDLE_LIMIT, World

SERVER = 0
PULL, CENTER, PUSH, SNAPSHOT, DONE = range(1, 6)  # message tags
TAGS = {Pull: PULL, Push: PUSH}


class ServerCenter:
    """A worker's end. A pull is a request and x̃ in one message; a push is one message.

    Parameters
    ----------
    world : World
    start : (d,) tensor
        Tells the size and the kind of x̃.
    channel : MessageChannel, optional
        How vectors travel, the same at both ends.
    """

    def __init__(self, world: World, start: Tensor, channel: MessageChannel | None = None):
        self.world = world
        self.channel = channel or MessageChannel(world)
        self.center = torch.empty_like(start)

    def _request(self, tag: int):
        request = self.world.comm.Isend(np.empty(0, np.uint8), SERVER, tag)
        self.world.complete(request, "the server to listen")

    def _receive(self) -> Tensor:
        self.channel.receive(self.center, SERVER, CENTER, "the server to send the center")
        return self.center

    def pull(self) -> Tensor:
        self._request(PULL)
        return self._receive()

    def push(self, change: Tensor) -> None:
        self.channel.send(change, SERVER, PUSH, "the server to take the change")

    def snapshot(self) -> Tensor:
        self._request(SNAPSHOT)
        return self._receive().clone()

    def close(self) -> Tensor:
        self._request(DONE)
        return self.center


def connect(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> ServerCenter:
    """A worker's end of the center `server`."""
    return ServerCenter(world, start)


def serve(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> Tensor:
    """The center `server`: own x̃ until every worker is done; returns what is evaluated of it."""
    return Server(world, LocalCenter(start, protocol)).run()


class Server:
    """Serves a center that lives on this rank.

    Asynchronous: first come, first served. If the protocol allows it, one whole exchange at a
    time: then no other push falls between a worker's pull and its push, and α ≤ 1 is stable.
    Round robin: exchange after exchange, in rank order. Synchronous: the n-th request of
    all workers, in rank order, before the (n + 1)-th of any. Waiting, the server sleeps:
    a spinning server would eat a worker's core.

    Parameters
    ----------
    world : World
    center : LocalCenter
    channel : MessageChannel, optional
        How vectors travel, the same at both ends.
    """

    def __init__(self, world: World, center: LocalCenter, channel: MessageChannel | None = None):
        self.world, self.center, self.protocol = world, center, center.protocol
        self.channel = channel or MessageChannel(world)
        self.buffer = torch.empty_like(center.pull())
        self.workers = set(range(1, world.size))

    def run(self) -> Tensor:
        """Serve until every worker is done; returns what is evaluated."""
        workers, requests = range(1, self.world.size), self.protocol.exchange
        if self.protocol.order == "asynchronous":
            self._first_come()
        elif self.protocol.order == "round_robin":
            self._in_order(cycle((worker, request) for worker in workers for request in requests))
        else:
            self._in_order(cycle((worker, request) for request in requests for worker in workers))
        return self.center.snapshot()

    def _first_come(self):
        first, *rest = self.protocol.exchange
        welcome = TAGS[first] if self.protocol.atomic else MPI.ANY_TAG
        while found := self._await(MPI.ANY_SOURCE, welcome):
            self._serve(*found)
            if self.protocol.atomic:
                self._in_order((found[0], request) for request in rest)

    def _in_order(self, requests: Iterable[tuple[int, type]]):
        for worker, request in requests:
            if not (found := self._await(worker, TAGS[request])):
                return
            self._serve(*found)

    def _serve(self, worker: int, tag: int):
        if tag == PUSH:
            self.channel.receive(self.buffer, worker, PUSH, f"the change of rank {worker}")
            self.center.push(self.buffer)
        else:
            self._take(worker, PULL)
            self._send(worker, self.center.pull())

    def _take(self, worker: int, tag: int):
        self.world.comm.Recv(np.empty(0, np.uint8), worker, tag)

    def _send(self, worker: int, vector: Tensor):
        self.channel.send(vector, worker, CENTER, f"rank {worker} to take the center")

    def _await(self, worker: int, tag: int) -> tuple[int, int] | None:
        """Wait for this kind of request (or any) of this worker (or any): whose, and which.

        None: all workers are done. Meanwhile snapshots are handed out.
        """
        status = MPI.Status()

        def arrived() -> bool:
            # A worker that is done has pushed before: its push is found by the probe below.
            while self.world.comm.Iprobe(MPI.ANY_SOURCE, SNAPSHOT, status):
                self._take(status.source, SNAPSHOT)
                self._send(status.source, self.center.snapshot())
            while self.world.comm.Iprobe(MPI.ANY_SOURCE, DONE, status):
                self._take(status.source, DONE)
                self.workers.discard(status.source)
            there = self.world.comm.Iprobe(worker, tag, status) and status.tag in (PULL, PUSH)
            return there or not self.workers

        self.world.wait(arrived, "a worker's request", IDLE_LIMIT)
        self.world.check_for_failures()
        return (status.source, status.tag) if status.tag in (PULL, PUSH) else None
