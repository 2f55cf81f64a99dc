"""A checkpoint of a simulated run, taken between any two events of the virtual clock.

A worker is mostly in the middle of a step, and a generator cannot be written down. So its step
is: the method as it was when the step began, and the answers that it was given since. To go on,
a new generator begins the step again and is given the same answers.
"""

from typing import Any

from easgd_lib.learning.checkpoint import SIMULATION, Checkpoint, numbers
from easgd_lib.learning.saver import Saver, check_start, identity, pack, read
from easgd_lib.learning.worker import Worker, state_of_method
from easgd_lib.method.algorithms import Gradient
from easgd_lib.method.settings import Settings
from easgd_lib.simulation.centers import VirtualCenters
from easgd_lib.simulation.clock import Process, Requests

OF_PROCESS = ("answer", "asked", "computed", "asked_at")  # what is kept of a `Process`


class Tape:
    """What one worker's step began with, and what it was answered since."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.method: dict = {}
        self.watch: dict = {}
        self.answers: list[Any] = []

    def begin(self):
        """A step begins."""
        self.method, self.watch = state_of_method(self.worker.method), self.worker.watch.state()
        self.answers = []

    def recorded(self, requests: Requests) -> Requests:
        """The same requests, each answer kept."""
        try:
            request = next(requests)
            while True:
                answer = yield request
                # The next gradient will overwrite this one's memory.
                kept = answer.clone() if isinstance(request, Gradient) else answer
                self.answers.append(kept)
                request = requests.send(answer)
        except StopIteration:
            return

    def state(self) -> dict:
        """The step so far."""
        return {"method": self.method, "watch": self.watch, "answers": self.answers}


class Stored:
    """All of a simulated run, to and from a checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, settings: Settings, centers: VirtualCenters,
        processes: list[Process], tapes: list[Tape],
    ):  # fmt: skip
        self.checkpoint, self.centers = checkpoint, centers
        self.processes, self.tapes = processes, tapes
        self.start = tapes[0].worker.objective.start
        self.identity = identity(settings, self.start)
        checkpoint.prepare(settings)
        checkpoint.clear_rest()
        for tape in tapes:
            pack(tape.worker.state())  # what cannot be written is refused before the training
        self.saver = Saver(checkpoint)

    def save_if_due(self):
        """Between two events."""
        if self.saver.due:
            self.save()

    def save(self):
        """Write everything down."""
        number = self.centers.clock.state()["count"]
        self.saver.save({SIMULATION: (number, self.identity | self.state())})

    def state(self) -> dict:
        """Everything that the rest of the run depends on."""
        return {
            "clock": self.centers.clock.state(),
            "waiting": self.centers.state(),
            "center": self.centers.evaluated.state(),
            "processes": [
                {name: getattr(process, name) for name in OF_PROCESS} for process in self.processes
            ],
            "begun": [process.request is not None for process in self.processes],
            "steps": [tape.state() for tape in self.tapes],
            "workers": [tape.worker.state() for tape in self.tapes],
        }

    def restore(self) -> bool:
        """Go on from the newest checkpoint, if there is one."""
        there = numbers(self.checkpoint.folder, SIMULATION)
        if not there:
            return False
        state = read(self.checkpoint.folder, SIMULATION, max(there))
        check_start(self.checkpoint.folder, state["start"], self.start)
        self.centers.clock.restore(state["clock"])
        self.centers.restore(state["waiting"], self.processes)
        vectors, pushes = state["center"]
        center = self.centers.evaluated
        center.vectors, center.pushes = tuple(vectors), pushes
        parts = zip(
            self.processes, self.tapes, state["processes"], state["begun"], state["steps"],
            state["workers"], strict=True,
        )  # fmt: skip
        for process, tape, kept, begun, step, worker in parts:
            tape.worker.restore(worker)
            vars(process).update(kept)
            for _ in range(process.computed):
                next(process.compute)
            if begun:
                vars(tape.worker.method).update(step["method"])
                tape.worker.watch.restore(step["watch"])  # what was not over then is not over now
                process.request = next(process.requests)
                for answer in step["answers"]:
                    process.request = process.requests.send(answer)
                tape.worker.watch.restore(worker["watch"])
        return True
