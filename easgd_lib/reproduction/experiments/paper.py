"""The paper's experiments in kind: our network, our images, p workers under the virtual clock.

Rates are tuned as the paper does it, by the smallest test error: three for each method and
period, one seed; the best one is then run with all seeds. What is compared is the center.
"""

from statistics import mean
from typing import Any

from easgd_lib.learning.records import Run
from easgd_lib.reproduction.experiments import Differences, Experiment, Records, Size
from easgd_lib.reproduction.experiments.kth import PERIODS

PERIOD = 16  # τ of the elastic methods where p is varied (the paper's is 10)
WORKERS = (4, 8, 16)
RATES: dict[str, tuple[float, float, float]] = {
    "easgd": (0.05, 0.1, 0.2),
    "eamsgd": (0.01, 0.02, 0.05),
    "downpour": (0.005, 0.02, 0.05),
    "mdownpour": (0.002, 0.005, 0.01),
    "sgd": (0.05, 0.1, 0.2),
    "msgd": (0.005, 0.02, 0.05),
}  # η tried, the same number for each
FAMILY = {
    "adownpour": "downpour",
    "mvadownpour": "downpour",
    "asgd": "sgd",
    "mvasgd": "sgd",
}  # averages change what is evaluated, not the run: their rates are those of the run


def _base(size: Size) -> dict[str, Any]:
    return {
        "workers": 4,
        "batch_size": 32,
        "threads": 1,
        "snapshots": 4 if size.quick else 8,
        "worker_curve": False,
        "center": "server",
        "data": size.clothes,
        "steps": size.steps,
    }


def _alone(method: str, times_batch: int = 1) -> dict[str, Any]:
    """A sequential method; with p times the batch, its images are shared by p cores, ideally."""
    size = {"batch_size": 32 * times_batch, "cores": times_batch}
    return {"method": method, "workers": 1, "center": "local"} | size


# What is tuned, by the name of its records without "-eta…".
TUNED: Differences = (
    {
        f"{method}-tau{tau}": {"method": method, "tau": tau}
        for method in ("easgd", "eamsgd", "downpour")
        for tau in PERIODS
    }
    | {"mdownpour-tau1": {"method": "mdownpour"}}
    | {"sgd": _alone("sgd"), "msgd": _alone("msgd")}
    | {"sgd-batch4x": _alone("sgd", 4), "msgd-batch4x": _alone("msgd", 4)}
)


def family(method: str) -> str:
    """The method whose rates this one has: its own, or that of the run it averages."""
    return FAMILY.get(method, method)


TUNING = Experiment(
    "rates",
    "Which learning rate suits each method and period: three of each, one seed.",
    "virtual",
    _base,
    lambda size: {
        f"{name}-eta{eta:g}": more | {"eta": eta}
        for name, more in TUNED.items()
        for eta in RATES[more["method"]]
    },
    lambda size: size.seeds[:1],
)


def best_rate(name: str, size: Size) -> float:
    """The rate of a tuned record name with the smallest final test error of what is evaluated.

    Runs that diverged are out. Before anything was tuned: the middle one.
    """
    rates = RATES[TUNED[name]["method"]]
    tried = {eta: TUNING.repeats(f"{name}-eta{eta:g}", size) for eta in rates}
    accuracies = {
        eta: mean(run.final_test_accuracy for run in runs)
        for eta, runs in tried.items()
        if runs and not any(run.diverged for run in runs)
    }
    return max(accuracies, key=accuracies.__getitem__) if accuracies else rates[1]


def _at_best(name: str, size: Size, **more: Any) -> dict[str, Any]:
    return TUNED[name] | {"eta": best_rate(name, size)} | more


def _periods(size: Size) -> Differences:
    tuned = {name: _at_best(name, size) for name in TUNED}
    averaged = PERIODS if size.complete else (1, 16)
    return tuned | {
        f"{method}-tau{tau}": _at_best(f"downpour-tau{tau}", size, method=method)
        for method in ("adownpour", "mvadownpour")
        for tau in averaged
    }


BY_PERIOD = Experiment(
    "periods",
    "Paper Fig. 2: every method at τ = 1, 4, 16, 64, four workers, each at its best rate.",
    "virtual",
    _base,
    _periods,
)


def _workers(size: Size) -> Differences:
    names = f"easgd-tau{PERIOD}", f"eamsgd-tau{PERIOD}", "downpour-tau1", "mdownpour-tau1"
    return {
        f"{name}-p{p}": _at_best(name, size, workers=p) for p in WORKERS[1:] for name in names
    } | {"msgd-batch16x": _at_best("msgd-batch4x", size) | _alone("msgd", 16)}


