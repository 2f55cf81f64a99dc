"""The MPI world: which library, and waits that end.

Every wait in here is a wait with a limit: it polls with growing pauses, so a waiting
rank leaves its core to others, notices when another rank has failed, and can be interrupted.
"""

import json
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from easgd_lib.errors import MPIError, PeerFailed
from easgd_lib.parallel import mpiexec

WAIT_LIMIT = 120.0  # seconds one wait may take before the run is given up
IDLE_LIMIT = 3600.0  # and one in which the others are known to be training
LONGEST_PAUSE = 5e-4  # seconds between two polls of a long wait
FAILURE = 99  # message tag: "I failed, stop waiting for me"

# Requests that are no longer waited for. A message may still arrive: its buffer, which the
# request keeps, must stay where it is.
_ABANDONED: list = []


def check_launcher():
    """Raise if this process was started by the mpiexec of another MPI than mpi4py's."""
    launched = mpiexec.launched_size()
    if launched is not None and launched != MPI.COMM_WORLD.size:
        raise MPIError(
            f"mpiexec started {launched} ranks, but mpi4py ({mpiexec.library_version()}) sees "
            f"{MPI.COMM_WORLD.size}: this mpiexec belongs to another MPI",
            f"use {mpiexec.find()}",
        )


def says_a_rank_died(error: BaseException) -> bool:
    """Whether fault-tolerant MPI has noticed, in whatever call, that a rank is gone."""
    dead = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED)
    return isinstance(error, MPI.Exception) and error.Get_error_class() in dead


class World:
    """The ranks of one run, on a communicator of their own.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    limit : float
        Seconds any one wait may take.
    """

    def __init__(self, comm, limit: float = WAIT_LIMIT):
        self.comm, self.limit = comm, limit
        self.rank, self.size = comm.rank, comm.size
        self._parts: list[World] = []

    @classmethod
    def of(cls, ranks: int) -> "World":
        """The first `ranks` ranks of COMM_WORLD, apart from all other traffic."""
        check_launcher()
        if MPI.COMM_WORLD.size < ranks:
            raise MPIError(f"the run takes {ranks} ranks, the MPI world has {MPI.COMM_WORLD.size}")
        group = MPI.COMM_WORLD.group.Incl(list(range(ranks)))
        return cls(MPI.COMM_WORLD.Create_group(group))

    def last(self, ranks: int) -> "World":
        """The last `ranks` of these ranks, apart from all other traffic."""
        group = self.comm.group.Incl(list(range(self.size - ranks, self.size)))
        self._parts.append(World(self.comm.Create_group(group), self.limit))
        return self._parts[-1]

    def free(self):
        """Give the communicators back to MPI, unless something abandoned may still need them."""
        if not _ABANDONED:
            for part in self._parts:
                part.free()
            self.comm.Free()

    def wait(self, ready: Callable[[], bool], what: str, limit: float | None = None):
        """Poll until `ready()`; look for failures of others; give up after the limit."""
        limit = limit or self.limit
        deadline, pause = time.monotonic() + limit, 0.0
        while not ready():
            self.check_for_failures()
            if time.monotonic() > deadline:
                raise MPIError(f"rank {self.rank} waited {limit:.0f} s for {what}: gave up")
            time.sleep(pause)
            pause = min(2 * pause or 1e-5, LONGEST_PAUSE)

    def complete(self, request, what: str, limit: float | None = None):
        """Wait for an MPI request."""
        try:
            self.wait(request.Test, what, limit)
        except BaseException:
            _ABANDONED.append(request)
            raise

    def barrier(self, what: str, limit: float | None = None):
        self.complete(self.comm.Ibarrier(), what, limit)

    def broadcast(self, array: np.ndarray, root: int = 0):
        """Broadcast an array in place."""
        self.complete(self.comm.Ibcast(array, root), "a broadcast")

    def gather(self, record) -> list:
        """Every rank's record, on all, in rank order. Records are JSON: nothing is unpickled."""
        mine = np.frombuffer(json.dumps(record).encode(), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self.complete(self.comm.Iallgather(np.array([mine.size], np.int64), sizes), "record sizes")
        ends = np.cumsum(sizes)
        everything = np.empty(ends[-1], np.uint8)
        layout = [everything, sizes.tolist(), (ends - sizes).tolist(), MPI.UINT8_T]
        self.complete(self.comm.Iallgatherv(mine, layout), "records")
        return [
            json.loads(everything[end - size : end].tobytes())
            for size, end in zip(sizes, ends, strict=True)
        ]

    def notify_failure(self, text: str):
        """Tell every other rank that this one failed. Returns at once."""
        message = np.frombuffer(text.encode()[:1000], np.uint8)
        others = [rank for rank in range(self.size) if rank != self.rank]
        _ABANDONED.extend(self.comm.Isend(message, rank, FAILURE) for rank in others)

    def check_for_failures(self):
        """Raise `PeerFailed` if another rank has failed and said so."""
        status = MPI.Status()
        if self.comm.Iprobe(MPI.ANY_SOURCE, FAILURE, status):
            text = np.empty(status.count, np.uint8)
            self.comm.Recv(text, status.source, FAILURE)
            raise PeerFailed(text.tobytes().decode(errors="replace"))
