"""The KTH report's experiment (Vicente and Lindé, 2024), and an ablation; on real MPI."""

from typing import Any

from easgd_lib.reproduction import kth
from easgd_lib.reproduction.experiments import Differences, Experiment, Rates, Size

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


def _figure_3(size: Size, rates: Rates) -> Differences:
    grid: Differences = {"sgd-all-cores": _SGD, "sgd-one-thread": {"method": "sgd"}}
    grid |= {f"easgd-tau{tau}": _report_alpha(tau) for tau in PERIODS}
    grid |= {f"report-tau{tau}": _report_alpha(tau) | {"center": kth.SCHEME} for tau in PERIODS}
    return grid


FIGURE_3 = Experiment(
    "figure3",
    "The KTH report's Figure 3: SGD against asynchronous EASGD, our exchange and the report's.",
    "mpi",
    _program,
    _figure_3,
)

# Two workers with nothing changed, and their rivals.
_OURS: dict[str, Any] = {"method": "easgd", "workers": 2, "tau": 4}
_SERVED = _OURS | {"center": "server"}
_MSGD: dict[str, Any] = {"method": "msgd", "threads": 2}
_PROGRAM = {"center": kth.PROGRAM, "objective": kth.OWN_START_SAME_BATCHES, "threads": 2}
_TWICE = {"batch_size": 200}  # as many images a step as two workers take together


def _ablation(size: Size, rates: Rates) -> Differences:
    grid: Differences = {
        "ours": _OURS,
        "alpha": _report_alpha(4),
        "server": _SERVED,
        "layers": _OURS | {"center": kth.LAYERS},
        "elements": _OURS | {"center": kth.ELEMENTS},
        "lockstep": _SERVED | {"order": "round_robin"},
        "root-computes": _OURS | {"center": kth.COMPUTING_ROOT},
        "threads": _OURS | {"threads": 2},
        "own-start": _OURS | {"objective": kth.OWN_START},
        "same-digits": _OURS | {"objective": kth.SAME_BATCHES},
        "all": _report_alpha(4) | _PROGRAM,
        "momentum": _OURS | {"method": "eamsgd"},
        "sgd": _SGD,
        "sgd-twice": _SGD | _TWICE,
        "msgd": _MSGD,
        "msgd-twice": _MSGD | _TWICE,
        "four": _OURS | {"workers": 4},
        "four-report": _report_alpha(4) | {"workers": 4, "center": kth.SCHEME},
    }
    if not size.quick:  # the sample has no clothes
        clothes = {"data": size.clothes}
        grid |= {"clothes": _OURS | clothes, "clothes-sgd": _SGD | clothes}
    return grid


ABLATION = Experiment(
    "ablation",
    "What was wrong: each factor of the KTH program alone, and all of them.",
    "mpi",
    lambda size: (
        _program(size) | {"seconds": size.seconds * 2 / 3, "snapshots": 4, "worker_curve": False}
    ),
    _ablation,
)
