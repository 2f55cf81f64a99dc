"""Other ways to train one network on two processes, beside ours: images per second, side by side.

Everybody has the same network, batches from memory, threads and cores. The ceiling is two
processes that never exchange. What is not installed is a row that says so.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn

from easgd_lib.learning import datasets, models
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.pointless import PointlessRun
from easgd_lib.learning.worker import keep_freed_memory
from easgd_lib.machine.benchmark import NEVER
from easgd_lib.method.settings import Settings
from easgd_lib.metrics import communication_fraction
from easgd_lib.parallel.engines import Engines

WORKERS, ETA, WARM_UP = 2, 0.01, 10
CEILING = "never exchanging"
KTH, KTH_CENTER = (
    "the KTH program's exchange, τ = 10",  # it takes seconds: fewer steps
    "easgd_lib.reproduction.kth.centers:PROGRAM",
)
BASE: dict[str, Any] = {
    "method": "easgd", "workers": WORKERS, "data": "sample", "snapshots": 1, "threads": 1,
    "worker_curve": False, "eta": ETA,
}  # fmt: skip
OURS: dict[str, dict[str, Any]] = {
    CEILING: {"tau": NEVER},
    "window, τ = 1": {"tau": 1},
    "window, τ = 10": {"tau": 10},
    "server, τ = 1": {"center": "server", "tau": 1},
    "server, τ = 10": {"center": "server", "tau": 10},
    "allreduce, τ = 1": {"center": "allreduce", "tau": 1},
    "allreduce, τ = 10": {"center": "allreduce", "tau": 10},
    KTH: {"center": KTH_CENTER, "tau": 10},
}
THEIRS = (
    "DistributedDataParallel",
    "PostLocalSGD, period 1",
    "PostLocalSGD, period 10",
    "accelerate's LocalSGD, period 10",
    "a loop with DataLoader, no exchange",
)
NEEDS = {"accelerate's LocalSGD, period 10": "accelerate"}
MESSAGES = ("copy in memory", "ping-pong", "MPI_Allreduce", "our allreduce")


class Row(NamedTuple):
    """One case, over all rounds: images per second of both, and relative to the ceiling.

    `exchanging` is the share of the workers' time (ours alone); `missing` what is not installed.
    """

    case: str
    images_per_second: float
    relative: float
    least: float
    most: float
    exchanging: float | None = None
    missing: str = ""


def measure(engines: Engines, rounds: int, steps: int) -> Iterator[tuple[str, dict]]:
    """Case and what was measured, round after round, each beginning with another case."""
    cases = [*OURS, *(case for case in THEIRS if not missing(case))]
    for number in range(rounds):
        for k in range(len(cases)):
            case = cases[(k + number) % len(cases)]
            if case in OURS:
                some = steps // 5 if case == KTH else steps
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", PointlessRun)  # the ceiling never exchanges
                    run = engines.train(Settings(**BASE | OURS[case], steps=some))
                found = {
                    "images_per_second": run.images_per_second,
                    "exchanging": communication_fraction(run),
                }
            else:
                found = {"images_per_second": _on_both(engines, _train, case, steps)}
            yield case, found


def messages(engines: Engines, times: int = 50) -> dict[str, float]:
    """Median seconds that the network's vector takes, alone on the machine."""
    return {name: _on_both(engines, _message, name, times) for name in MESSAGES}


def missing(case: str) -> str:
    """The package that this case needs, and that is not there; else nothing."""
    package = NEEDS.get(case, "")
    return package if package and find_spec(package) is None else ""


def rows(measured: list[tuple[str, dict]]) -> list[Row]:
    """Medians; relative to the ceiling of the same round."""
    by_case: dict[str, list[dict]] = {case: [] for case in (*OURS, *THEIRS)}
    for case, found in measured:
        by_case[case].append(found)
    ceiling = [found["images_per_second"] for found in by_case[CEILING]]
    result = []
    for case, all_found in by_case.items():
        speeds = [found["images_per_second"] for found in all_found]
        if not speeds:
            result.append(Row(case, 0.0, 0.0, 0.0, 0.0, missing=missing(case) or "not measured"))
            continue
        relative = sorted(one / other for one, other in zip(speeds, ceiling, strict=True))
        shares = [found["exchanging"] for found in all_found if "exchanging" in found]
        share = median(shares) if shares else None
        row = Row(case, median(speeds), median(relative), relative[0], relative[-1], share)
        result.append(row)
    return result


def record(
    found: list[Row], transfers: dict[str, float], rounds: int, steps: int, environment: dict
) -> dict:
    """What is stored: the rows, seconds of messages, and where."""
    return {
        "rounds": rounds,
        "steps": steps,
        "rows": [row._asdict() for row in found],
        "messages": transfers,
        "environment": environment,
    }


def _on_both(engines: Engines, function: Callable, *arguments) -> float:
    """Call on two engines; what the first one answers."""
    with tempfile.TemporaryDirectory() as folder:
        both = engines.client[list(range(WORKERS))]
        return both.apply_async(function, folder, *arguments).get(timeout=600)[0]


# Below: what runs on the engines.


