"""Where the center variable x̃ lives on MPI, one file a center; `CENTERS` is their table."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from easgd_lib.errors import SettingsError
from easgd_lib.method.center import Center, CenterKind, ExchangeProtocol
from easgd_lib.method.extension import find
from easgd_lib.parallel.world import World


class TakesOver(Exception):
    """Raised on a worker that is to serve from now on, with x̃ as far as it knows it."""

    def __init__(self, center: Tensor):
        super().__init__("the server died: this worker takes over")
        self.center = center


def connect(
    kind: CenterKind, world: World, start: Tensor, protocol: ExchangeProtocol, objective: Any = None
) -> Center:
    """A worker's end of this kind of center. Collective over the workers."""
    return _callable(kind.connect)(world, start, protocol, objective)


def serve(
    kind: CenterKind, world: World, start: Tensor, protocol: ExchangeProtocol, objective: Any = None
) -> Tensor:
    """On the rank of its own: own x̃ until every worker is done; returns what is evaluated."""
    return _callable(kind.serve)(world, start, protocol, objective)


def _callable(end: Callable | str | None) -> Callable:
    if end is None:
        raise SettingsError("center local runs in one process", "use easgd_lib.simulate.train")
    return find("center", end, {}) if isinstance(end, str) else end
