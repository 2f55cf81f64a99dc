"""The center on a rank of its own: rank 0 owns x̃, serves the workers and does not train."""

import numpy as np
import torch
from torch import Tensor

from easgd_lib.mpi import IDLE_LIMIT, World

SERVER = 0
PULL, CENTER, PUSH, SNAPSHOT, DONE = range(1, 6)  # message tags


class ServerCenter:
    """A worker's end. An exchange is a request, x̃ in one message, the change in one."""

    def __init__(self, world: World, start: Tensor):
        self.world = world
        self.center = torch.empty_like(start)

    def _request(self, tag: int):
        request = self.world.comm.Isend(np.empty(0, np.uint8), SERVER, tag)
        self.world.complete(request, "the server to listen")

    def _receive(self) -> Tensor:
        request = self.world.comm.Irecv(self.center.numpy(), SERVER, CENTER)
        self.world.complete(request, "the server to send the center")
        return self.center

    def pull(self) -> Tensor:
        self._request(PULL)
        return self._receive()

    def push(self, change: Tensor) -> None:
        request = self.world.comm.Isend(change.contiguous().numpy(), SERVER, PUSH)
        self.world.complete(request, "the server to take the change")

    def snapshot(self) -> Tensor:
        self._request(SNAPSHOT)
        return self._receive().clone()

    def close(self) -> Tensor:
        self._request(DONE)
        return self.center


def serve(world: World, start: Tensor, order: str) -> Tensor:
    """Own x̃ until every worker is done; returns it.

    Asynchronous: first come, first served, one whole exchange at a time, so no other push
    falls between a worker's pull and its push (α ≤ 1 is stable). Round robin: the same,
    in rank order. Synchronous: all workers get the same x̃, then their changes are added
    in rank order. Waiting, the server sleeps: a spinning server would eat a worker's core.
    """
    return _Server(world, start, order).run()


class _Server:
    def __init__(self, world: World, start: Tensor, order: str):
        self.world, self.order = world, order
        self.center = start.clone()
        self.change = torch.empty_like(start)
        self.workers = set(range(1, world.size))

    def run(self) -> Tensor:
        pulled: list[int] = []  # who asked and is not served yet
        turn = 1  # round robin: whose exchange is next
        while self.workers:
            worker, tag = self._next_request()
            if tag == DONE:
                self.workers.discard(worker)
            elif tag == SNAPSHOT:
                self._send(worker)
            elif tag == PULL:
                pulled.append(worker)
            if self.order == "synchronous" and len(pulled) == self.world.size - 1:
                self._exchange(sorted(pulled))
                pulled = []
            elif self.order == "asynchronous" and pulled:
                self._exchange([pulled.pop()])
            while self.order == "round_robin" and turn in pulled:
                self._exchange([turn])
                pulled.remove(turn)
                turn = turn % (self.world.size - 1) + 1
        return self.center

    def _exchange(self, workers: list[int]):
        """x̃ to each of `workers`, then the change of each, in this order."""
        for worker in workers:
            self._send(worker)
        for worker in workers:
            request = self.world.comm.Irecv(self.change.numpy(), worker, PUSH)
            self.world.complete(request, f"the change of rank {worker}")
            self.center += self.change

    def _send(self, worker: int):
        request = self.world.comm.Isend(self.center.numpy(), worker, CENTER)
        self.world.complete(request, f"rank {worker} to take the center")

    def _next_request(self) -> tuple[int, int]:
        """Wait for a request (PULL, SNAPSHOT or DONE): who and which."""
        from mpi4py import MPI

        status = MPI.Status()
        comm = self.world.comm

        def arrived() -> bool:
            return comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)

        self.world.wait(arrived, "a worker's request", IDLE_LIMIT)
        self.world.listen()
        comm.Recv(np.empty(0, np.uint8), status.source, status.tag)
        return status.source, status.tag
