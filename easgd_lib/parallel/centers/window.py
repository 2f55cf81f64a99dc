"""The center variable x̃ in memory that all ranks share: no server, the workers move it themselves.

The memory is an MPI window, but no one-sided MPI call moves x̃ (no `MPI_Accumulate`): a rank
reads it, and adds to it under a lock of the kernel's, as threads of one process would.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError, PeerFailed
from easgd_lib.method.center import ExchangeProtocol, State
from easgd_lib.parallel import mpiexec
from easgd_lib.parallel.world import World, blocking

LINE = 64  # bytes of a cache line


class WindowCenter:
    """x̃ in memory that all ranks of one computer map (MPI_Win_allocate_shared).

    Asynchronous: a pull is the window itself, read without a lock, as in the authors'
    code; a push holds a lock, so pushes from several workers at once lose nothing.
    Other pushes may fall between a worker's pull and its push: the collective limit
    on α holds. Synchronous: all wait for all before each request, and pushes
    go in rank order. Round robin: exchanges take turns in rank order. Who has asked and who was
    answered is counted in the same memory, so that none waits for a worker that died.

    The lock is the kernel's (flock): the kernel frees it when its holder dies. A push that
    its worker's death cut short moves some coordinates of x̃ and not the others.

    Parameters
    ----------
    world : World
    start : (d,) tensor
        Where x̃ begins; rank 0's is used.
    protocol : ExchangeProtocol
        The order, what an exchange asks for, and what to do with a push.

    Raises
    ------
    MPIError
        Ranks on several computers, or no shared memory left.
    """

    def __init__(self, world: World, start: Tensor, protocol: ExchangeProtocol):
        self.world, self.protocol, self.order = world, protocol, protocol.order
        self.me, members = world.me, world.size
        self.asked = 0  # this worker's own requests
        state = protocol.begin(start)
        header = -(-8 * (1 + 2 * members) // LINE) * LINE  # bytes before x̃
        size = header + len(state) * start.numel() * start.element_size()
        self._check_room(size)
        mine = size if world.rank == 0 else 0
        try:
            self.window = blocking(
                lambda: MPI.Win.Allocate_shared(mine, 1, comm=world.comm), "the center's memory"
            )
        except MPI.Exception as error:
            raise MPIError(
                f"MPI lets these ranks share no memory ({error.Get_error_string()})",
                "start them with mpiexec, not srun, or use --center server",
            ) from error
        memory: Any = self.window.Shared_query(0)[0]
        # All pushes so far; each member's requests, begun and ended. (NumPy would take 50 µs.)
        counts = memoryview(memory)[:header].cast("q")
        self.pushes, self.begun = counts[:1], counts[1 : 1 + members]
        self.ended = counts[1 + members : 1 + 2 * members]
        self.counts = counts
        shape = len(state), start.numel()
        self.vectors = torch.from_numpy(np.ndarray(shape, start.numpy().dtype, memory, header))
        self.lock = self._shared_lock()
        if world.rank == 0:
            for place in range(len(counts)):
                counts[place] = 0
            self.pushes[0] = protocol.pushes
            self._store(state)
        self.window.Sync()
        world.barrier("the center's start")
        self.window.Sync()

    def _check_room(self, size: int):
        """Memory that is promised but not there kills the process on first touch: look first."""
        here = MPI.Get_processor_name()
        one_computer = self.world.gather(here) == [here] * self.world.size
        if not one_computer:
            raise MPIError(
                "center window needs all ranks on one computer",
                "across several use --center server",
            )
        folder = mpiexec.shared_memory_folder()
        if folder and (free := mpiexec.free_in(folder)) < size:
            raise MPIError(
                f"no shared memory left: the center takes {size / 2**20:.1f} MiB, {folder} has "
                f"{free / 2**20:.1f} MiB",
                "free some (Docker: --shm-size=1g) or use --center server",
            )

    def _shared_lock(self) -> int:
        """One lock file, opened by every rank on its own, gone from the folder at once."""
        name = np.zeros(1024, np.uint8)
        if self.world.rank == 0:
            handle, path = tempfile.mkstemp(prefix="easgd-center-")
            os.close(handle)
            name[: len(path.encode())] = np.frombuffer(path.encode(), np.uint8)
        self.world.broadcast(name)
        path = name.tobytes().rstrip(b"\0").decode()
        lock = os.open(path, os.O_RDWR)
        self.world.barrier("the center's lock")
        if self.world.rank == 0:
            os.unlink(path)
        return lock

    def _store(self, state: tuple[Tensor, ...]):
        for row, vector in zip(self.vectors, state, strict=True):
            row.copy_(vector)

    def _begin_request(self, what: str):
        """Wait until the order lets this worker ask for the next thing of its exchange."""
        self.begun[self.me] = self.asked + 1
        if self.order == "synchronous":
            self._until(lambda: self._others_at_least(self.begun, self.asked + 1), what)
        elif self.order == "round_robin" and self.asked % len(self.protocol.exchange) == 0:
            whole = self.asked + len(self.protocol.exchange)  # of this exchange
            self._until(lambda: self._my_turn(whole, self.asked), "its turn to exchange")

    def _end_request(self):
        self.asked += 1
        self.ended[self.me] = self.asked
        self.window.Sync()

    def _until(self, ready: Callable[[], bool], what: str):
        def seen() -> bool:
            self.window.Sync()
            return ready()

        self.world.wait(seen, what)

    def _others_at_least(self, counts: memoryview, least: int) -> bool:
        return all(counts[member] >= least for member in self.world.living)

    def _my_turn(self, lower: int, higher: int) -> bool:
        """Whether the members below have ended so many requests, and those above so many."""
        return all(
            self.ended[member] >= (lower if member < self.me else higher)
            for member in self.world.living
            if member != self.me
        )

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def pull(self) -> Tensor:
        self._begin_request("the other workers to pull")
        center = self.vectors[0]
        if self.order == "round_robin":
            center = center.clone()  # where the pull ends the turn, others move x̃ from now on
        self._end_request()
        return center

    def push(self, change: Tensor) -> None:
        self._begin_request("the other workers to push")
        if self.order == "synchronous":
            self._until(lambda: self._my_turn(self.asked + 1, self.asked), "its turn to push")
        self.world.wait(self._locked, "the center's lock")
        try:
            if self.protocol.optimizer:
                state = tuple(self.vectors)
                self._store(self.protocol.optimizer.absorb(state, change, self.pushes[0]))
            else:
                self.vectors[0] += change
            self.pushes[0] += 1
            self.window.Sync()
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)
        self._end_request()

    def _rest(self):
        """Synchronous: what the others push in the exchange that we have made belongs to a copy."""
        if self.order == "synchronous":
            self._until(lambda: self._others_at_least(self.ended, self.asked), "the others to push")

    def snapshot(self) -> Tensor:
        self._rest()
        return self.vectors[self.protocol.shows].clone()

    def state(self) -> tuple[State, int]:
        """Between two pushes: all vectors belong together."""
        self._rest()
        self.world.wait(self._locked, "the center's lock")
        try:
            return tuple(self.vectors.clone()), self.pushes[0]
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)

    def close(self) -> Tensor:
        self.world.agree(True, "the other workers to finish")
        all_alive = self.world.agree(self.world.whole, "the other workers to finish")
        final = self.snapshot()
        del self.vectors  # the window's memory goes: never touch it again
        for counts in (self.pushes, self.begun, self.ended, self.counts):
            counts.release()
        if all_alive:
            with suppress(PeerFailed):  # MPI frees with everybody, or not at all
                blocking(self.window.Free, "the other workers")
        os.close(self.lock)
        return final


def connect(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> WindowCenter:
    """The center `window`."""
    return WindowCenter(world, start, protocol)
