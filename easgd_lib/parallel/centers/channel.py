"""How a vector travels between two ranks: in one message, or as the report's program sent it."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from easgd_lib.parallel.world import World


class Courier:
    """Carries whole vectors, each in a single message.

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


class LayerCourier(Courier):
    """Carries a vector layer by layer, as the report does (its section 2.3): a suspect.

    Parameters
    ----------
    world : World
    sizes : list of int
        Floats of each message, in order.
    elements : bool
        Copy every float into its message by itself ("expanding the tensors into float objects").
    """

    def __init__(self, world: World, sizes: list[int], elements: bool = False):
        super().__init__(world)
        self.elements = elements
        self.pieces = [slice(*ends) for ends in pairwise(np.cumsum([0, *sizes]).tolist())]

    def send(self, vector: Tensor, rank: int, tag: int, what: str) -> None:
        for piece in self.pieces:
            layer = vector[piece]
            super().send(_expanded(layer) if self.elements else layer, rank, tag, what)

    def receive(self, into: Tensor, rank: int, tag: int, what: str) -> None:
        for piece in self.pieces:
            super().receive(into[piece], rank, tag, what)


def _expanded(layer: Tensor) -> Tensor:
    """The same layer, taken apart into floats one element at a time."""
    message = np.empty(len(layer), layer.numpy().dtype)
    for i in range(len(layer)):
        message[i] = layer[i].item()
    return torch.from_numpy(message)
