"""The MPI world: which library, waits that end, and who is still alive.

Every wait in here is a wait with a limit: it polls with pauses that grow with it, so a waiting
rank leaves its core to others, notices when another rank has failed, and can be interrupted.

A rank that dies (killed, out of memory) is noticed too, where MPI tolerates faults (Open MPI's
ULFM). A world that forgives goes on without it: `lost` says who is gone. Collective calls fail
once a rank is gone, all but `agree`; so the living first agree that they need a world without
the dead, then `shrink` to it. They must do so in step: a shrink follows an `agree` that said
False, on every rank, and nothing else.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np
from mpi4py import MPI

from easgd_lib.errors import DEAD, MPIError, PeerFailed
from easgd_lib.parallel import mpiexec

WAIT_LIMIT = 120.0  # seconds one wait may take before the run is given up
IDLE_LIMIT = 3600.0  # and how long those that are done wait for a sign of those that train
PAUSE, LONGEST_PAUSE = 0.1, 5e-4  # between two polls: so much of the wait so far; seconds
LOOK_EVERY = 0.05  # seconds between two looks at a call that cannot be polled
ALL_NOTICE = 5.0  # seconds in which such a call notices a death by itself, if it does
SIGN_EVERY = 1.0  # seconds between two signs of life of a rank that trains
FAILURE, SIGN = 99, 98  # message tags: "I failed, stop waiting for me", "I am at this step"

Result = TypeVar("Result")

# Requests that are no longer waited for. A message may still arrive: its buffer, which the
# request keeps, must stay where it is.
_ABANDONED: list = []
_DEATHS: list[int] = []  # seen by this process, in any world


def check_launcher():
    """Raise if this process was started by the mpiexec of another MPI than mpi4py's."""
    launched = mpiexec.launched_size()
    if launched is not None and launched != MPI.COMM_WORLD.size:
        raise MPIError(
            f"mpiexec started {launched} ranks, but mpi4py ({mpiexec.library_version()}) sees "
            f"{MPI.COMM_WORLD.size}: this mpiexec belongs to another MPI",
            f"use {mpiexec.find()}",
        )


def leave(status: int):
    """After a death, end this process here: MPI_Finalize may wait for the dead."""
    sys.stdout.flush()
    sys.stderr.flush()
    if _DEATHS:
        os._exit(status)


def says_a_rank_died(error: BaseException) -> bool:
    """Whether fault-tolerant MPI has noticed, in whatever call, that a rank is gone."""
    dead = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED)
    return isinstance(error, MPI.Exception) and error.Get_error_class() in dead


def blocking(
    call: Callable[[], Result], what: str, limit: float = WAIT_LIMIT, *, survives: bool = False
) -> Result:
    """Carry out a call that MPI cannot be polled for; give up if a death keeps it from returning.

    It is made in a thread. What is given up stays there until the process ends (`leave`).
    `survives`: no death keeps this call from returning.

    Raises
    ------
    PeerFailed
        A rank has died.
    MPIError
        It has not returned within the limit.
    """
    done: Future = Future()

    def carry_out():
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    deadline, died = time.monotonic() + limit, float("inf")
    while not done.done():
        with suppress(TimeoutError):
            done.exception(timeout=LOOK_EVERY)
        now = time.monotonic()
        if now > min(deadline, died + ALL_NOTICE):
            _DEATHS.append(MPI.COMM_WORLD.rank)
            if now > deadline:
                raise MPIError(f"waited {limit:.0f} s for {what}: gave up")
            raise PeerFailed(DEAD)
        if died == float("inf") and not survives and any_died():
            died = now
    return done.result()


def any_died() -> bool:
    """Whether any rank of this MPI is known to be dead."""
    try:
        return MPI.COMM_WORLD.Get_failed().size > 0
    except (MPI.Exception, NotImplementedError):
        return False  # an MPI that ends all when one dies


class RankLost(PeerFailed):
    """A rank that this wait needed has died; the others may go on without it."""

    def __init__(self):
        super().__init__(DEAD)


class Loss(NamedTuple):
    """When a rank was found dead (`time.monotonic`), and the last step that it told of."""

    when: float
    step: int


