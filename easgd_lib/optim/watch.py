"""An error that ends one rank's program ends the others': nobody waits for him two minutes."""

import atexit
import sys
from functools import cache
from typing import Any

from easgd_lib.parallel.world import leave

_open: list[Any] = []  # in the order of their making, the same on all ranks; kept until closed


def watch(optimizer: Any):
    """From now on an error that nobody catches, or an end without `close`, reaches the others."""
    _hook()
    _open[:] = [each for each in _open if not each.closed] + [optimizer]


@cache  # once
def _hook():
    before = sys.excepthook

    def tell(kind, error, trace):
        failed(error)
        before(kind, error, trace)

    sys.excepthook = tell
    atexit.register(leave, 1)  # after _end: where a rank died, what it was to do is not done
    atexit.register(_end)
    if "IPython" in sys.modules:
        from IPython import get_ipython  # only where a notebook or an engine has loaded it

        if shell := get_ipython():
            shell.events.register("post_run_cell", _after_cell)


def _after_cell(result):
    error = result.error_in_exec or result.error_before_exec
    if error is not None:
        failed(error)


def failed(error: BaseException):
    """Tell the other ranks."""
    for optimizer in _open:
        optimizer.fail(error)


def _end():
    for optimizer in _open:
        optimizer.close()
