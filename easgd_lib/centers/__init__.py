"""Where the center x̃ lives, behind one protocol. A center knows no α and no method.

`pull` and `push` each move the whole vector once, never one layer at a time.
In every exchange a worker calls both. Centers differ in where the memory is and in
whether other pushes may fall between one worker's pull and its push:

========= ==================================== ===========================
center    x̃ is                                 asynchronous exchanges
========= ==================================== ===========================
`local`   in this process (the simulator)      serialised
`window`  memory that all ranks share          may overlap; pushes add up
`server`  on rank 0, which does not train      serialised
========= ==================================== ===========================
"""

from typing import Protocol

from torch import Tensor


class Center(Protocol):
    """What a worker sees of x̃."""

    def pull(self) -> Tensor:
        """x̃, (d,). It may be a view: use it before the push, and do not write to it."""

    def push(self, change: Tensor) -> None:
        """x̃ ← x̃ + change, atomically with respect to other pushes."""

    def snapshot(self) -> Tensor:
        """A copy of x̃, taken outside every exchange."""

    def close(self) -> Tensor:
        """This worker is done. Returns x̃ as far as it knows: rank 0 saw the last push."""
