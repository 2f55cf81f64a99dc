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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from easgd_lib.engines import cluster
    from easgd_lib.records import Run
    from easgd_lib.settings import Settings

__version__ = "0.1.0"
__all__ = ["Run", "Settings", "cluster"]

_HOMES = {"Settings": "settings", "Run": "records", "cluster": "engines"}
_MODULES = {
    *("claims", "clock", "datasets", "engines", "errors", "evaluate", "experiments", "figures"),
    *("flat", "kind_figures", "measures", "methods", "mistakes", "models", "mpi"),
    *("network_figure", "objectives", "paper_figures", "properties", "records"),
    *("report_figures", "rules", "settings", "simulate", "theory", "theory_figures", "worker"),
}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"easgd_lib.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"easgd_lib.{name}")
    raise AttributeError(f"module 'easgd_lib' has no attribute {name!r}")


def __dir__():
    return sorted({*__all__, *_MODULES})
