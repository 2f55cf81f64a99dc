"""Programs for several ranks, started by test_mpi.py: `mpiexec -n N python mpi_programs.py NAME …`.

Each asserts on every rank; a failing rank notifies the others, so they end too.
"""

import os
import signal
import sys
import time

import numpy as np
import torch

from easgd_lib import Settings, datasets, simulate
from easgd_lib.errors import MPIError, PeerFailed
from easgd_lib.learning.driving import Beside, answering, carry_out
from easgd_lib.learning.objectives import ImageClassification, Quadratic
from easgd_lib.method.algorithms import METHODS, VARIANTS, method_of, protocol_of
from easgd_lib.method.center import CenterKind, ExchangeProtocol, LocalCenter, Nodes, kind_of
from easgd_lib.method.tree import tie_of, tied
from easgd_lib.parallel import centers, rank
from easgd_lib.parallel.centers.allreduce import AllreduceCenter
from easgd_lib.parallel.centers.channel import MessageChannel
from easgd_lib.parallel.centers.server import Server, ServerCenter
from easgd_lib.parallel.world import World, leave
from easgd_lib.reproduction import kth
from easgd_lib.reproduction.kth.exchange import PiecewiseChannel
from easgd_lib.simulation.clock import TimeModel


def everybody(world: World, mine, like) -> np.ndarray:
    """Each rank's vector, by rank; zeros where a rank (the server) has none."""
    mine = np.zeros(like.numel()) if mine is None else mine.numpy()
    rows = np.empty((world.size, like.numel()))
    world.complete(world.comm.Iallgather(mine, rows), "everybody")
    return rows


def with_center(kind: CenterKind, world: World, start, protocol: ExchangeProtocol, work):
    """Run `work(worker, center)` on every worker; returns its result and what is evaluated."""
    worker = world.rank - kind.extra_ranks
    if worker < 0:
        return None, centers.serve(kind, world, start, protocol)
    center = centers.connect(kind, world, start, protocol)
    result = work(worker, center)
    final = center.close()
    return result, final


def finally_everywhere(world: World, final) -> np.ndarray:
    """x̃ as rank 0 knows it, which saw the last push."""
    world.broadcast(final.numpy())
    return final.numpy()


def hammers(world: World, kind: str, *cases: str):
    """Every worker exchanges as fast as it can: x̃ + Σ x^i stays what it was, to rounding."""
    for case in cases:
        hammer(world, kind, *map(int, case.split("x")))


def hammer(world: World, kind: str, n: int, rounds: int):
    p = world.size - kind_of(kind).extra_ranks
    start = torch.linspace(-1, 1, n, dtype=torch.float64)

    def work(worker, center):
        x = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(worker))
        before = x.clone()
        for _ in range(rounds):
            force = 0.9 / p * (x - center.pull())
            center.push(force)
            x = x - force
        return x - before

    protocol = ExchangeProtocol(kind_of(kind).orders[0])
    moved, final = with_center(kind_of(kind), world, start, protocol, work)
    lost = finally_everywhere(world, final) - start.numpy() + everybody(world, moved, start).sum(0)
    assert abs(lost).max() < 1e-12 * rounds, abs(lost).max()
    assert not np.allclose(final.numpy(), start.numpy()), "nothing was exchanged"


def copies(world: World, kind: str):
    """Synchronous: a copy of x̃ holds all pushes of an exchange, however slow the others are."""
    p = world.size - kind_of(kind).extra_ranks

    def work(worker, center):
        for n in range(3):
            center.pull()
            time.sleep(0.1 * worker)
            center.push(torch.full((5,), 10.0**worker, dtype=torch.float64))
            want = [(n + 1) * float("1" * p)] * 5
            assert center.snapshot().tolist() == want, (worker, n, center.snapshot())
            assert center.state()[0][0].tolist() == want, (worker, n)

    start = torch.zeros(5, dtype=torch.float64)
    with_center(kind_of(kind), world, start, ExchangeProtocol("synchronous"), work)


class AnySettings:
    """Enough to ask whether a method has a server-side optimizer."""

    delta = average_rate = 0.5


def fixed_orders(kind: str, p: int = 2) -> list[str]:
    """The orders in which every number is determined: one worker's is in any."""
    return [order for order in kind_of(kind).orders if p == 1 or order != "asynchronous"]


