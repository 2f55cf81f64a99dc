"""Where the ranks of an optimizer meet: same options, same start, different data; the center."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from easgd_lib.errors import MPIError, SettingsError
from easgd_lib.learning.flat import digest
from easgd_lib.method.algorithms import protocol_of
from easgd_lib.method.center import kind_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import centers
from easgd_lib.parallel.world import World, blocking, check_launcher

END, AGAIN = 0, 1  # what the workers tell a server when they are done


class Meeting:
    """The ranks that train one model, and their center.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        None: all ranks.
    options : dict
        Of `Settings`; `workers` follows from the communicator.

    Attributes
    ----------
    world : World
    settings : Settings
    worker : int
        0 … p − 1; a server's is −1.
    """

    def __init__(self, comm: Any, options: dict[str, Any]):
        check_launcher()
        comm = MPI.COMM_WORLD if comm is None else comm
        self.world = World(blocking(comm.Dup, "the other ranks"))
        try:
            self.settings = _settings(self.world, options)
        except BaseException as error:
            self.world.notify_failure(str(error))
            raise
        self.worker = self.world.rank - self.settings.kind.extra_ranks
        self.protocol = protocol_of(self.settings)
        self.center: Any = None
        self._same_options()

    @property
    def _first(self) -> int:
        """The rank of worker 0."""
        return self.settings.kind.extra_ranks

    def _same_options(self):
        everybodys = self.world.gather(self.settings.to_dict())
        ours = everybodys[0]
        for rank, theirs in enumerate(everybodys):
            if other := [name for name in ours if ours[name] != theirs.get(name)]:
                raise SettingsError(
                    f"rank {rank} has another {', '.join(other)} than rank 0",
                    "make the optimizer with the same options on all ranks",
                )

    def same_start(self, tensors: Iterable[Tensor]):
        """Write worker 0's parameters and buffers into everybody's."""
        tensors = list(tensors)
        shapes = [[list(tensor.shape), str(tensor.dtype)] for tensor in tensors]
        if len({str(theirs) for theirs in self.world.gather(shapes)}) > 1:
            raise SettingsError(
                "the ranks have different models", "build the same network on all of them"
            )
        for tensor in tensors:
            here = tensor.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
            self.world.broadcast(here.view(torch.uint8).numpy(), self._first)
            tensor.detach().copy_(here.view_as(tensor))

    def different_data(self, gradient: Tensor):
        """Two workers with the same first gradient have the same data. Collective over workers."""
        found = self.workers.gather(digest(gradient.cpu()))
        for one, theirs in enumerate(found):
            if theirs in found[:one]:
                raise MPIError(
                    f"workers {found.index(theirs)} and {one} have the same first gradient",
                    "give each rank its own part of the data, such as a DistributedSampler does",
                )

    @cached_property
    def workers(self) -> World:
        """The workers alone. Collective over them."""
        return self.world.part(range(self._first, self.world.size))

    def rest(self):
        """Where exchanges wait for one another: until all workers have come here, and x̃ rests."""
        if self.protocol.exchange and self.settings.order != "asynchronous":
            self.workers.barrier("the other workers to save")

    def connect(self, start: Tensor) -> Any:
        """This worker's end of the center; None: the method has none. Collective over workers."""
        if not self.protocol.exchange:
            return None
        here = start.cpu().clone()
        self.center = centers.connect(self.settings.kind, self.world, here, self.protocol)
        if start.is_cuda:
            self.center = Staged(self.center, start)
        return self.center

    def connect_again(self, vectors: list[Tensor], pushes: int) -> Any:
        """Another center, which begins where worker 0 says. Collective."""
        start = vectors[0]
        self.center.close()
        self._tell_server(AGAIN)
        shared = [self._from_first(each) for each in vectors]
        count = np.array([pushes], np.int64)
        self.world.broadcast(count, self._first)
        state = tuple(each.cpu() for each in shared), int(count[0])
        self.protocol = self.protocol._replace(resumed=state)
        return self.connect(start)

    def _from_first(self, tensor: Tensor) -> Tensor:
        here = tensor.cpu().clone()
        self.world.broadcast(here.numpy(), self._first)
        return here.to(tensor.device)

    def _tell_server(self, what: int) -> int:
        if not self.settings.kind.extra_ranks:
            return what
        word = np.array([what], np.int64)
        self.world.broadcast(word, self._first)
        return int(word[0])

    def serve(self, start: Tensor) -> Tensor:
        """On the server's rank: own x̃ until the workers end; what is evaluated."""
        start = start.cpu().clone()
        while True:
            final = centers.serve(self.settings.kind, self.world, start, self.protocol)
            if self._tell_server(END) == END:
                return self._final(final)
            state = tuple(self._from_first(each) for each in self.protocol.begin(start))
            count = np.zeros(1, np.int64)
            self.world.broadcast(count, self._first)
            self.protocol = self.protocol._replace(resumed=(state, int(count[0])))

    def close(self, evaluated: Tensor) -> Tensor:
        """This worker is done: what is evaluated, the same on all. Collective."""
        if self.center is None:
            return evaluated.clone()
        final = self.center.close().cpu().clone()
        self._tell_server(END)
        return self._final(final).to(evaluated.device)

    def _final(self, center: Tensor) -> Tensor:
        """The first rank's: of a server only it knows the last push, of the others all do."""
        self.world.broadcast(center.numpy(), 0)
        return center

    def fail(self, error: BaseException):
        """Tell the others."""
        self.world.notify_failure(f"rank {self.world.rank} failed: {type(error).__name__}: {error}")


def _settings(world: World, options: dict[str, Any]) -> Settings:
    center = options.get("center", Settings.center)
    workers = world.size - kind_of(center).extra_ranks
    if workers < 1:
        raise SettingsError(
            f"center {center} takes a rank of its own, and there is no other",
            "start more ranks: mpiexec -n 3 python ...",
        )
    return Settings(**options, workers=workers, steps=1, snapshots=1)


class Staged:
    """A center for vectors on a device: x̃ goes there and back through pinned memory."""

    def __init__(self, center: Any, like: Tensor):
        self.center, self.device = center, like.device
        self.pinned = torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    @property
    def root(self) -> Any:
        """Of a tree."""
        return Staged(self.center.root, self.pinned.to(self.device))

    def pull(self) -> Tensor:
        self.pinned.copy_(self.center.pull())
        return self.pinned.to(self.device)

    def push(self, change: Tensor) -> None:
        self.pinned.copy_(change)
        self.center.push(self.pinned)

    def snapshot(self) -> Tensor:
        return self.center.snapshot()

    def state(self):
        return self.center.state()

    def close(self) -> Tensor:
        return self.center.close()
