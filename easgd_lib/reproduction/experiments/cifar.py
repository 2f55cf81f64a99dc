"""The paper's own experiment, CIFAR-10 and its seven-layer network: days, where cores are few."""

from typing import Any

from easgd_lib.reproduction.experiments import Case, Differences, Experiment, Rates, Size
from easgd_lib.reproduction.experiments.kth import PERIODS

# Paper Tables 1 and 2: the learning rates explored.
RATES: dict[str, tuple[float, float, float]] = {
    "easgd": (0.05, 0.01, 0.005),
    "eamsgd": (0.01, 0.005, 0.001),
    "downpour": (0.005, 0.001, 0.0005),
    "mdownpour": (5e-5, 1e-5, 5e-6),
    "sgd": (0.05, 0.01, 0.005),
    "msgd": (0.001, 0.0005, 0.0001),
}


def _base(size: Size) -> dict[str, Any]:
    """Paper section 5: batches of 128, β = .9."""
    return {"batch_size": 128, "data": "cifar10", "epochs": 40, "snapshots": 40, "threads": 1,
            "worker_curve": False}  # fmt: skip


def _grid(size: Size, rates: Rates) -> Differences:
    """Paper Fig. 2: four workers and one, δ = .99, every rate."""
    four: dict[str, Any] = {"workers": 4, "center": "server"}
    cases: Differences = {Case("sgd"): {}, Case("msgd"): {"delta": 0.99}}
    cases[Case("mdownpour", 1)] = four | {"delta": 0.99}
    for tau in PERIODS:
        cases[Case("easgd", tau)] = four | {"tau": tau}
        cases[Case("eamsgd", tau)] = four | {"tau": tau, "delta": 0.99}
        cases[Case("downpour", tau)] = four | {"tau": tau}
    return {
        case._replace(eta=eta): more | {"method": case.method, "eta": eta}
        for case, more in cases.items()
        for eta in RATES[case.method]
    }


CIFAR = Experiment(
    "cifar10",
    "Paper Fig. 2 itself: CIFAR-10, the seven-layer network, the paper's rates and momentum.",
    "mpi",
    _base,
    _grid,
)