class World:
    """The ranks of one run, on a communicator of their own.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    limit : float
        Seconds any one wait may take without a sign of life from another rank.

    Attributes
    ----------
    members : list of int
        Who the ranks of `comm` are: the numbers they had when the run began.
    forgiving : bool
        Whether a rank that dies is noted in `lost`; else it ends the run, as `PeerFailed`.
    lost : dict
        The members found dead, each with its `Loss`.
    """

    def __init__(self, comm, limit: float = WAIT_LIMIT, whole: "World | None" = None):
        self.comm, self.limit, self._of = comm, limit, whole
        self.rank, self.size = comm.rank, comm.size
        self.members = list(range(comm.size))
        self.forgiving = False
        self.lost: dict[int, Loss] = {}
        self._steps: dict[int, int] = {}  # of each member, as last told
        self._heard = self._told = time.monotonic()
        self._parts: list[World] = []
        self._failure = ""  # of another rank, or of this one: every thread is to hear of it
        self._listening = threading.Lock()

    @classmethod
    def of(cls, ranks: int) -> "World":
        """The first `ranks` ranks of COMM_WORLD, apart from all other traffic."""
        check_launcher()
        if MPI.COMM_WORLD.size < ranks:
            raise MPIError(f"the run takes {ranks} ranks, the MPI world has {MPI.COMM_WORLD.size}")
        group = MPI.COMM_WORLD.group.Incl(list(range(ranks)))
        return cls(blocking(lambda: MPI.COMM_WORLD.Create_group(group), "the other ranks"))

    def part(self, ranks: Sequence[int]) -> "World":
        """Some of these ranks, apart from all other traffic. Collective over them alone."""
        group = self.comm.group.Incl(list(ranks))
        comm = blocking(lambda: self.comm.Create_group(group), "the other ranks")
        self._parts.append(World(comm, self.limit, whole=self))
        return self._parts[-1]

    @property
    def me(self) -> int:
        """This rank's number when the run began."""
        return self.members[self.rank]

    @property
    def living(self) -> list[int]:
        """The members that are not known to be dead."""
        return [member for member in self.members if member not in self.lost]

    @property
    def whole(self) -> bool:
        """Whether no rank of `comm` is known to be dead."""
        return len(self.living) == self.size

    def free(self):
        """Give the communicators back to MPI, unless something abandoned may still need them."""
        if not (_ABANDONED or self.lost):
            for part in self._parts:
                part.free()
            with suppress(MPIError):  # the run is over: who dies now is none of its business
                blocking(self.comm.Free, "the other ranks")

    def wait(
        self, ready: Callable[[], bool], what: str, limit: float | None = None,
        peer: int | None = None,
    ):  # fmt: skip
        """Poll until `ready()`; look for failures of others; give up after the limit.

        Raises
        ------
        RankLost
            The rank `peer`, without which this is never ready, has died.
        """
        limit = limit or self.limit
        began = time.monotonic()
        while not ready():
            self.check_for_failures()
            if peer is not None and self.members[peer] in self.lost:
                raise RankLost
            now, heard = time.monotonic(), (self._of or self)._heard
            if now - max(began, heard) > limit:
                raise MPIError(f"rank {self.rank} waited {limit:.0f} s for {what}: gave up")
            time.sleep(min((now - began) * PAUSE, LONGEST_PAUSE))

    def complete(
        self, request, what: str, limit: float | None = None, peer: int | None = None
    ):  # fmt: skip
        """Wait for an MPI request, which no other rank than `peer` can end if one is given."""

        def done() -> bool:
            try:
                return request.Test()
            except MPI.Exception as error:
                self._note_deaths(error)
                raise RankLost from error

        try:
            self.wait(done, what, limit, peer)
        except BaseException:
            _ABANDONED.append(request)
            raise

    def send(self, array: np.ndarray, rank: int, tag: int, what: str):
        """Send an array, and wait until it is taken; `RankLost` if the other one dies first."""
        self._between_two(lambda: self.comm.Isend(array, rank, tag), rank, what)

    def receive(self, into: np.ndarray, rank: int, tag: int, what: str):
        """Receive an array; `RankLost` if the other one dies first."""
        self._between_two(lambda: self.comm.Irecv(into, rank, tag), rank, what)

    def _between_two(self, begin: Callable[[], Any], rank: int, what: str):
        try:
            request = begin()
        except MPI.Exception as error:
            self._note_deaths(error)
            raise RankLost from error
        self.complete(request, what, peer=rank)

    def collectively(self, begin: Callable[[Any], Any], what: str, limit: float | None = None):
        """Begin a collective call on the communicator, and wait for it."""
        try:
            request = begin(self.comm)
        except MPI.Exception as error:
            self._note_deaths(error)
            raise RankLost from error
        self.complete(request, what, limit)

    def barrier(self, what: str, limit: float | None = None):
        self.collectively(lambda comm: comm.Ibarrier(), what, limit)

    def broadcast(self, array: np.ndarray, root: int = 0):
        """Broadcast an array in place."""
        self.collectively(lambda comm: comm.Ibcast(array, root), "a broadcast")

    def gather(self, record) -> list:
        """Every rank's record, on all, in rank order. Records are JSON: nothing is unpickled."""
        mine = np.frombuffer(json.dumps(record).encode(), np.uint8)
        size, sizes = np.array([mine.size], np.int64), np.empty(self.size, np.int64)
        self.collectively(lambda comm: comm.Iallgather(size, sizes), "record sizes")
        ends = np.cumsum(sizes)
        everything = np.empty(ends[-1], np.uint8)
        layout = [everything, sizes.tolist(), (ends - sizes).tolist(), MPI.UINT8_T]
        self.collectively(lambda comm: comm.Iallgatherv(mine, layout), "records")
        return [
            json.loads(everything[end - size : end].tobytes())
            for size, end in zip(sizes, ends, strict=True)
        ]

    def agree(
        self,
        yes: int,
        what: str,
        limit: float = IDLE_LIMIT,
        among: "World | None" = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> int:
        """Whether all living ranks (of a part of this world) say yes: the same answer on all.

        Several questions at once are the bits of a number. The one collective call that a death
        does not disturb.
        """
        answer = np.array([yes], np.int32)
        request = (among or self).comm.Iagree(answer)

        def done() -> bool:
            meanwhile()
            try:
                return request.Test()
            except MPI.Exception as error:
                if not says_a_rank_died(error):
                    raise
                return True  # agreed, without the dead

        try:
            self.wait(done, what, limit)
        except BaseException:
            _ABANDONED.append(request)
            raise
        self.check_for_failures()
        return int(answer[0])

    @property
    def revoked(self) -> bool:
        """Whether another rank has met a death, and waits for all to go on without the dead."""
        return self.forgiving and self.comm.Is_revoked()

    def shrink(self):
        """Go on without the dead. Collective over the living, who have agreed that they must."""
        self.comm.Revoke()
        comm = blocking(
            self.comm.Shrink, "the living to go on without the dead", IDLE_LIMIT, survives=True
        )
        left = MPI.Group.Translate_ranks(comm.group, list(range(comm.size)), self.comm.group)
        members = [self.members[rank] for rank in left]
        for member in set(self.members) - set(members):
            self._lose(member)
        self.comm, self.rank, self.size, self.members = comm, comm.rank, comm.size, members

    def together(self, act: Callable[[], Result], what: str) -> Result:
        """Carry out `act`, full of collective calls; if a rank dies meanwhile, anew without it."""
        while True:
            result, done = None, False
            if self.whole:
                with suppress(RankLost):
                    result, done = act(), True
            if not done:
                self.comm.Revoke()  # nobody is to wait for us within `act`
            if self.agree(done, what):
                return result  # type: ignore[return-value]  # all of us have carried it out
            self.shrink()

    def tell(self, step: int):
        """Give the others a sign of life, now and then."""
        now = time.monotonic()
        if now - self._told < SIGN_EVERY or not self.forgiving:
            return
        self._told = now
        self._to_others(np.array([step], np.int64), SIGN)

    def notify_failure(self, text: str):
        """Tell every other rank, and what goes on beside, that this one failed. Returns at once."""
        self._failure = self._failure or text
        self._to_others(np.frombuffer(text.encode()[:1000], np.uint8), FAILURE)

    def _to_others(self, message: np.ndarray, tag: int):
        """A short message to every other living rank, not waited for."""
        for rank, member in enumerate(self.members):
            if member != self.me and member not in self.lost:
                with suppress(MPI.Exception):  # this one has just died
                    request = self.comm.Isend(message, rank, tag)
                    if not request.Test():
                        _ABANDONED.append(request)

    def check_for_failures(self):
        """Raise `PeerFailed` if another rank has failed and said so; hear the signs of life.

        Of several threads that wait one listens, and all hear of it. In a part of a world they
        listen to all of it.
        """
        if self._of:
            return self._of.check_for_failures()
        if self._listening.acquire(blocking=False):
            try:
                self._listen()
            finally:
                self._listening.release()
        if self._failure:
            raise PeerFailed(self._failure)

    def _listen(self):
        status = MPI.Status()
        if self.probe(MPI.ANY_SOURCE, FAILURE, status):
            text = np.empty(status.count, np.uint8)
            self.comm.Recv(text, status.source, FAILURE)
            self._failure = text.tobytes().decode(errors="replace")
        while self.probe(MPI.ANY_SOURCE, SIGN, status):
            step = np.empty(1, np.int64)
            self.comm.Recv(step, status.source, SIGN)
            self._steps[self.members[status.source]] = int(step[0])
            self._heard = time.monotonic()

    def probe(self, source: int, tag: int, status) -> bool:
        """Whether such a message is there; of a dead rank there is none."""
        try:
            return self.comm.Iprobe(source, tag, status)
        except MPI.Exception as error:
            self._note_deaths(error)
            return False

    def _note_deaths(self, error):
        """Find out who is gone; in a world that does not forgive, the run is over."""
        if not says_a_rank_died(error):
            raise error
        failed = self.comm.Get_failed()
        ranks = MPI.Group.Translate_ranks(failed, list(range(failed.size)), self.comm.group)
        self.comm.Ack_failed(failed.size)
        for rank in ranks:
            self._lose(self.members[rank])
        if not self.forgiving:
            raise PeerFailed(DEAD) from error

    def _lose(self, member: int):
        _DEATHS.append(member)
        self.lost.setdefault(member, Loss(time.monotonic(), self._steps.get(member, 0)))
