"""The KTH program's exchange: the parameter server with its detours, and its two ends."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.method.center import ExchangeProtocol, LocalCenter
from easgd_lib.parallel.centers.channel import MessageChannel
from easgd_lib.parallel.centers.server import Server, ServerCenter
from easgd_lib.parallel.world import World


class PiecewiseChannel(MessageChannel):
    """Carries a vector in several messages, as the report does layer by layer (its section 2.3).

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


class ComputingRoot(LocalCenter):
    """A center whose process runs τ forward passes whenever every worker has pushed once more.

    The workers wait meanwhile: the same process serves them.
    """

    def __init__(
        self, start: Tensor, protocol: ExchangeProtocol, workers: int,
        objective: ImageClassification,
    ):  # fmt: skip
        super().__init__(start, protocol)
        self.workers, self.objective = workers, objective

    def push(self, change: Tensor) -> None:
        super().push(change)
        if self.pushes % self.workers == 0:
            for _ in range(self.objective.settings.tau):
                self.objective.forward(self.objective.draw())


@dataclass(frozen=True)
class Exchange:
    """Which detours one center makes; its two ends."""

    layers: bool = False
    elements: bool = False
    root_computes: bool = False

    def channel(self, world: World, objective: ImageClassification) -> MessageChannel:
        if not (self.layers or self.elements):
            return MessageChannel(world)
        sizes = [parameter.numel() for parameter in objective.network.parameters()]
        return PiecewiseChannel(world, sizes if self.layers else [sum(sizes)], self.elements)

    def connect(self, world: World, start: Tensor, protocol, objective) -> ServerCenter:
        return ServerCenter(world, start, protocol, self.channel(world, objective))

    def serve(self, world: World, start: Tensor, protocol, objective) -> Tensor:
        center = (
            ComputingRoot(start, protocol, world.size - 1, objective)
            if self.root_computes
            else LocalCenter(start, protocol)
        )
        return Server(world, center, self.channel(world, objective)).run()


LAYERS = Exchange(layers=True)
ELEMENTS = Exchange(elements=True)
COMPUTING_ROOT = Exchange(root_computes=True)
PROGRAM = Exchange(layers=True, elements=True, root_computes=True)
