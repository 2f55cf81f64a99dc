"""Every figure and claim as a list of runs: differences from a base, at one of three sizes.

An `Experiment` only says what is run. `report.py` and `paper.py` hold the lists, `conduct.py`
runs what is missing of them, and each run's record is a file of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from easgd_lib import paths
from easgd_lib.learning.records import Run
from easgd_lib.learning.sources import source_of
from easgd_lib.learning.worker import steps_of
from easgd_lib.method.settings import Settings


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes
    ----------
    seeds : tuple of int
    seconds : float
        Of each run on MPI.
    steps : int
        Of each worker of a run under the virtual clock.
    digits, clothes : str
        The data set of the report's experiments, and of the paper's.
    complete : bool
        Whether the larger grids are run too.
    """

    name: str
    seeds: tuple[int, ...]
    seconds: float
    steps: int
    digits: str
    clothes: str
    complete: bool = False

    @property
    def quick(self) -> bool:
        return self.name == "quick"


QUICK = Size("quick", (0,), 4.0, 60, "sample", "sample")
FULL = Size("full", (0, 1, 2), 12.0, 400, "mnist", "fashion-mnist")
COMPLETE = Size("complete", FULL.seeds, FULL.seconds, FULL.steps, "mnist", "fashion-mnist", True)

Differences = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """A named list of runs.

    Attributes
    ----------
    name : str
        Its folder among the records.
    question : str
    clock : {"mpi", "virtual"}
    base : callable
        Size to the settings that all its runs share.
    grid : callable
        Size to name and differences. The key "cores" is no setting: a sequential method's
        batch is then shared by so many cores (`TimeModel.shared_by`).
    seeds : callable
        Size to the seeds.
    """

    name: str
    question: str
    clock: str
    base: Callable[[Size], dict[str, Any]]
    grid: Callable[[Size], Differences]
    seeds: Callable[[Size], tuple[int, ...]] = lambda size: size.seeds

    def planned(self, size: Size) -> list["Planned"]:
        """All runs, seeds outermost: whatever is missing in the end is a repetition."""
        base, grid = self.base(size), self.grid(size)
        return [
            self._one(name, base | more, seed)
            for seed in self.seeds(size)
            for name, more in grid.items()
        ]

    def _one(self, name: str, values: dict[str, Any], seed: int) -> "Planned":
        cores = values.pop("cores", 1)
        return Planned(self, f"{name}-seed{seed}", Settings(**values, seed=seed), cores)

    def folder(self, size: Size) -> Path:
        """Where its records lie."""
        return paths.runs(quick=size.quick) / self.name

    def repeats(self, name: str, size: Size) -> list[Run]:
        """The stored runs of one name, one per seed."""
        paths = [self.folder(size) / f"{name}-seed{seed}.json" for seed in self.seeds(size)]
        return [Run.load(path) for path in paths if path.exists()]

    def stored(self, size: Size) -> dict[str, list[Run]]:
        """What is there: name to its runs, in the order of the grid."""
        found = {name: self.repeats(name, size) for name in self.grid(size)}
        return {name: runs for name, runs in found.items() if runs}


class Planned(NamedTuple):
    """One run of an experiment."""

    experiment: Experiment
    name: str
    settings: Settings
    cores: int = 1

    def path(self, size: Size) -> Path:
        return self.experiment.folder(size) / f"{self.name}.json"

    def images(self) -> int:
        """Gradients on so many images, of all workers together."""
        n = source_of(self.settings.data).train_images
        return self.settings.workers * self.settings.batch_size * (steps_of(self.settings, n) or 0)


class Missing(Exception):
    """There is no record of a run that a figure or a claim needs."""


class Records:
    """The stored runs of one size, read once."""

    def __init__(self, size: Size):
        self.size = size
        self.asked: set[str] = set()  # the experiments that were
        self._read: dict[str, dict[str, list[Run]]] = {}

    def __call__(self, experiment: Experiment, name: str) -> list[Run]:
        """The runs of one name, one per seed.

        Raises
        ------
        Missing
            There is none.
        """
        self.asked.add(experiment.name)
        if not self.has(experiment, name):
            raise Missing(f"{experiment.name}/{name}")
        return self._read[experiment.name][name]

    def has(self, experiment: Experiment, name: str) -> bool:
        if experiment.name not in self._read:
            self._read[experiment.name] = experiment.stored(self.size)
        return name in self._read[experiment.name]
