"""Where the center variable x̃ lives, behind one protocol. A center knows no α and no method.

`pull` and `push` each move the whole vector once, never one layer at a time. What an exchange
asks for, and in which order, a center learns from the `ExchangeProtocol` it is made with.
Centers differ in where the memory is and in whether other pushes may fall between one worker's
pull and its push:

=========== ==================================== ===========================
center      x̃ is                                 asynchronous exchanges
=========== ==================================== ===========================
`local`     in this process (the simulator)      atomic
`window`    memory that all ranks share          may overlap; pushes add up
`server`    on rank 0, which does not train      atomic
`allreduce` a replica on every rank              none: synchronous only
`tree`      on rank 0; on every node a center    may overlap; nodes are tied
            of its own, in shared memory         to x̃ in the background
=========== ==================================== ===========================

`CENTERS` says so for the program: a new center is one file and one row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from easgd_lib.errors import SettingsError
from easgd_lib.method.extension import find

if TYPE_CHECKING:
    from torch import Tensor

State = tuple[Any, ...]


class Pull(NamedTuple):
    """Asks for the center x̃ as it is now."""


class Push(NamedTuple):
    """Hands the center a change."""

    change: Any


class Begin(NamedTuple):
    """Asks for an exchange that goes on while the worker does: x̃ is pulled, change(x̃) is pushed."""

    change: Callable[[Any], Any]


class End(NamedTuple):
    """Asks for what the exchange begun last has pushed, and waits until it has."""


class ServerOptimizer(NamedTuple):
    """What a center does with a push where it must do more than add. Pure: no transport.

    Attributes
    ----------
    begin : callable
        x̃'s start to the center's state: a tuple of vectors, x̃ first.
    absorb : callable
        (state, change, t) to the new state, t the pushes absorbed before.
    shows : int
        Which vector of the state is evaluated.

    >>> half = ServerOptimizer(lambda x: (x,), lambda state, change, t: (state[0] + change / 2,))
    >>> half.absorb(half.begin(1.0), 1.0, 0)
    (1.5,)
    """

    begin: Callable[[Any], State]
    absorb: Callable[[State, Any, int], State]
    shows: int = 0


class Nodes(NamedTuple):
    """How the workers of a tree are grouped, and how the nodes' centers are tied to x̃, the root.

    Attributes
    ----------
    number : int
        Nodes. The workers are dealt out to them in blocks.
    alpha : float
        Of a node's exchange with the root; in rows, where all workers are one array.
    period : int
        A node exchanges with the root at every so many-th exchange of its first worker.

    >>> [Nodes(2, 0.45, 1).of(worker, 5) for worker in range(5)]
    [0, 0, 0, 1, 1]
    """

    number: int
    alpha: Any
    period: int

    def of(self, worker: int, workers: int) -> int:
        """The node of this worker."""
        return worker * self.number // workers

    def members(self, workers: int) -> list[list[int]]:
        """The workers of each node; the first of them carries what goes to the root and back."""
        everybody = range(workers)
        return [[i for i in everybody if self.of(i, workers) == k] for k in range(self.number)]


class ExchangeProtocol(NamedTuple):
    """What a method asks of a center, in words that name no method.

    Attributes
    ----------
    order : str
        As in `Settings`.
    exchange : tuple
        What a worker asks for in one exchange, in turn: `Pull` and `Push`.
    atomic : bool
        Whether no gradient falls within an exchange, so that a center that serves one
        worker at a time may keep the others out from its first request to its last.
    optimizer : ServerOptimizer or None
        What to do with a push; None: add.
    resumed : (state, pushes) or None
        Where the center goes on, in a run that is resumed.
    nodes : Nodes or None
        How workers are grouped, where the center is a tree.

    >>> ExchangeProtocol().begin(1.0)
    (1.0,)
    """

    order: str = "asynchronous"
    exchange: tuple[type, ...] = (Pull, Push)
    atomic: bool = True
    optimizer: ServerOptimizer | None = None
    resumed: tuple[State, int] | None = None
    nodes: Nodes | None = None

    def begin(self, start: Any) -> State:
        """The center's state at the start: x̃, and what the optimizer remembers."""
        if self.resumed:
            return self.resumed[0]
        return self.optimizer.begin(start) if self.optimizer else (start,)

    @property
    def pushes(self) -> int:
        """How many pushes the center has absorbed at the start."""
        return self.resumed[1] if self.resumed else 0

    @property
    def shows(self) -> int:
        """Which vector of the state is evaluated."""
        return self.optimizer.shows if self.optimizer else 0


