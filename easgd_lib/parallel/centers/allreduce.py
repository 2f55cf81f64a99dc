"""The center variable x̃ on every rank: replicas that move by the same all-reduced sum."""

import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError
from easgd_lib.learning.flat import digest
from easgd_lib.method.center import ExchangeProtocol, State
from easgd_lib.parallel.world import RankLost, World


class AllreduceCenter:
    """A replica of x̃ on each rank (synchronous order only). A pull is free.

    A push sums the changes of all ranks and adds the sum to every replica. MPI gives
    all ranks the same bits of a sum, but does not promise to: when the run ends, the
    replicas are compared.

    If a rank dies within a push, its sum may have reached some and not others. The living
    take the replica of whoever got furthest; if that is nobody, they push again without the dead.

    Raises
    ------
    MPIError
        On closing: the replicas differ.
    """

    def __init__(self, world: World, start: Tensor, protocol: ExchangeProtocol):
        assert protocol.order == "synchronous"
        assert protocol.optimizer is None
        self.world = world
        self.center = protocol.begin(start)[0].clone()
        self.sum = torch.empty_like(start)
        self.pushes = protocol.pushes

    def pull(self) -> Tensor:
        return self.center

    def push(self, change: Tensor) -> None:
        mine, everybodys = change.contiguous().numpy(), self.sum.numpy()
        target = self.pushes + 1
        while self.pushes < target:
            try:
                self.world.collectively(
                    lambda comm: comm.Iallreduce(mine, everybodys, MPI.SUM),
                    "the other workers to push",
                )
            except RankLost:
                self.world.together(self._catch_up, "the others to notice that a worker died")
            else:
                self.center += self.sum
                self.pushes += 1

    def keep_up(self):
        """Called while this rank waits for another vote: a rank behind it may have met a death."""
        if self.world.revoked:
            self.world.together(self._catch_up, "the others to notice that a worker died")

    def _catch_up(self):
        """Take the replica that has most pushes."""
        pushes = self.world.gather(self.pushes)
        furthest = self.center.clone()
        self.world.broadcast(furthest.numpy(), root=pushes.index(max(pushes)))
        self.center, self.pushes = furthest, max(pushes)

    def snapshot(self) -> Tensor:
        return self.center.clone()

    def state(self) -> tuple[State, int]:
        return (self.center.clone(),), self.pushes

    def close(self) -> Tensor:
        while not self.world.agree(True, "the other workers to finish"):
            self.world.shrink()
            self.world.together(self._catch_up, "the others to notice that a worker died")
        replicas = self.world.together(
            lambda: self.world.gather(digest(self.center)), "the other replicas"
        )
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
