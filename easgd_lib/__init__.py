"""Elastic Averaging SGD: the method, exactly; on MPI engines, or simulated in one process.

>>> import easgd_lib
>>> settings = easgd_lib.Settings(method="eamsgd", workers=2, tau=10, data="sample")
>>> with easgd_lib.cluster(2) as engines:           # doctest: +SKIP
...     run = engines.train(settings)
>>> settings.alpha
0.45

Importing it needs no MPI library, and loads torch only when something needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from easgd_lib.paths import settle_home

if (
    TYPE_CHECKING
):  # the same lists as `_NAMES` and `_MODULES`, for editors and mypy; a test compares them
    from easgd_lib import errors as errors
    from easgd_lib import figures as figures
    from easgd_lib import metrics as metrics
    from easgd_lib import paths as paths
    from easgd_lib import progress as progress
    from easgd_lib import theory as theory
    from easgd_lib.conformance import mistakes as mistakes
    from easgd_lib.conformance import properties as properties
    from easgd_lib.learning import data_files as data_files
    from easgd_lib.learning import datasets as datasets
    from easgd_lib.learning import driving as driving
    from easgd_lib.learning import evaluate as evaluate
    from easgd_lib.learning import flat as flat
    from easgd_lib.learning import models as models
    from easgd_lib.learning import objectives as objectives
    from easgd_lib.learning import records as records
    from easgd_lib.learning import sources as sources
    from easgd_lib.learning import task as task
    from easgd_lib.learning import worker as worker
    from easgd_lib.learning.records import Run as Run
    from easgd_lib.machine import benchmark as benchmark
    from easgd_lib.machine import calibrate as calibrate
    from easgd_lib.machine import doctor as doctor
    from easgd_lib.method import algorithms as methods
    from easgd_lib.method import center as center
    from easgd_lib.method import rules as rules
    from easgd_lib.method import settings as settings
    from easgd_lib.method.settings import Settings as Settings
    from easgd_lib.parallel import engines as engines
    from easgd_lib.parallel.engines import cluster as cluster
    from easgd_lib.reproduction import claims as claims
    from easgd_lib.reproduction import experiments as experiments
    from easgd_lib.reproduction import kth as kth
    from easgd_lib.reproduction import ledger as ledger
    from easgd_lib.reproduction.figures import kth as kth_figures
    from easgd_lib.reproduction.figures import scaled_down as scaled_down_figures
    from easgd_lib.reproduction.figures import theory as theory_figures
    from easgd_lib.simulation import clock as clock
    from easgd_lib.simulation import simulate as simulate

__version__ = "0.1.0"
settle_home()
__all__ = ["Run", "Settings", "cluster"]

_NAMES = {
    "Run": "learning.records",
    "Settings": "method.settings",
    "cluster": "parallel.engines",
}
_MODULES = {
    "benchmark": "machine.benchmark",
    "calibrate": "machine.calibrate",
    "center": "method.center",
    "claims": "reproduction.claims",
    "clock": "simulation.clock",
    "data_files": "learning.data_files",
    "datasets": "learning.datasets",
    "doctor": "machine.doctor",
    "driving": "learning.driving",
    "engines": "parallel.engines",
    "errors": "errors",
    "evaluate": "learning.evaluate",
    "experiments": "reproduction.experiments",
    "figures": "figures",
    "flat": "learning.flat",
    "kth": "reproduction.kth",
    "kth_figures": "reproduction.figures.kth",
    "ledger": "reproduction.ledger",
    "methods": "method.algorithms",
    "metrics": "metrics",
    "mistakes": "conformance.mistakes",
    "models": "learning.models",
    "objectives": "learning.objectives",
    "paths": "paths",
    "progress": "progress",
    "properties": "conformance.properties",
    "records": "learning.records",
    "rules": "method.rules",
    "scaled_down_figures": "reproduction.figures.scaled_down",
    "settings": "method.settings",
    "sources": "learning.sources",
    "task": "learning.task",
    "simulate": "simulation.simulate",
    "theory": "theory",
    "theory_figures": "reproduction.figures.theory",
    "worker": "learning.worker",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"easgd_lib.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"easgd_lib.{_MODULES[name]}")
    raise AttributeError(f"module 'easgd_lib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_NAMES, *_MODULES})
