"""The report's experiment, and everything that it suspects. Real MPI, real seconds."""

from typing import Any

from easgd_lib.reproduction.experiments import Differences, Experiment, Size

PERIODS = (1, 4, 16, 64)  # τ, as in the report's Figure 3


def _program(size: Size) -> dict[str, Any]:
    """The report's program: batches of 100, η = .01; a thread for each worker."""
    return {
        "eta": 0.01,
        "batch_size": 100,
        "threads": 1,
        "snapshots": 8,
        "data": size.digits,
        "seconds": size.seconds,
    }


def _report_alpha(tau: int) -> dict[str, Any]:
    """Two workers, α = β/(pτ); β = .9 is the paper's."""
    return {"method": "easgd", "workers": 2, "tau": tau, "beta": 0.9, "beta_per": "step"}


_SGD: dict[str, Any] = {"method": "sgd", "threads": 2}  # the cores that two workers share


def _figure_3(size: Size) -> Differences:
    grid: Differences = {"sgd-all-cores": _SGD, "sgd-one-thread": {"method": "sgd"}}
    grid |= {f"easgd-tau{tau}": _report_alpha(tau) for tau in PERIODS}
    grid |= {f"report-tau{tau}": _report_alpha(tau) | {"center": "report"} for tau in PERIODS}
    return grid


FIGURE_3 = Experiment(
    "figure3",
    "The report's Figure 3: SGD against asynchronous EASGD, our exchange and the report's.",
    "mpi",
    _program,
    _figure_3,
)

# Two workers with nothing suspicious about them, and their rivals.
_OURS: dict[str, Any] = {"method": "easgd", "workers": 2, "tau": 4}
_SERVED = _OURS | {"center": "server"}
_MSGD: dict[str, Any] = {"method": "msgd", "threads": 2}
_TWICE = {"batch_size": 200}  # as many images a step as two workers take together
_ALL = ("elements", "own_start", "root_computes", "same_digits")


def _suspects(size: Size) -> Differences:
    grid = {
        "ours": _OURS,
        "alpha": _report_alpha(4),
        "server": _SERVED,
        "layers": _SERVED | {"suspects": ("layers",)},
        "elements": _SERVED | {"suspects": ("elements",)},
        "lockstep": _SERVED | {"order": "round_robin"},
        "root-computes": _SERVED | {"suspects": ("root_computes",)},
        "threads": _OURS | {"threads": 2},
        "own-start": _OURS | {"suspects": ("own_start",)},
        "same-digits": _OURS | {"suspects": ("same_digits",)},
        "all": _report_alpha(4) | {"center": "report", "threads": 2, "suspects": _ALL},
        "momentum": _OURS | {"method": "eamsgd"},
        "sgd": _SGD,
        "sgd-twice": _SGD | _TWICE,
        "msgd": _MSGD,
        "msgd-twice": _MSGD | _TWICE,
        "four": _OURS | {"workers": 4},
        "four-report": _report_alpha(4) | {"workers": 4, "center": "report"},
    }
    if not size.quick:  # the sample has no clothes
        clothes = {"data": size.clothes}
        grid |= {"clothes": _OURS | clothes, "clothes-sgd": _SGD | clothes}
    return grid


SUSPECTS = Experiment(
    "suspects",
    "What was wrong: each of the report's suspects switched on alone, and all of them.",
    "mpi",
    lambda size: (
        _program(size) | {"seconds": size.seconds * 2 / 3, "snapshots": 4, "worker_curve": False}
    ),
    _suspects,
)
