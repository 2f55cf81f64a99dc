"""Parameters of any module as one vector, copied in and out: nobody's views are touched."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from easgd_lib.errors import SettingsError


def trained(groups: Iterable[dict]) -> list[nn.Parameter]:
    """The parameters that are trained, in the order of the groups; each once.

    Raises
    ------
    SettingsError
        None; several precisions or devices; or a precision that messages do not know.
    """
    parameters = [p for group in groups for p in group["params"] if p.requires_grad]
    if not parameters:
        raise SettingsError("there is no parameter to train", "all are frozen")
    kinds = {(p.dtype, p.device) for p in parameters}
    if len(kinds) > 1:
        raise SettingsError(
            f"parameters of several kinds: {', '.join(sorted(f'{d} on {w}' for d, w in kinds))}",
            "one precision and one device; for bfloat16 use autocast",
        )
    (dtype, _), *_ = kinds
    if dtype not in (torch.float32, torch.float64):
        raise SettingsError(
            f"parameters are {dtype}", "float32 or float64; for lower precision use autocast"
        )
    return parameters


def values(parameters: list[nn.Parameter]) -> Tensor:
    """Their values, (d,), a copy."""
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def gradients(parameters: list[nn.Parameter]) -> Tensor:
    """Their gradients, (d,), a copy; zeros where there is none.

    Raises
    ------
    SettingsError
        A sparse one.
    """
    if any(p.grad is not None and p.grad.is_sparse for p in parameters):
        raise SettingsError("a gradient is sparse", "nn.Embedding(..., sparse=False)")
    pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([piece.detach().reshape(-1) for piece in pieces])


@torch.no_grad()
def put(vector: Tensor, parameters: list[nn.Parameter]):
    """Write a vector into them."""
    pieces = vector.split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.copy_(piece.view_as(parameter))


def of_groups(groups: Iterable[dict], name: str) -> float | Tensor:
    """An option of the groups: a number where all agree, else (d,), one for each coordinate."""
    groups = list(groups)
    if len({group[name] for group in groups}) == 1:
        return groups[0][name]
    return torch.cat(
        [
            p.new_full((p.numel(),), group[name])
            for group in groups
            for p in group["params"]
            if p.requires_grad
        ]
    )
