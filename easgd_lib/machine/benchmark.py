"""What an exchange costs: workers that exchange against workers that never do, side by side."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

from easgd_lib.learning.records import Run
from easgd_lib.method.settings import Settings
from easgd_lib.metrics import communication_fraction

NEVER = 10**9  # a period that no run reaches: one exchange at step 0, and no more
BASE: dict[str, Any] = {
    "method": "easgd", "workers": 2, "data": "sample", "snapshots": 1, "threads": 1
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "window, τ = 1": {"center": "window", "tau": 1},
    "window, τ = 10": {"center": "window", "tau": 10},
    "server, τ = 10": {"center": "server", "tau": 10},
}


class Cost(NamedTuple):
    """Medians over interleaved pairs.

    `speed` is images/s with exchanges over images/s without; `communication` is the
    share of the workers' time that exchanging took.
    """

    case: str
    speed: float
    communication: float
    pairs: list[float]


def pairs(
    train: Callable[[Settings], Run], repeats: int, seconds: float
) -> Iterator[tuple[str, Run, Run]]:
    """Case, the run with exchanges, the run without: each pair back to back, order alternating."""
    never = Settings(**BASE, tau=NEVER, seconds=seconds)
    for repeat in range(repeats):
        for case, difference in CASES.items():
            settings = Settings(**BASE | difference, seconds=seconds)
            order = (settings, never) if repeat % 2 else (never, settings)
            one, other = map(train, order)
            yield (case, one, other) if repeat % 2 else (case, other, one)


def costs(measured: list[tuple[str, Run, Run]]) -> list[Cost]:
    """The median of each case."""
    results = []
    for case in CASES:
        mine = [(run, never) for name, run, never in measured if name == case]
        speeds = [run.images_per_second / never.images_per_second for run, never in mine]
        shares = [communication_fraction(run) for run, _ in mine]
        results.append(Cost(case, median(speeds), median(shares), sorted(speeds)))
    return results
