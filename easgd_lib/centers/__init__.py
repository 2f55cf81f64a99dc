"""Where the center x̃ lives, behind one protocol. A center knows no α and no method.

`pull` and `push` each move the whole vector once, never one layer at a time (but for `report`,
which shows what that costs: `courier.py`). What an exchange asks for, and in which order, a
center learns from the `Terms` it is made with. Centers differ in where the memory is and in
whether other pushes may fall between one worker's pull and its push:

=========== ==================================== ===========================
center      x̃ is                                 asynchronous exchanges
=========== ==================================== ===========================
`local`     in this process (the simulator)      serialised
`window`    memory that all ranks share          may overlap; pushes add up
`server`    on rank 0, which does not train      serialised
`report`    the same, layer by layer, in turn    serialised (always round robin)
`allreduce` a replica on every rank              none: synchronous only
=========== ==================================== ===========================
"""

from typing import Protocol

from torch import Tensor


class Center(Protocol):
    """What a worker sees of x̃."""

    def pull(self) -> Tensor:
        """x̃, (d,). It may be a view: use it before the next request, and do not write to it."""

    def push(self, change: Tensor) -> None:
        """x̃ ← x̃ + change, or what the terms say, atomically with respect to other pushes."""

    def snapshot(self) -> Tensor:
        """A copy of what is evaluated, x̃ or its average z, taken outside every exchange."""

    def close(self) -> Tensor:
        """This worker is done. Returns what is evaluated, final where this is rank 0."""
