"""A module's parameters, and their gradients, as one contiguous vector: views, no copies."""

import hashlib

import torch
from torch import Tensor, nn


class Flat:
    """Re-homes the parameters of `module` in one vector.

    Afterwards ``vector`` *is* the parameters and ``gradient`` is where backward
    accumulates: writing to one writes to the other. Four-dimensional weights
    lie in channels_last order, in which CPU convolutions are fastest.

    Attributes
    ----------
    vector, gradient : (d,) tensors
    """

    def __init__(self, module: nn.Module):
        parameters = list(module.parameters())
        size = sum(parameter.numel() for parameter in parameters)
        self.vector = torch.empty(size, dtype=parameters[0].dtype)
        self.gradient = torch.zeros_like(self.vector)
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            home = _shaped(self.vector[start:end], parameter.shape)
            home.copy_(parameter.data)
            parameter.data = home
            parameter.grad = _shaped(self.gradient[start:end], parameter.shape)
            start = end


def _shaped(piece: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return piece.view(shape)
    out, channels, height, width = shape
    return piece.view(out, height, width, channels).permute(0, 3, 1, 2)


def digest(vector: Tensor) -> str:
    """A fingerprint of a vector's bytes, to compare starting points across ranks."""
    return hashlib.sha256(vector.contiguous().numpy().tobytes()).hexdigest()[:16]
