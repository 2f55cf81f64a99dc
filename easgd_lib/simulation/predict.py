"""How fast a run would be, as the clock predicts it: only time passes, no gradient is computed."""

from itertools import count
from typing import NamedTuple

from easgd_lib.learning import models
from easgd_lib.learning.worker import ACTIVITIES
from easgd_lib.method.algorithms import SGD, method_of, protocol_of
from easgd_lib.method.settings import Settings
from easgd_lib.method.tree import Tie, tie_of, tied
from easgd_lib.simulation.centers import VirtualCenters
from easgd_lib.simulation.clock import Clock, Process, Requests, Span, TimeModel


class Prediction(NamedTuple):
    """What the clock says of a run. `communication`: the share of a worker's time, mean."""

    images_per_second: float
    communication: float


def throughput(settings: Settings, times: TimeModel, seconds: float = 5.0) -> float:
    """Images per second of all workers: see `predict`."""
    return predict(settings, times, seconds).images_per_second


def predict(
    settings: Settings, times: TimeModel, seconds: float = 5.0, after: float = 0.0
) -> Prediction:
    """Speed and exchanging of all workers on the KTH report's network, as the clock predicts them.

    Only time passes: no gradient is computed. `seconds` are looked at, those that follow `after`:
    at the start all workers exchange at once.
    """
    method, p, images = method_of(settings), settings.workers, settings.batch_size
    protocol, clock, steps = protocol_of(settings), Clock(), count()

    def requests(worker: SGD, tie: Tie | None) -> Requests:
        yield from tied(worker.step(), tie)
        while clock.now <= after + seconds:
            if clock.now > after:
                next(steps)
            yield from tied(worker.step(), tie)

    spent = dict.fromkeys(ACTIVITIES, 0.0)

    def note(span: Span):
        spent[span.activity] += max(0.0, span.end - max(span.start, after))

    processes = [
        Process(
            i, clock, requests(method(0.0, settings), tie_of(protocol, i, p)), lambda at: 0.0,
            images * times.data_per_image, times.compute_times(settings.seed, i, p, images),
            note,
        )
        for i in range(p)
    ]  # fmt: skip
    size = 4 * models.CONVNET_PARAMETERS
    VirtualCenters(clock, settings, protocol, times, 0.0, size).run(processes)
    everything = sum(spent.values())
    return Prediction(next(steps) * images / seconds, spent["communication"] / everything)
