"""Who reaches an accuracy first: EAMSGD with two workers, or MSGD with all cores. Both are tuned.

Rates are chosen by the training loss of a seed that does not race; test images judge the race.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from easgd_lib.learning.records import Run
from easgd_lib.method.settings import Settings
from easgd_lib.metrics import Sample, below, time_to_accuracy

RATES = (0.005, 0.01, 0.02, 0.04)
TUNED_ON = 1_000  # a seed that does not race
RACERS: dict[str, dict[str, Any]] = {
    "EAMSGD, two workers": {"method": "eamsgd", "workers": 2, "tau": 10, "threads": 1},
    "MSGD, all cores": {"method": "msgd"},
}


class Result(NamedTuple):
    """Of one racer: its rate, and seconds to the target, by seed (infinite: never)."""

    racer: str
    eta: float
    rates: dict[float, float]  # training loss of each that was tried
    seconds: list[float]


def tune(
    train: Callable[[Settings], Run], base: dict[str, Any]
) -> Iterator[tuple[str, float, float]]:
    """Racer, rate, and the training loss that it ends with."""
    for racer, settings in RACERS.items():
        for eta in RATES:
            run = train(Settings(**base | settings, eta=eta, seed=TUNED_ON, snapshots=1))
            yield racer, eta, run.final("train_loss")


def race(
    train: Callable[[Settings], Run],
    base: dict[str, Any],
    tried: list[tuple[str, float, float]],
    seeds: int,
    target: float,
) -> Iterator[tuple[str, float]]:
    """Racer and its seconds to the target, seed by seed; who is first alternates."""
    best = {racer: min((loss, eta) for r, eta, loss in tried if r == racer)[1] for racer in RACERS}
    for seed in range(seeds):
        for racer in list(RACERS)[:: 1 - 2 * (seed % 2)]:
            run = train(Settings(**base | RACERS[racer], eta=best[racer], seed=seed, snapshots=40))
            yield racer, time_to_accuracy(run, target)


def record(
    results: list[Result], verdict: str, target: float, base: dict[str, Any], environment: dict
) -> dict:
    """What is stored; a run that never reached the target has null."""
    rows = [
        result._asdict() | {"seconds": [s if s < float("inf") else None for s in result.seconds]}
        for result in results
    ]
    environment = {key: environment[key] for key in environment if not key.startswith("data")}
    about = {"target": target, "settings": base, "verdict": verdict, "environment": environment}
    return about | {"results": rows}


def results(
    tried: list[tuple[str, float, float]], raced: list[tuple[str, float]]
) -> tuple[list[Result], int]:
    """Each racer's result; 1 if the first was faster, −1 if the second, 0 if undecided."""
    found = []
    for racer in RACERS:
        losses = {eta: loss for name, eta, loss in tried if name == racer}
        seconds = [spent for name, spent in raced if name == racer]
        found.append(Result(racer, min(losses, key=lambda eta: losses[eta]), losses, seconds))
    one, other = (Sample(tuple(result.seconds)) for result in found)
    return found, below(one, other)