BY_WORKERS = Experiment(
    "workers",
    "Paper Figs. 3 and 10: four, eight and sixteen workers, at the rates of four.",
    "virtual",
    _base,
    _workers,
)


def of_workers(records: Records, name: str, p: int) -> list[Run]:
    """The runs of a method with p workers: those of four are among the periods'."""
    return records(*((BY_PERIOD, name) if p == 4 else (BY_WORKERS, f"{name}-p{p}")))


SEQUENTIAL = Experiment(
    "sequential",
    "Paper Fig. 6: SGD, its averages and momentum, one worker, four times as long.",
    "virtual",
    lambda size: _base(size) | {"steps": 4 * size.steps},
    lambda size: {
        method: _alone(method) | {"eta": best_rate(family(method), size)}
        for method in ("sgd", "asgd", "mvasgd", "msgd")
    },
)


def _effect_of_rate(size: Size) -> Differences:
    names = f"easgd-tau{PERIOD}", f"eamsgd-tau{PERIOD}"
    return {
        f"{name}-eta{eta:g}": TUNED[name] | {"eta": eta}
        for name in names
        for eta in RATES[TUNED[name]["method"]]
    }


BY_RATE = Experiment(
    "effect-of-rate",
    "Paper Fig. 8: three learning rates of EASGD and EAMSGD, all seeds.",
    "virtual",
    _base,
    _effect_of_rate,
)


def _long(size: Size) -> Differences:
    easgd = {f"easgd-tau{tau}": {"method": "easgd", "tau": tau} for tau in (1, 10, 100, 1000)}
    trapped = {"method": "eamsgd", "tau": 100, "delta": 0.99, "eta": LONG_RATES["eamsgd"]}
    grid = {name: more | {"eta": LONG_RATES["easgd"]} for name, more in easgd.items()} | {
        "eamsgd-tau10": trapped | {"tau": 10},
        "eamsgd-tau100": trapped,
        "eamsgd-tau100-decay": trapped | {"gamma": DECAY},
    }
    if size.complete:
        grid |= {f"{name}-p16": more | {"workers": 16} for name, more in grid.items()}
    return grid


LONG_RATES = {"easgd": 0.05, "eamsgd": 0.01}
DECAY = 0.01
LONG_PERIODS = Experiment(
    "long-periods",
    "Paper Fig. 9: τ up to 1000, EAMSGD trapped at τ = 100, and freed by decay.",
    "virtual",
    lambda size: _base(size) | {"batch_size": 16, "steps": 3 * size.steps},
    _long,
)


def _alphas(size: Size) -> Differences:
    ours = {"method": "easgd", "workers": 2, "tau": 4, "eta": 0.01, "batch_size": 100}
    readings = {
        f"per-{reading}-tau{tau}": ours | {"tau": tau, "beta_per": reading}
        for reading in ("exchange", "step")
        for tau in (16, 64)
    }
    return {f"alpha{alpha:g}": ours | {"alpha": alpha} for alpha in ALPHAS} | readings


ALPHAS = (0.0281, 0.1125, 0.45, 0.9)  # the second is the report's β/(pτ), the third β/p
BY_ALPHA = Experiment(
    "alpha",
    "The report's α at fixed p and τ, and both readings of β at large τ.",
    "virtual",
    lambda size: _base(size) | {"data": size.digits, "steps": size.steps // 2},
    _alphas,
)

NINETY_NINE = Experiment(
    "ninety-nine",
    "How long until one worker reads 99 of 100 digits it has never seen?",
    "virtual",
    lambda size: _base(size) | {"data": size.digits, "steps": 10 * size.steps, "snapshots": 16},
    # The sample's thousand test digits cannot tell.
    lambda size: (
        {}
        if size.quick
        else {
            method: _alone(method) | {"eta": eta} for method, eta in (("sgd", 0.05), ("msgd", 0.01))
        }
    ),
)

SIXTEEN = Experiment(
    "sixteen",
    "Sixteen workers with momentum on the full MNIST, one epoch each: how soon is it learnt?",
    "virtual",
    lambda size: {"data": size.digits, "epochs": 1.0, "snapshots": 24},
    lambda size: {} if size.quick else {
        "eamsgd-p16": {"method": "eamsgd", "workers": 16, "tau": 10, "eta": 0.02}
    },
    lambda size: size.seeds[:1],
)  # fmt: skip

BY_ORDER = Experiment(
    "which-x",
    "The old x, the new center, the x after the step: does the order within an exchange matter?",
    "virtual",
    _base,
    lambda size: {
        f"{method}-{variant}": _at_best(f"{method}-tau1", size, variant=variant)
        for method in ("easgd", "eamsgd")
        for variant in ("jacobi", "gauss_seidel", "step_first")
    },
)
