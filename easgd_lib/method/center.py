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

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

State = tuple[Any, ...]


class Pull(NamedTuple):
    """Asks for the center x̃ as it is now."""


class Push(NamedTuple):
    """Hands the center a change."""

    change: Any


class Master(NamedTuple):
    """What a center does with a push where it must do more than add. Pure: no transport.

    Attributes
    ----------
    begin : callable
        x̃'s start to the center's state: a tuple of vectors, x̃ first.
    absorb : callable
        (state, change, t) to the new state, t the pushes absorbed before.
    shows : int
        Which vector of the state is evaluated.
    """

    begin: Callable[[Any], State]
    absorb: Callable[[State, Any, int], State]
    shows: int = 0


class Terms(NamedTuple):
    """What a method asks of a center, in words that name no method.

    Attributes
    ----------
    order : str
        As in `Settings`.
    exchange : tuple
        What a worker asks for in one exchange, in turn: `Pull` and `Push`.
    held : bool
        Whether no gradient falls within an exchange, so that a center that serves one
        worker at a time may keep the others out from its first request to its last.
    master : Master or None
        What to do with a push; None: add.
    """

    order: str = "asynchronous"
    exchange: tuple[type, ...] = (Pull, Push)
    held: bool = True
    master: Master | None = None

    def begin(self, start: Any) -> State:
        """The center's state at the start: x̃, and what the master remembers."""
        return self.master.begin(start) if self.master else (start,)

    @property
    def shows(self) -> int:
        """Which vector of the state is evaluated."""
        return self.master.shows if self.master else 0


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


class LocalCenter:
    """x̃ in this process. Each push makes a new vector, so what was pulled never changes."""

    def __init__(self, start, terms: Terms):
        self.terms, self.master = terms, terms.master
        self.state = terms.begin(start)
        self.pushes = 0

    @property
    def center(self):
        return self.state[0]

    def pull(self):
        return self.center

    def push(self, change) -> None:
        if self.master:
            self.state = self.master.absorb(self.state, change, self.pushes)
        else:
            self.state = (self.center + change,)
        self.pushes += 1

    def snapshot(self):
        return self.state[self.terms.shows]

    close = snapshot
