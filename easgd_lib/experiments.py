"""Every figure as a list of runs: differences from a base. `quick` takes minutes, `full` longer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from easgd_lib import paths
from easgd_lib.records import Run
from easgd_lib.settings import Settings

PERIODS = (1, 4, 16, 64)  # τ, as in the report's Figure 3

# The report's program: batches of 100, η = .01; β = .9 is the paper's, spread over p and τ.
FIGURE_3_BASE: dict[str, Any] = {"eta": 0.01, "batch_size": 100, "snapshots": 16}
FIGURE_3: dict[str, dict[str, Any]] = {
    "sgd-all-cores": {"method": "sgd", "threads": 2},  # the cores that the two workers share
    "sgd-one-thread": {"method": "sgd", "threads": 1},
} | {
    f"easgd-tau{tau}": {
        "method": "easgd", "workers": 2, "tau": tau, "beta": 0.9, "beta_per": "step", "threads": 1
    }
    for tau in PERIODS
}  # fmt: skip
QUICK: dict[str, Any] = {"seconds": 15.0, "seeds": (0,)}
FULL: dict[str, Any] = {"seconds": 40.0, "seeds": (0, 1, 2), "data": "mnist"}


def figure_3(*, quick: bool, data: str | None = None) -> dict[str, Settings]:
    """The runs of the report's Figure 3, by record name, seeds outermost."""
    scale = dict(QUICK | {"data": data} if quick else FULL)
    seeds = scale.pop("seeds")
    return {
        f"{name}-seed{seed}": Settings(**FIGURE_3_BASE, **difference, **scale, seed=seed)
        for seed in seeds
        for name, difference in FIGURE_3.items()
    }


def folder(*, quick: bool) -> Path:
    """Where the records of Figure 3 lie."""
    return paths.runs(quick=quick) / "figure3"


def carry_out(
    runs: dict[str, Settings], where: Path, train: Callable[[Settings], Run], *, resume: bool
) -> Iterator[tuple[str, Run]]:
    """Run each, store it as it ends, yield it. With `resume`, finished runs are not repeated."""
    for name, settings in runs.items():
        path = where / f"{name}.json"
        if resume and path.exists() and (stored := Run.load(path)).settings == settings:
            yield name, stored
            continue
        run = train(settings)
        run.save(path)
        yield name, run


def stored(*, quick: bool) -> dict[str, list[Run]]:
    """The stored records of Figure 3: curve name to its runs, one per seed."""
    found = {
        name: [Run.load(path) for path in sorted(folder(quick=quick).glob(f"{name}-seed*.json"))]
        for name in FIGURE_3
    }
    return {name: runs for name, runs in found.items() if runs}
