"""What is read off a record: errors, times to a level, shares of time. And when two differ."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np

from easgd_lib.records import CENTER, Run

TEST_IMAGES = {"sample": 1_000, "mnist": 10_000, "fashion-mnist": 10_000, "cifar10": 10_000}


def test_error(run: Run) -> float:
    """Final test error of what is evaluated; one that diverged knows nothing: 9 of 10 wrong."""
    return 0.9 if run.diverged else 1 - run.final_test_accuracy


def train_error(run: Run, rank: int = CENTER) -> float:
    """Final training error, on the fixed subset."""
    return 1 - run.final("train_accuracy", rank)


def curve(run: Run, metric: str = "test_accuracy", rank: int = CENTER) -> np.ndarray:
    """(n, 2): seconds and value, in order."""
    rows = run.table[(run.table.metric == metric) & (run.table["rank"] == rank)]
    return rows[["seconds", "value"]].to_numpy(dtype=float)


def seconds_to(run: Run, accuracy: float, metric: str = "test_accuracy") -> float:
    """When the center's curve first reaches a level, between two photographs in a straight line.

    Never: infinity.
    """
    seconds, values = curve(run, metric).T if not run.diverged else np.empty((2, 0))
    above = np.flatnonzero(values >= accuracy)
    if not len(above):
        return float("inf")
    k = above[0]
    if k == 0:
        return float(seconds[0])
    part = (accuracy - values[k - 1]) / (values[k] - values[k - 1])
    return float(seconds[k - 1] + part * (seconds[k] - seconds[k - 1]))


def error_at(run: Run, seconds: float) -> float:
    """The center's test error at a moment of its run."""
    return 1 - float(np.interp(seconds, *curve(run).T))


def roughness(run: Run) -> float:
    """How far the center's test accuracy ever fell from one photograph to the next."""
    if run.diverged:
        return 0.9
    return float(max(0.0, -np.diff(curve(run)[:, 1]).min()))


def exchanging(run: Run) -> float:
    """The share of the workers' time that exchanging took, waiting included."""
    return run.time_split["communication"] / sum(run.time_split.values())


def exchange_seconds(run: Run) -> float:
    """Seconds that one exchange took a worker, waiting included."""
    return run.time_split["communication"] / run.exchanges


def images_per_second(run: Run) -> float:
    """Of all workers together."""
    return run.images_per_second


class Sample(NamedTuple):
    """One number of several runs, seed by seed.

    `resolution` is what cannot be told apart even without any spread: of an error on n test
    images, its binomial standard deviation.
    """

    values: tuple[float, ...]
    resolution: float = 0.0

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 where there is one."""
        finite = len(self.values) > 1 and all(map(np.isfinite, self.values))
        return stdev(self.values) if finite else 0.0


def sample(runs: Iterable[Run], measure: Callable[[Run], float] = test_error) -> Sample:
    """Measure each run. Errors know how finely a test set can resolve them."""
    runs = list(runs)
    values = tuple(measure(run) for run in runs)
    if measure is not test_error:
        return Sample(values)
    error, n = mean(values), TEST_IMAGES[runs[0].settings.data]
    return Sample(values, float(np.sqrt(error * (1 - error) / n)))


def below(one: Sample, other: Sample) -> int:
    """1: the first is smaller. −1: it is larger. 0: a tie, a gap no wider than the spread.

    The spread is the larger of both samples' own, and of what a test set resolves.
    """
    if one.mean == other.mean:  # both infinite, too
        return 0
    gap = other.mean - one.mean
    noise = max(one.spread, other.spread, one.resolution, other.resolution)
    return 0 if abs(gap) <= noise else int(np.sign(gap))


def each_below(ordered: Sequence[Sample]) -> list[int]:
    """`below` for every neighbouring pair."""
    return [below(one, other) for one, other in pairwise(ordered)]
