"""A tree of centers: memory shared on each node, tied to the root x̃ on rank 0 in the background.

The first worker of each node carries what goes to the root and back (`method.tree.Tie`).
"""

from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError
from easgd_lib.method.center import ExchangeProtocol, LocalCenter
from easgd_lib.method.tree import root_protocol
from easgd_lib.parallel.centers.server import Server, ServerCenter
from easgd_lib.parallel.centers.window import WindowCenter
from easgd_lib.parallel.world import World


class TreeCenter:
    """A worker's end. Pulls and pushes are those of its node's window.

    If a rank dies, the run ends.

    Parameters
    ----------
    world : World
        The root's rank, then all workers.
    start : (d,) tensor
    protocol : ExchangeProtocol
        Its `nodes` say how the workers are grouped.

    Attributes
    ----------
    root : ServerCenter
        Whom an exchange of the node is with. Other workers only ask it for copies.

    Raises
    ------
    MPIError
        The workers of a node are on several computers.
    """

    def __init__(self, world: World, start: Tensor, protocol: ExchangeProtocol):
        groups = _groups(world, protocol)
        _check_computers(world, groups)
        mine = next(group for group in groups if world.rank in group)
        self.root = ServerCenter(world, start, root_protocol(protocol))
        self.node = WindowCenter(world.part(mine), start, protocol)
        self.pull, self.push = self.node.pull, self.node.push

    def snapshot(self) -> Tensor:
        return self.root.snapshot()

    def close(self) -> Tensor:
        self.node.close()
        return self.root.close()


def _groups(world: World, protocol: ExchangeProtocol) -> list[list[int]]:
    """The ranks of each node's workers."""
    assert protocol.nodes
    return [[1 + worker for worker in group] for group in protocol.nodes.members(world.size - 1)]


def _check_computers(world: World, groups: list[list[int]]):
    """Collective over the workers."""
    there = world.part(range(1, world.size)).gather(MPI.Get_processor_name())
    for group in groups:
        computers = sorted({there[rank - 1] for rank in group})
        if len(computers) > 1:
            raise MPIError(
                f"workers {group[0] - 1} to {group[-1] - 1} share memory, and are on several "
                f"computers ({', '.join(computers)})",
                f"--nodes {len(set(there))}, and one slot more on the first computer, for the root",
            )


def connect(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> TreeCenter:
    """A worker's end of the center `tree`."""
    return TreeCenter(world, start, protocol)


def serve(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> Tensor:
    """The root of the center `tree`: own x̃ until every worker is done."""
    root = LocalCenter(start, root_protocol(protocol))
    carriers = [group[0] for group in _groups(world, protocol)]
    return Server(world, root, clients=carriers).run()
