"""The center variable x̃ on every rank: replicas that move by the same all-reduced sum."""

import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError
from easgd_lib.learning.flat import digest
from easgd_lib.method.center import ExchangeProtocol
from easgd_lib.parallel.world import World


class AllreduceCenter:
    """A replica of x̃ on each rank (synchronous order only). A pull is free.

    A push sums the changes of all ranks and adds the sum to every replica. MPI gives
    all ranks the same bits of a sum, but does not promise to: when the run ends, the
    replicas are compared.

    Raises
    ------
    MPIError
        On closing: the replicas differ.
    """

    def __init__(self, world: World, start: Tensor, protocol: ExchangeProtocol):
        assert protocol.order == "synchronous"
        assert protocol.optimizer is None
        self.world = world
        self.center = start.clone()
        self.sum = torch.empty_like(start)

    def pull(self) -> Tensor:
        return self.center

    def push(self, change: Tensor) -> None:
        request = self.world.comm.Iallreduce(change.contiguous().numpy(), self.sum.numpy(), MPI.SUM)
        self.world.complete(request, "the other workers to push")
        self.center = self.center + self.sum

    def snapshot(self) -> Tensor:
        return self.center.clone()

    def close(self) -> Tensor:
        replicas = self.world.gather(digest(self.center))
        if len(set(replicas)) > 1:
            raise MPIError(
                f"the replicas of the center drifted apart ({', '.join(replicas)}), for this "
                f"MPI's sums are not the same on all ranks",
                "use --center window or server",
            )
        return self.center


def connect(world: World, start: Tensor, protocol: ExchangeProtocol, objective) -> AllreduceCenter:
    """The center `allreduce`."""
    return AllreduceCenter(world, start, protocol)
