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
        self.world.send(vector.contiguous().numpy(), rank, tag, what)

    def receive(self, into: Tensor, rank: int, tag: int, what: str) -> None:
        self.world.receive(into.numpy(), rank, tag, what)
