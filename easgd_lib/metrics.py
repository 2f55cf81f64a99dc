"""What is read off a record: errors, time to accuracy, fractions of time. And when two differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import mean, stdev
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from easgd_lib.learning.records import CENTER, Run
from easgd_lib.learning.sources import TRAIN_SUBSET, source_of

if TYPE_CHECKING:
    import pandas as pd

KNOWS_NOTHING = 0.9  # test error of a guess at one of ten: what a run that diverged ends with


def test_error(run: Run) -> float:
    """Final test error of what is evaluated."""
    return KNOWS_NOTHING if run.diverged else 1 - run.final_test_accuracy


def train_error(run: Run, worker: int = CENTER) -> float:
    """Final training error, on the fixed subset."""
    return KNOWS_NOTHING if run.diverged else 1 - run.final("train_accuracy", worker)


def least_error(run: Run) -> float:
    """The lowest test error that any snapshot shows."""
    return KNOWS_NOTHING if run.diverged else 1 - float(curve(run)[:, 1].max())


def curve(run: Run, metric: str = "test_accuracy", worker: int = CENTER) -> np.ndarray:
    """(n, 2): seconds and value, in order."""
    rows = run.table[(run.table.metric == metric) & (run.table.worker == worker)]
    return rows[["seconds", "value"]].to_numpy(dtype=float)


def time_to_accuracy(run: Run, target: float, metric: str = "test_accuracy") -> float:
    """Seconds until the center's curve reaches a target, between two snapshots in a straight line.

    The first snapshot is of the start, and from there no line is straight: a target that the
    second one has reached counts from then. Never: infinity.
    """
    seconds, values = curve(run, metric).T if not run.diverged else np.empty((2, 0))
    above = np.flatnonzero(values >= target)
    if not len(above):
        return float("inf")
    k = above[0]
    if k <= 1:
        return float(seconds[k])
    part = (target - values[k - 1]) / (values[k] - values[k - 1])
    return float(seconds[k - 1] + part * (seconds[k] - seconds[k - 1]))


def error_at(run: Run, seconds: float) -> float:
    """The center's test error at a moment of its run."""
    return KNOWS_NOTHING if run.diverged else 1 - float(np.interp(seconds, *curve(run).T))


def roughness(run: Run) -> float:
    """How far the center's test accuracy ever fell from one snapshot to the next."""
    if run.diverged:
        return KNOWS_NOTHING
    return float(max(0.0, -np.diff(curve(run)[:, 1]).min()))


def communication_fraction(run: Run) -> float:
    """Of the workers' time, the part that exchanging took, waiting included; diverged: unknown."""
    spent = run.time_split
    return float("nan") if run.diverged else spent["communication"] / sum(spent.values())


def exchange_seconds(run: Run) -> float:
    """Seconds that one exchange took a worker, waiting included; diverged: unknown."""
    return float("nan") if run.diverged else run.time_split["communication"] / run.exchanges


def images_per_second(run: Run) -> float:
    """Of all workers together."""
    return run.images_per_second


class Sample(NamedTuple):
    """One number of several runs, seed by seed.

    `resolution` is what cannot be distinguished even without any spread: of an error on n images,
    its binomial standard deviation √(e(1 − e)/n).

    >>> lucky = Sample((0.1, 0.3))
    >>> round(lucky.mean, 3), round(lucky.spread, 3)
    (0.2, 0.141)
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
    """Measure each run."""
    return Sample(tuple(measure(run) for run in runs))


def errors(
    runs: Iterable[Run], measure: Callable[[Run], float] = test_error, images: int | None = None
) -> Sample:
    """Measure errors, which so many images (all test images) can resolve so finely."""
    runs = list(runs)
    values = tuple(measure(run) for run in runs)
    n = images or source_of(runs[0].settings.data).test_images
    return Sample(values, float(np.sqrt(mean(values) * (1 - mean(values)) / n)))


def train_errors(runs: Iterable[Run], worker: int = CENTER) -> Sample:
    """Final training errors, on the fixed subset."""
    return errors(runs, lambda run: train_error(run, worker), TRAIN_SUBSET)


def below(one: Sample, other: Sample) -> int:
    """1: the first is smaller. −1: it is larger. 0: a tie, a gap that randomness explains.

    That is a gap inside the 95 % interval of a difference of two means (Student's t, the
    seeds' own spread), or no wider than what the images resolve. What is unknown is a tie.

    >>> one, other = Sample((0.10, 0.12)), Sample((0.11, 0.13))
    >>> below(one, other), below(Sample((0.10,)), Sample((0.11,)))  # a spread, or none to see
    (0, 1)
    """
    gap = other.mean - one.mean
    if np.isnan(gap):  # both infinite, or one unknown
        return 0
    noise = max(_interval(one, other), one.resolution, other.resolution)
    return 0 if abs(gap) <= noise else int(np.sign(gap))


def _interval(one: Sample, other: Sample) -> float:
    from scipy.stats import t  # slow to load, and only for runs that are compared

    n, m = len(one.values), len(other.values)
    if n + m < 3:
        return 0.0
    error = np.sqrt(one.spread**2 / n + other.spread**2 / m)
    return float(t.ppf(0.975, n + m - 2) * error)


def each_below(ordered: Sequence[Sample]) -> list[int]:
    """`below` for every neighboring pair.

    >>> each_below([Sample((0.1,)), Sample((0.2,)), Sample((0.2,))])
    [1, 0]
    """
    return [below(one, other) for one, other in pairwise(ordered)]


def over_seeds(table: pd.DataFrame, against: str = "seconds") -> pd.DataFrame:
    """Mean, min and max of a curve's k-th points, one of each seed, at their mean x.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"seed": [0, 1], "seconds": [1.0, 3.0], "value": [0.5, 0.75]})
    >>> over_seeds(table).to_dict("records")
    [{'mean': 0.625, 'min': 0.5, 'max': 0.75, 'x': 2.0}]
    """
    k = table.groupby("seed").cumcount()
    values = table.groupby(k).value.agg(["mean", "min", "max"])
    return values.assign(x=table.groupby(k)[against].mean())
