"""The paper's experiments, scaled down: our network, our images, p workers under the virtual clock.

Rates are tuned as the paper does it, by the smallest test error: three for each method and
period, one seed; the best one is then run with all seeds. What is compared is the center.
"""

from statistics import mean
from typing import Any

from easgd_lib.learning.records import Run
from easgd_lib.reproduction.experiments import Case, Differences, Experiment, Rates, Records, Size
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


TUNED: Differences = (
    {
        Case(method, tau): {"method": method, "tau": tau}
        for method in ("easgd", "eamsgd", "downpour")
        for tau in PERIODS
    }
    | {Case("mdownpour", 1): {"method": "mdownpour"}}
    | {Case(method): _alone(method) for method in ("sgd", "msgd")}
    | {Case(method, batch=4): _alone(method, 4) for method in ("sgd", "msgd")}
)


def family(method: str) -> str:
    """The method whose rates this one has: its own, or that of the run it averages."""
    return FAMILY.get(method, method)


TUNING = Experiment(
    "rates",
    "Which learning rate suits each method and period: three of each, one seed.",
    "virtual",
    _base,
    lambda size, rates: {
        case._replace(eta=eta): more | {"eta": eta}
        for case, more in TUNED.items()
        for eta in RATES[case.method]
    },
    lambda size: size.seeds[:1],
)


def best_rates(size: Size) -> Rates:
    """What tuning found: of each case the rate with the smallest test error of what is evaluated.

    Runs that diverged are out.
    """
    found = {}
    for case in TUNED:
        tried = {eta: TUNING.repeats(case._replace(eta=eta), size) for eta in RATES[case.method]}
        accuracies = {
            eta: mean(run.final_test_accuracy for run in runs)
            for eta, runs in tried.items()
            if runs and not any(run.diverged for run in runs)
        }
        if accuracies:
            found[case] = max(accuracies, key=accuracies.__getitem__)
    return found


def _at_best(case: Case, rates: Rates, **more: Any) -> dict[str, Any]:
    """A tuned case at its best rate; before it was tuned at the middle one."""
    return TUNED[case] | {"eta": rates.get(case, RATES[case.method][1])} | more


def _periods(size: Size, rates: Rates) -> Differences:
    averaged = PERIODS if size.complete else (1, 16)
    return {case: _at_best(case, rates) for case in TUNED} | {
        Case(method, tau): _at_best(Case("downpour", tau), rates, method=method)
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

# The cases of which p is varied, and their rival.
EASGD, EAMSGD = Case("easgd", PERIOD), Case("eamsgd", PERIOD)
DOWNPOUR, MDOWNPOUR = Case("downpour", 1), Case("mdownpour", 1)
MSGD = Case("msgd")


def _workers(size: Size, rates: Rates) -> Differences:
    return {
        case._replace(p=p): _at_best(case, rates, workers=p)
        for p in WORKERS[1:]
        for case in (EASGD, EAMSGD, DOWNPOUR, MDOWNPOUR)
    } | {Case("msgd", batch=16): _at_best(Case("msgd", batch=4), rates) | _alone("msgd", 16)}


BY_WORKERS = Experiment(
    "workers",
    "Paper Figs. 3 and 10: four, eight and sixteen workers, at the rates of four.",
    "virtual",
    _base,
    _workers,
)


def of_workers(records: Records, case: Case, p: int) -> list[Run]:
    """The runs of a case with p workers: those of four are among the periods'."""
    return records(BY_PERIOD, case) if p == 4 else records(BY_WORKERS, case._replace(p=p))


SEQUENTIAL = Experiment(
    "sequential",
    "Paper Fig. 6: SGD, its averages and momentum, one worker, four times as long.",
    "virtual",
    lambda size: _base(size) | {"steps": 4 * size.steps},
    lambda size, rates: {
        Case(method): _at_best(Case(family(method)), rates) | _alone(method)
        for method in ("sgd", "asgd", "mvasgd", "msgd")
    },
)


BY_RATE = Experiment(
    "effect-of-rate",
    "Paper Fig. 8: three learning rates of EASGD and EAMSGD, all seeds.",
    "virtual",
    _base,
    lambda size, rates: {
        case._replace(eta=eta): TUNED[case] | {"eta": eta}
        for case in (EASGD, EAMSGD)
        for eta in RATES[case.method]
    },
)


def _long(size: Size, rates: Rates) -> Differences:
    trapped: dict[str, Any] = {"method": "eamsgd", "tau": 100, "delta": 0.99}
    trapped["eta"] = LONG_RATES["eamsgd"]
    grid: Differences = {
        Case("easgd", tau): {"method": "easgd", "tau": tau, "eta": LONG_RATES["easgd"]}
        for tau in (1, 10, 100, 1000)
    } | {
        Case("eamsgd", 10): trapped | {"tau": 10},
        Case("eamsgd", 100): trapped,
        Case("eamsgd", 100, decay=True): trapped | {"gamma": DECAY},
    }
    if size.complete:
        grid |= {case._replace(p=16): more | {"workers": 16} for case, more in grid.items()}
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


def _alphas(size: Size, rates: Rates) -> Differences:
    ours = {"method": "easgd", "workers": 2, "tau": 4, "eta": 0.01, "batch_size": 100}
    readings = {
        Case("easgd", tau, beta_per=reading): ours | {"tau": tau, "beta_per": reading}
        for reading in ("exchange", "step")
        for tau in (16, 64)
    }
    return {Case("easgd", alpha=alpha): ours | {"alpha": alpha} for alpha in ALPHAS} | readings


ALPHAS = (0.0281, 0.1125, 0.45, 0.9)  # the second is the KTH report's β/(pτ), the third β/p
BY_ALPHA = Experiment(
    "alpha",
    "The KTH report's α at fixed p and τ, and both readings of β at large τ.",
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
    lambda size, rates: (
        {}
        if size.quick
        else {
            Case(method): _alone(method) | {"eta": eta}
            for method, eta in (("sgd", 0.05), ("msgd", 0.01))
        }
    ),
)

SIXTEEN = Experiment(
    "sixteen",
    "Sixteen workers with momentum on the full MNIST, one epoch each: how soon is it learned?",
    "virtual",
    lambda size: {"data": size.digits, "epochs": 1.0, "snapshots": 24},
    lambda size, rates: {} if size.quick else {
        Case("eamsgd", p=16): {"method": "eamsgd", "workers": 16, "tau": 10, "eta": 0.02}
    },
    lambda size: size.seeds[:1],
)  # fmt: skip

BY_ORDER = Experiment(
    "which-x",
    "The old x, the new center, the x after the step: does the order within an exchange matter?",
    "virtual",
    _base,
    lambda size, rates: {
        Case(method, variant=variant): _at_best(Case(method, 1), rates, variant=variant)
        for method in ("easgd", "eamsgd")
        for variant in ("jacobi", "gauss_seidel", "step_first")
    },
)