def quadratics(world: World, kind: str):
    """Every method in every fixed order on MPI is simulate.trajectory, noise included."""
    p = world.size - kind_of(kind).extra_ranks
    for order in fixed_orders(kind, p):
        for method in (name for name, cls in METHODS.items() if cls.exchange):
            for variant in VARIANTS if method in ("easgd", "eamsgd") else [None]:
                if not settings_allow(kind, method, variant, order):
                    continue
                options = OPTIONS.get(method, {}) | {
                    "variant": variant,
                    "center": kind,
                    "order": order,
                }
                options |= {"nodes": 2, "tau_root": 4} if kind_of(kind).nodes else {}
                settings = Settings(method, workers=p, eta=0.1, gamma=0.01, seed=3, **options)
                quadratic(world, kind, order, settings, d=7, steps=30)
        for d in (1, 13, 486_610, 1_000_001):
            settings = Settings("easgd", workers=p, eta=0.1, center=kind, order=order, tau=1)
            quadratic(world, kind, order, settings, d, steps=3)


def settings_allow(kind: str, method: str, variant: str | None, order: str) -> bool:
    """Whether this center, and this order, are for this method: see `Settings`."""
    if order not in METHODS[method].orders:
        return False
    if kind_of(kind).nodes:
        return "alpha" in METHODS[method].options and variant != "background"
    return not (kind_of(kind).replicas and METHODS[method].server_optimizer(AnySettings))


OPTIONS: dict[str, dict] = {
    "easgd": {"alpha": 0.2, "tau": 2},
    "eamsgd": {"alpha": 0.2, "tau": 2, "delta": 0.8},
    "downpour": {"tau": 3},
    "adownpour": {"tau": 3},
    "mvadownpour": {"tau": 3, "average_rate": 0.2},
    "mdownpour": {"delta": 0.7},
    "local_sgd": {"tau": 3, "delta": 0.5},
    "slowmo": {"tau": 3},
    "diloco": {"tau": 3, "delta": 0.5},
    "async_diloco": {"tau": 3, "outer_momentum": 0.3},
    "allreduce_msgd": {"delta": 0.7},
}


def quadratic(
    world: World, kind: str, order: str, settings: Settings, d: int, steps: int, own=None
):
    p = settings.workers
    start = np.linspace(1, 2, p * d).reshape(p, d)

    def work(worker, center):
        noise = datasets.generator(settings.seed, worker)
        method = method_of(settings)(torch.from_numpy(start[worker]), settings)

        def gradient(x):
            return torch.from_numpy(Quadratic(1.3, 0.5).gradient(x.numpy(), noise))

        beside, tie = Beside(), tie_of(protocol_of(settings), worker, p)
        answer = answering(center, gradient, beside, tie and center.root)
        for _ in range(steps):
            carry_out(tied(method.step(), tie), answer)
        beside.close()
        return method.x

    center0 = torch.from_numpy(start.mean(0))
    there = own or kind_of(kind)
    result, final = with_center(there, world, center0, protocol_of(settings), work)
    found = everybody(world, result, center0)[-p:]
    final = finally_everywhere(world, final)
    turns = steps * (p if order == "round_robin" else 1)
    fixed = "round_robin" if order == "round_robin" else "synchronous"  # p = 1: all the same
    objective = Quadratic(1.3, 0.5)
    path = simulate.trajectory(settings, objective, start, turns, fixed, keep="center")
    evaluated = path.center if path.average is None else path.average
    assert np.allclose(found, path.workers[-1], rtol=0, atol=1e-12), settings
    assert np.allclose(final, evaluated[-1], rtol=0, atol=1e-12), settings
    assert abs(final - start.mean(0)).max() > 1e-2, "nothing moved"


AWKWARD = ([1], [1, 1], [7, 1, 5], [400, 20, 30_000, 40, 1, 39], [1_000_001, 1])  # layers


def piecewise(sizes: list[int], elements: bool) -> CenterKind:
    """A parameter server whose vectors travel in pieces."""

    def channel(world):
        return PiecewiseChannel(world, sizes, elements)

    return CenterKind(
        lambda world, start, protocol, _: ServerCenter(world, start, protocol, channel(world)),
        lambda world, start, protocol, _: Server(
            world, LocalCenter(start, protocol), channel(world)
        ).run(),
    )


