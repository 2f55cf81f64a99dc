"""What became of the calls that the engines of a run were asked to carry out."""

import time

from ipyparallel.error import RemoteError

from easgd_lib import errors
from easgd_lib.errors import DEAD, MPIError, PeerFailed


class EngineDied(PeerFailed):
    """This engine was killed, or ran out of memory."""


def all_ready(calls: list, limit: float) -> bool:
    """Wait until all have come to an end, for so many seconds at most; whether they have."""
    deadline = time.monotonic() + limit
    while not (done := all(call.ready() for call in calls)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return done


def latest(call) -> dict | None:
    """The last live numbers that this engine has published."""
    data = call.data
    return (data[0] if isinstance(data, list) else data) or None


def failed(call) -> bool:
    """Whether it ended in an error."""
    return call.ready() and not call.successful()


def record_of(calls: list) -> dict | None:
    """The record, from the one rank that returns it."""
    ended = [call.get() for call in calls if call.ready() and call.successful()]
    return next((record for record in ended if record), None)


def failure_of(call) -> Exception:
    """The error of one call, in our own words where they were ours."""
    try:
        call.get(timeout=1)
    except RemoteError as error:
        if error.ename == "EngineError":
            return EngineDied(DEAD)
        if error.ename == "KeyboardInterrupt":
            return MPIError("an engine was interrupted", "start the run again")
        kind = getattr(errors, error.ename, None)
        if kind:
            return kind(error.evalue)
        failure = MPIError(f"a rank failed ({error.ename}: {error.evalue})")
        failure.__cause__ = error  # its traceback, for whoever wrote what failed
        return failure
    except Exception as error:
        return MPIError(f"an engine did not end when told to: it was stopped ({error})")
    raise AssertionError("only called for failures")
