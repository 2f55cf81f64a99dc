"""How a vector travels between two ranks: in one message."""

from torch import Tensor

from easgd_lib.parallel.world import World


class MessageChannel:
    """Sends and receives whole vectors, each in a single message.

    Attributes
    ----------
    world : World
    """

    def __init__(self, world: World):
        self.world = world

    def send(self, vector: Tensor, rank: int, tag: int, what: str) -> None:
        request = self.world.comm.Isend(vector.contiguous().numpy(), rank, tag)
        self.world.complete(request, what)

    def receive(self, into: Tensor, rank: int, tag: int, what: str) -> None:
        self.world.complete(self.world.comm.Irecv(into.numpy(), rank, tag), what)