def layers(world: World, kind: str):
    """The KTH report's center, its vectors in pieces: every method is simulate.trajectory."""
    p = world.size - 1
    for sizes in AWKWARD:
        few = sum(sizes) < 1_000  # copied one by one, a million floats take a second
        for method in OPTIONS if few else ("eamsgd",):
            if kind_of(kind).orders[0] not in METHODS[method].orders:
                continue
            settings = Settings(
                method, workers=p, eta=0.1, gamma=0.01, seed=3, center=kind, **OPTIONS[method]
            )
            for elements in (False, True) if few else (False,):
                own, steps = piecewise(sizes, elements), 20 if few else 4
                quadratic(world, kind, settings.order, settings, sum(sizes), steps, own)


def channels(world: World, kind: str):
    """What arrives in pieces is what arrives whole, bit for bit, in both precisions."""
    random = torch.Generator().manual_seed(0)
    for sizes in AWKWARD:
        ways = [MessageChannel(world), PiecewiseChannel(world, sizes)]
        ways += [PiecewiseChannel(world, sizes, elements=True)] if sum(sizes) < 100_000 else []
        for precision in (torch.float32, torch.float64):
            sent = torch.randn(sum(sizes), dtype=precision, generator=random)
            for channel in ways:
                if world.rank == 0:
                    channel.send(sent, 1, 5, "rank 1 to receive")
                else:
                    found = torch.full_like(sent, torch.nan)
                    channel.receive(found, 0, 5, "rank 0 to send")
                    assert torch.equal(found, sent), (sizes, precision, channel)


def misled(world: World, kind: str):
    """The last worker alone has another objective: the others find out, and refuse to train."""
    common = {"workers": world.size - 1, "center": kind, "data": "sample", "steps": 3}
    for objective, words in (
        (kth.OWN_START, "same parameters"),
        (kth.SAME_BATCHES, "same batches"),
    ):
        other = world.rank == world.size - 1
        try:
            rank.run(Settings("easgd", objective=objective if other else None, **common))
        except PeerFailed as failure:
            assert other, failure
            assert words in str(failure)
        except MPIError as failure:
            assert not other, failure
            assert words in str(failure)
        else:
            raise AssertionError(f"{objective} went unnoticed")
        world.barrier("the next objective")


def networks(world: World, kind: str):
    """The ConvNet in float64, 20 steps: MPI against all workers in this process."""
    torch.set_num_threads(1)
    for order in fixed_orders(kind):
        network(world, kind, order)


def network(world: World, kind: str, order: str):
    p = world.size - kind_of(kind).extra_ranks
    settings = Settings(
        "eamsgd", workers=p, center=kind, order=order, tau=3, precision="float64", data="sample",
        batch_size=16, seed=7, steps=20, threads=1,
    )  # fmt: skip
    data = datasets.load("sample")

    def work(worker, center):
        objective = ImageClassification(data, settings, worker)
        method = method_of(settings)(objective.start, settings)
        beside, tie = Beside(), tie_of(protocol_of(settings), worker, p)
        root = tie and center.root
        answer = answering(center, lambda x: objective.gradient(x, objective.draw()), beside, root)
        for _ in range(settings.steps):
            carry_out(tied(method.step(), tie), answer)
        beside.close()
        return method.x

    start = ImageClassification(data, settings, 0).start
    result, final = with_center(settings.kind, world, start, protocol_of(settings), work)
    found = everybody(world, result, start)[-p:]
    final = finally_everywhere(world, final)
    if world.rank:
        return
    workers = simulate.run_workers(settings, data, method_of(settings), TimeModel())
    for x, worker in zip(found, workers, strict=True):
        assert np.allclose(x, worker.method.x.numpy(), rtol=0, atol=1e-12)
    assert np.allclose(final, workers[0].center.snapshot().numpy(), rtol=0, atol=1e-12)
    assert abs(final - start.numpy()).max() > 1e-3, "nothing was learned"


def failures(world: World, kind: str):
    """Worker 1 fails in the middle: everybody else is released at once, by name."""
    for order in kind_of(kind).orders:
        failing(World.of(world.size), kind, order)
        world.barrier("the next failure")