def _train(folder: str, case: str, steps: int) -> float:
    """Images per second of both engines, trained in another way than ours."""
    # They start MPI, or are slow to load: only on an engine.
    import torch.distributed as dist

    from easgd_lib.parallel.world import World

    torch.set_num_threads(1)
    keep_freed_memory()
    world = World.of(WORKERS)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    limit = timedelta(seconds=60)
    meet = f"file://{Path(folder) / 'meet'}"
    dist.init_process_group("gloo", meet, limit, world.size, world.rank)
    try:
        settings = Settings("sgd", data="sample", eta=ETA)
        objective = ImageClassification(datasets.load("sample"), settings, world.rank)
        step = _stepper(case, objective)
        for _ in range(WARM_UP):
            step()
        world.barrier("the other engine")
        began = time.perf_counter()
        for _ in range(steps):
            step()
        spent = time.perf_counter() - began
    finally:
        dist.destroy_process_group()
    return sum(settings.batch_size * steps / each for each in world.gather(spent))


def _stepper(case: str, objective: ImageClassification) -> Callable[[], None]:
    """One training step of this case, to be called again and again."""
    network: Any = models.build(0).to(memory_format=torch.channels_last).train()
    draw: Callable[[], Any] = objective.draw
    optimizer: Any = torch.optim.SGD(network.parameters(), lr=ETA)
    after: Callable[[], None] = _nothing
    if case == "DistributedDataParallel":
        network = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    elif case.startswith("PostLocalSGD"):
        network, optimizer = _post_local_sgd(network, optimizer, int(case.rsplit(" ", 1)[1]))
    elif case.startswith("accelerate"):
        network, optimizer, after = _accelerate(network, optimizer, int(case.rsplit(" ", 1)[1]))
    elif "DataLoader" in case:
        draw = _loader(objective)

    def step():
        images, labels = draw()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # as ours, which looks whether it is finite
        after()

    return step


def _nothing():
    """After a step of most there is nothing to do."""


def _post_local_sgd(network, optimizer, period: int) -> tuple:
    """PyTorch's own: gradients stay at home, parameters are averaged every so many steps."""
    # They are slow to load, and for this alone.
    import torch.distributed as dist
    from torch.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook as hook
    from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
    from torch.distributed.optim import PostLocalSGDOptimizer

    alone, _ = dist.new_subgroups(group_size=1)
    network = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    state = hook.PostLocalSGDState(None, alone, start_localSGD_iter=0)
    network.register_comm_hook(state, hook.post_localSGD_hook)
    averager = PeriodicModelAverager(period=period, warmup_steps=0)
    return network, PostLocalSGDOptimizer(optim=optimizer, averager=averager)


def _accelerate(network, optimizer, period: int) -> tuple:
    # An optional package, for this alone.
    from accelerate import Accelerator
    from accelerate.local_sgd import LocalSGD

    accelerator = Accelerator(cpu=True)
    network, optimizer = accelerator.prepare(network, optimizer)
    local = LocalSGD(accelerator=accelerator, model=network, local_sgd_steps=period, enabled=True)
    local.__enter__()
    return network, optimizer, local.step


def _loader(objective: ImageClassification) -> Callable[[], Any]:
    """What most programs do: a DataLoader over standardized images."""
    from torch.utils.data import DataLoader, TensorDataset  # for this alone

    data = objective.data
    pixels = data.pixels(data.train_images).contiguous(memory_format=torch.channels_last)
    whole = TensorDataset(pixels, data.train_labels)
    loader = DataLoader(whole, objective.settings.batch_size, shuffle=True, drop_last=True)

    def forever():
        while True:
            yield from loader

    return forever().__next__


def _message(folder: str, name: str, times: int) -> float:
    """Median seconds of one transfer of the network's vector."""
    # They start MPI: only on an engine.
    import numpy as np
    from mpi4py import MPI

    from easgd_lib.method.algorithms import protocol_of
    from easgd_lib.parallel import centers
    from easgd_lib.parallel.world import World

    world = World.of(WORKERS)
    other, there = 1 - world.rank, np.zeros(models.CONVNET_PARAMETERS, np.float32)
    back = np.empty_like(there)
    center: Any = None
    if name == "our allreduce":
        settings = Settings("easgd", workers=WORKERS, center="allreduce", data="sample")
        protocol = protocol_of(settings)
        center = centers.connect(settings.kind, world, torch.from_numpy(there), protocol)

    def transfer():
        match name:
            case "copy in memory":
                back[:] = there
            case "ping-pong":
                first, second = (world.comm.Send, world.comm.Recv)[:: 1 - 2 * world.rank]
                first(there if world.rank == 0 else back, other)
                second(back if world.rank == 0 else there, other)
            case "MPI_Allreduce":
                world.comm.Allreduce(there, back, MPI.SUM)
            case _:
                center.push(torch.from_numpy(there))

    spent = []
    for _ in range(times):
        world.barrier("the other engine")
        began = time.perf_counter()
        transfer()
        spent.append(time.perf_counter() - began)
    if center:
        center.close()
    return median(spent)
