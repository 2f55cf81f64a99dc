"""Every figure and claim as a list of runs: differences from a base, at one of three sizes.

An `Experiment` only says what is run. `kth.py`, `paper.py` and `cifar.py` hold the lists,
`conduct.py` runs what is missing of them, and each run's record is a file of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from easgd_lib import paths
from easgd_lib.learning.records import Run
from easgd_lib.learning.sources import source_of, steps_of
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


class Case(NamedTuple):
    """What a run is, among those of its experiment. As text: the name of its record.

    >>> str(Case("easgd", tau=16, p=8))
    'easgd-tau16-p8'
    """

    method: str
    tau: int | None = None
    p: int | None = None  # workers, where their number varies
    batch: int = 1  # times the others' batch
    variant: str | None = None
    beta_per: str | None = None
    alpha: float | None = None
    decay: bool = False
    eta: float | None = None

    def __str__(self) -> str:
        words = (
            self.method,
            self.variant,
            self.tau and f"tau{self.tau}",
            self.beta_per and f"per-{self.beta_per}",
            self.alpha and f"alpha{self.alpha:g}",
            self.batch > 1 and f"batch{self.batch}x",
            self.decay and "decay",
            self.p and f"p{self.p}",
            self.eta and f"eta{self.eta:g}",
        )
        return "-".join(word for word in words if word)


Key = Case | str  # a bar of the ablation is known by its name alone
Differences = dict[Any, dict[str, Any]]  # by Key, and mypy knows no dict that is wider
Rates = Mapping[Case, float]  # the best learning rate of what was tuned
NOT_TUNED: Rates = {}


@dataclass(frozen=True)
class Experiment:
    """A named list of runs.

    Attributes
    ----------
    name : str
        Its folder among the records.
    question : str
        What it is run for.
    clock : {"mpi", "virtual"}
    base : callable
        Size to the settings that all its runs share.
    cases : callable
        Size and rates to cases and their differences. The key "cores" is no setting: a
        sequential method's batch is then shared by so many cores (`TimeModel.shared_by`).
    seeds : callable
        Size to the seeds.
    """

    name: str
    question: str
    clock: str
    base: Callable[[Size], dict[str, Any]]
    cases: Callable[[Size, Rates], Differences]
    seeds: Callable[[Size], tuple[int, ...]] = lambda size: size.seeds

    def grid(self, size: Size, rates: Rates = NOT_TUNED) -> Differences:
        """All its cases, and what each changes of the base."""
        return self.cases(size, rates)

    def planned(self, size: Size, rates: Rates = NOT_TUNED) -> list["Planned"]:
        """All runs, seeds outermost: whatever is missing in the end is a repetition."""
        base, grid = self.base(size), self.grid(size, rates)
        return [
            self._one(case, base | more, seed)
            for seed in self.seeds(size)
            for case, more in grid.items()
        ]

    def _one(self, case: Key, values: dict[str, Any], seed: int) -> "Planned":
        cores = values.pop("cores", 1)
        return Planned(self, case, Settings(**values, seed=seed), cores)

    def folder(self, size: Size) -> Path:
        """Where its records lie."""
        return paths.runs(quick=size.quick) / self.name

    def repeats(self, case: Key, size: Size) -> list[Run]:
        """The stored runs of one case, one per seed."""
        paths = [self.folder(size) / f"{case}-seed{seed}.json" for seed in self.seeds(size)]
        return [Run.load(path) for path in paths if path.exists()]

    def stored(self, size: Size) -> dict[Key, list[Run]]:
        """What is there: case to its runs, in the order of the grid."""
        found = {case: self.repeats(case, size) for case in self.grid(size)}
        return {case: runs for case, runs in found.items() if runs}


class Planned(NamedTuple):
    """One run of an experiment."""

    experiment: Experiment
    case: Key
    settings: Settings
    cores: int = 1

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{self.case}-seed{self.settings.seed}"

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
        self._read: dict[str, dict[Key, list[Run]]] = {}

    def __call__(self, experiment: Experiment, case: Key) -> list[Run]:
        """The runs of one case, one per seed.

        Raises
        ------
        Missing
            There is none.
        """
        self.asked.add(experiment.name)
        if not self.has(experiment, case):
            raise Missing(f"{experiment.name}/{case}")
        return self._read[experiment.name][case]

    def has(self, experiment: Experiment, case: Key) -> bool:
        """Whether there is a run of this case."""
        if experiment.name not in self._read:
            self._read[experiment.name] = experiment.stored(self.size)
        return case in self._read[experiment.name]