def failing(world: World, kind: str, order: str):
    start = torch.zeros(10)

    def work(worker, center):
        for t in range(10**9):
            if worker == 1 and t == 50:
                raise ArithmeticError("worker 1 broke on purpose")
            center.pull()
            center.push(start + 1e-9)
            world.check_for_failures()  # as a worker does between its steps

    began = time.monotonic()
    try:
        nodes = Nodes(2, 0.1, 1) if kind_of(kind).nodes else None
        with_center(kind_of(kind), world, start, ExchangeProtocol(order, nodes=nodes), work)
    except PeerFailed as failure:
        assert "on purpose" in str(failure)
        assert time.monotonic() - began < 20
        print("released", flush=True)
    except ArithmeticError as failure:
        world.notify_failure(str(failure))
        print("failed", flush=True)


def overlapping(world: World, kind: str):
    """Four workers whose pushes all fall between their pulls and their pushes, and who do not.

    ηh = .1, α = .45: a server that takes request by request blows up, one that serves whole
    exchanges does not (spectral radii of a round: 1.27 and .92).
    """
    ends = {}
    for atomic in (False, True):
        workers = world.part(range(1, world.size)) if world.rank else None
        protocol, start = ExchangeProtocol(atomic=atomic), torch.ones(1, dtype=torch.float64)

        def work(worker, center, atomic=atomic, workers=workers, start=start):
            x = start * (worker + 2)
            for _ in range(60):
                pulled = center.pull().clone()
                if not atomic:
                    workers.barrier("all to have pulled")
                force = 0.45 * (x - pulled)
                center.push(force)
                workers.barrier("all to have pushed")
                x = x - 0.1 * x - force
            return x

        _, final = with_center(kind_of("server"), world, start, protocol, work)
        ends[atomic] = abs(finally_everywhere(world, final)[0])
    assert ends[False] > 1.2**60, ends
    assert ends[True] < 0.96**60, ends


def replicas(world: World, kind: str):
    """Sums repeat to the bit, and replicas that drifted apart are found, on every rank."""
    random = torch.Generator().manual_seed(world.rank)
    change = torch.randn(100_003, generator=random)
    twice = []
    for _ in range(2):
        center = AllreduceCenter(world, torch.zeros(100_003), ExchangeProtocol("synchronous"))
        center.push(change)
        twice.append(center.close())
    assert torch.equal(*twice)
    center = AllreduceCenter(world, torch.zeros(5), ExchangeProtocol("synchronous"))
    center.push(torch.ones(5))
    center.center = center.center + 1e-7 * world.rank
    try:
        center.close()
    except MPIError as error:
        assert "drifted apart" in str(error)
        return
    raise AssertionError("nobody noticed")


def votes(world: World, kind: str):
    """Rank 2 dies within a push that rank 0 has ended and rank 1 has not: neither waits for ever.

    Rank 0 votes on what comes next, and there learns that rank 1 needs its replica.
    """
    center = AllreduceCenter(world, torch.zeros(5), ExchangeProtocol("synchronous"))
    voters = world.part(range(world.size))
    center.push(torch.ones(5))
    world.barrier("the death")
    world.forgiving, world.limit = True, 20.0
    if world.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if world.rank == 0:
        center.center, center.pushes = torch.full((5,), 6.0), 2
    else:
        center.push(torch.ones(5))
    agreed = world.agree(1, "a vote", limit=20.0, among=voters, meanwhile=center.keep_up)
    assert agreed == 1
    assert (center.pushes, center.center.tolist()) == (2, [6.0] * 5)
    assert world.size == 2
    print("fine", flush=True)
    leave(0)


PROGRAMS = {
    f.__name__: f
    for f in (
        hammers, quadratics, layers, channels, misled, networks, failures, overlapping, replicas,
        votes, copies,
    )
}  # fmt: skip

if __name__ == "__main__":
    from mpi4py import MPI

    name, *arguments = sys.argv[1:]
    world = World.of(MPI.COMM_WORLD.size)
    try:
        PROGRAMS[name](world, *arguments)
        print("fine", flush=True)
    except BaseException as error:
        world.notify_failure(repr(error))
        raise
