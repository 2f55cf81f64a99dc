"""What a precision costs on this processor: tried for a moment, before a run."""

import time
from statistics import median

import torch

from easgd_lib.learning import datasets
from easgd_lib.learning.objectives import objective_of
from easgd_lib.method.settings import Settings

PAIRS = 3  # of gradients, one in each precision, after one to warm up


def times_float32(settings: Settings) -> float:
    """How many times as long as in float32 a gradient takes in the precision of these settings.

    A median of pairs, on one thread: a fraction of a second.

    >>> times_float32(Settings("sgd", data="sample", batch_size=8))
    1.0
    """
    if settings.precision == "float32":
        return 1.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = datasets.load(settings.data or "sample")
        pair = [
            objective_of(each)(data, each, 0)
            for each in (settings, settings.replace(precision="float32"))
        ]
        ratios = []
        for _ in range(1 + PAIRS):
            spent, other = (_seconds(objective) for objective in pair)
            ratios.append(spent / other)
        return median(ratios[1:])
    finally:
        torch.set_num_threads(threads)


def _seconds(objective) -> float:
    batch = objective.draw()
    began = time.perf_counter()
    objective.gradient(objective.start, batch)
    return time.perf_counter() - began