def exchange(center: Center, change: Callable[[Any], Any]) -> Any:
    """One exchange, from its pull to its push; returns what was pushed.

    >>> center = LocalCenter(1.0, ExchangeProtocol())
    >>> exchange(center, lambda x: 0.5 * (3.0 - x)), center.pull()
    (1.0, 2.0)
    """
    pushed = change(center.pull())
    center.push(pushed)
    return pushed


class Center(Protocol):
    """What a worker sees of x̃."""

    def pull(self) -> Tensor:
        """x̃, (d,). It may be a view: use it before the next request, and do not write to it."""

    def push(self, change: Tensor) -> None:
        """x̃ ← x̃ + change, or what the optimizer says, atomically with respect to other pushes."""

    def snapshot(self) -> Tensor:
        """A copy of what is evaluated, x̃ or its average z, taken outside every exchange."""

    def state(self) -> tuple[State, int]:
        """A copy of all that the center is, and the pushes so far, for a checkpoint."""

    def close(self) -> Tensor:
        """This worker is done. Returns what is evaluated, final where this is rank 0."""


class LocalCenter:
    """x̃ in this process. Each push makes a new vector, so what was pulled never changes.

    >>> center = LocalCenter(1.0, ExchangeProtocol())
    >>> center.push(0.5)
    >>> center.pull()
    1.5
    """

    def __init__(self, start, protocol: ExchangeProtocol):
        self.protocol, self.optimizer = protocol, protocol.optimizer
        self.vectors = protocol.begin(start)
        self.pushes = protocol.pushes

    @property
    def center(self):
        return self.vectors[0]

    def pull(self):
        return self.center

    def push(self, change) -> None:
        if self.optimizer:
            self.vectors = self.optimizer.absorb(self.vectors, change, self.pushes)
        else:
            self.vectors = (self.center + change,)
        self.pushes += 1

    def snapshot(self):
        return self.vectors[self.protocol.shows]

    def state(self) -> tuple[State, int]:
        return self.vectors, self.pushes

    close = snapshot


ORDERS = ("asynchronous", "synchronous", "round_robin")


class CenterKind(NamedTuple):
    """What a center is. A row of `CENTERS`, or one of your own, named "module:attribute".

    Attributes
    ----------
    connect : callable, or the "module:attribute" of one, or None
        (world, start, protocol, objective) to a worker's `Center`. Collective over the workers;
        None: the center exists in one process only.
    serve : the same, or None
        Called with the same on a rank of its own, rank 0: owns x̃ until every worker is
        done and returns what is evaluated. None: no such rank.
    atomic : bool
        Whether no other push falls between a worker's pull and its push, where exchanges
        are asynchronous.
    orders : tuple
        The orders of exchanges it knows, the default first.
    replicas : bool
        Whether every worker has its own x̃: then a center only adds, and a pull is free.
    forgiving : bool
        Whether the others can go on when a worker dies.
    nodes : bool
        Whether workers are grouped into nodes, each with a center of its own. Such a center
        has no checkpoints.
    link : {"window", "server"} or None
        What a message of it costs under the virtual clock: memory that is shared, or a message
        to another rank. None: the clock cannot imitate it.

    >>> CENTERS["allreduce"].orders
    ('synchronous',)
    """

    connect: Callable | str | None
    serve: Callable | str | None = None
    atomic: bool = True
    orders: tuple[str, ...] = ORDERS
    replicas: bool = False
    forgiving: bool = False
    nodes: bool = False
    link: str | None = None

    @property
    def extra_ranks(self) -> int:
        """How many MPI ranks a run takes besides its workers."""
        return int(self.serve is not None)


_FILES = "easgd_lib.parallel.centers"
CENTERS = {
    "window": CenterKind(f"{_FILES}.window:connect", atomic=False, forgiving=True, link="window"),
    "server": CenterKind(
        f"{_FILES}.server:connect", f"{_FILES}.server:serve", forgiving=True, link="server"
    ),
    "allreduce": CenterKind(
        f"{_FILES}.allreduce:connect",
        orders=("synchronous",),
        replicas=True,
        forgiving=True,
        link="server",
    ),
    "tree": CenterKind(
        f"{_FILES}.tree:connect", f"{_FILES}.tree:serve", atomic=False, nodes=True, link="window"
    ),
    "local": CenterKind(None, link="window"),
}


def kind_of(center: str) -> CenterKind:
    """What the center of this name is: a row of `CENTERS`, or what "module:attribute" names.

    Raises
    ------
    SettingsError
        No such row, or what was found is no `CenterKind`.

    >>> kind_of("server").extra_ranks
    1
    """
    kind = find("center", center, CENTERS)
    if not isinstance(kind, CenterKind):
        raise SettingsError(f"center {center} is no CenterKind", "see easgd_lib.method.center")
    return kind
