"""One rank's part of the checkpoints of a run on MPI: where it goes on, and what it writes."""

import time
from collections.abc import Sequence
from typing import Any

from easgd_lib.errors import SettingsError
from easgd_lib.learning.checkpoint import CENTER, Checkpoint, numbers
from easgd_lib.learning.saver import Saver, check_start, identity, newest_whole, pack, read
from easgd_lib.learning.worker import Worker
from easgd_lib.method.algorithms import protocol_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel.world import World


class Resumable:
    """This rank's part of the checkpoints: where it goes on from, and what it writes.

    Each worker writes a file of its own, and the center's, whose number is the pushes so far.
    Where exchanges wait for one another all write at the same step, before an exchange, when x̃
    rests; and the center's is written by the first of the living.

    Attributes
    ----------
    protocol : ExchangeProtocol
        The method's, with the center as it was.
    """

    def __init__(self, world: World, settings: Settings, objective, checkpoint: Checkpoint | None):
        self.world, self.settings = world, settings
        self.saver: Any = Saver(checkpoint) if checkpoint else None
        self.protocol = protocol_of(settings)
        self.began = time.monotonic()
        self.notes: dict = {}
        self.lost: list[dict] = []  # in the run that this one resumes
        self._resumed: Any = None
        if checkpoint is None:
            return
        if settings.kind.nodes:
            raise SettingsError(
                f"center {settings.center} has no checkpoints", "use server, or train without one"
            )
        checkpoint.prepare(settings)
        world.barrier("the other ranks to look at the checkpoint")
        if world.rank == 0:
            checkpoint.clear_rest()
        self.identity = identity(settings, objective.start)
        workers = range(settings.workers)
        self._resumed = newest_whole(checkpoint.folder, workers, in_step=self._in_step)
        if self._resumed is not None:
            check_start(checkpoint.folder, self._resumed["start"], objective.start)
            self.notes["resumed"] = [*self._resumed["resumed"], self._resumed["step"]]
            self.lost = self._resumed["lost"]
            if center := self._resumed["center"]:
                self.protocol = self.protocol._replace(resumed=(tuple(center[0]), center[1]))

    @property
    def _in_step(self) -> bool:
        return self.settings.order not in (None, "asynchronous")

    @property
    def due(self) -> bool:
        return self.saver is not None and self.saver.due

    def restore(self, worker: Worker):
        """Put the worker where it was; one that was lost starts at x̃."""
        if self.saver:
            pack(worker.state())  # what cannot be written is refused before the training
        if self._resumed is None:
            return
        folder, name = self.saver.folder, f"worker-{worker.index}"
        step = self._resumed["step"]
        there = numbers(folder, name)
        lost = worker.index in {loss["worker"] for loss in self.lost}
        if there:
            newest = step if self._in_step and step in there else max(there)
            worker.restore(read(folder, name, newest)["worker"])
        if lost or not there:
            worker.rejoin(self._resumed["center"][0][0], step)

    def save(self, worker: Worker):
        """Write where this worker stands, and the center."""
        step = worker.method.t
        files = {f"worker-{worker.index}": (step, self.identity | {"worker": worker.state()})}
        workers = [m for m in self.world.living if m >= self.settings.kind.extra_ranks]
        if self.world.me == workers[0] or not self._in_step:
            center = worker.center.state() if worker.center else None
            about = {
                "step": step,
                "center": center,
                "lost": self.lost + losses(self.world, self.settings, self.began),
                "resumed": self.notes.get("resumed", []),
            }
            files[CENTER] = center[1] if center else step, self.identity | about
        self.saver.save(files)

    def end(self, worker: Worker):
        """The worker is done: what it was when it ended is the last checkpoint."""
        if self.saver is None:
            return
        self.save(worker)
        self.saver.close()
        if self.saver.failure:
            self.notes["checkpoint"] = self.saver.failure


def losses(
    world: World, settings: Settings, began: float, accounts: Sequence[dict] = ()
) -> list[dict]:
    """Who died, when, and at which step; so too the worker that took over a server's part."""
    lost = [
        {
            "worker": member - settings.kind.extra_ranks,
            "step": loss.step,
            "seconds": round(loss.when - began, 1),
            "why": "died",
        }
        for member, loss in world.lost.items()
    ]
    lost += [
        {
            "worker": account["worker"],
            "step": account["samples"] // settings.batch_size,
            "seconds": round(account["seconds"], 1),
            "why": "took over from the server",
        }
        for account in accounts
        if account["took_over"]
    ]
    return sorted(lost, key=lambda loss: loss["seconds"])
