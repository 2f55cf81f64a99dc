"""Programs for several ranks, started by test_mpi.py: `mpiexec -n N python mpi_programs.py NAME …`.

Each asserts on every rank; a failing rank cries out, so the others end too.
"""

import sys
import time

import numpy as np
import torch

from easgd_lib import Settings, datasets, simulate
from easgd_lib.centers.local import LocalCenter
from easgd_lib.centers.server import ServerCenter, serve
from easgd_lib.centers.window import WindowCenter
from easgd_lib.methods import METHODS
from easgd_lib.mpi import PeerFailed, World
from easgd_lib.objectives import Digits, Quadratic
from easgd_lib.worker import answering, carry_out


def everybody(world: World, mine, like) -> np.ndarray:
    """Each rank's vector, by rank; zeros where a rank (the server) has none."""
    mine = np.zeros(like.numel()) if mine is None else mine.numpy()
    rows = np.empty((world.size, like.numel()))
    world.complete(world.comm.Iallgather(mine, rows), "everybody")
    return rows


def with_center(kind: str, world: World, start, order: str, work):
    """Run `work(worker, center)` on every worker; returns its result and the final x̃."""
    if kind == "server" and world.rank == 0:
        return None, serve(world, start, order)
    worker = world.rank - (kind == "server")
    center = ServerCenter(world, start) if kind == "server" else WindowCenter(world, start, order)
    result = work(worker, center)
    final = center.close()
    return result, final


def finally_everywhere(world: World, final) -> np.ndarray:
    """x̃ as rank 0 knows it, which saw the last push."""
    world.share(final.numpy())
    return final.numpy()


def hammers(world: World, kind: str, *cases: str):
    """Every worker exchanges as fast as it can: x̃ + Σ x^i stays what it was, to rounding."""
    for case in cases:
        hammer(world, kind, *map(int, case.split("x")))


def hammer(world: World, kind: str, n: int, rounds: int):
    p = world.size - (kind == "server")
    start = torch.linspace(-1, 1, n, dtype=torch.float64)

    def work(worker, center):
        x = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(worker))
        before = x.clone()
        for _ in range(rounds):
            force = 0.9 / p * (x - center.pull())
            center.push(force)
            x = x - force
        return x - before

    moved, final = with_center(kind, world, start, "asynchronous", work)
    lost = finally_everywhere(world, final) - start.numpy() + everybody(world, moved, start).sum(0)
    assert abs(lost).max() < 1e-12 * rounds, abs(lost).max()
    assert not np.allclose(final.numpy(), start.numpy()), "nothing was exchanged"


def quadratics(world: World, kind: str):
    """Every method in every fixed order on MPI is simulate.trajectory, noise included."""
    p = world.size - (kind == "server")
    easgd = {"method": "easgd", "eta": 0.1, "alpha": 0.2, "tau": 2, "seed": 3}
    eamsgd = easgd | {"method": "eamsgd", "delta": 0.8, "gamma": 0.01}
    for order in ("synchronous", "round_robin", "asynchronous")[: 3 if p == 1 else 2]:
        for method in (easgd, eamsgd):
            quadratic(world, kind, order, Settings(workers=p, center=kind, order=order, **method))


def quadratic(world: World, kind: str, order: str, settings: Settings):
    p = settings.workers
    start = np.linspace(1, 2, p * 7).reshape(p, 7)
    steps = 30

    def work(worker, center):
        noise = datasets.generator(settings.seed, worker)
        method = METHODS[settings.method](torch.from_numpy(start[worker]), settings)

        def gradient(x):
            return torch.from_numpy(Quadratic(1.3, 0.5).gradient(x.numpy(), noise))

        for _ in range(steps):
            carry_out(method.step(), answering(center, gradient))
        return method.x

    center0 = torch.from_numpy(start.mean(0))
    result, final = with_center(kind, world, center0, order, work)
    found = everybody(world, result, center0)[-p:]
    final = finally_everywhere(world, final)
    turns = steps * (p if order == "round_robin" else 1)
    fixed = "round_robin" if order == "round_robin" else "synchronous"  # p = 1: all the same
    path = simulate.trajectory(settings, Quadratic(1.3, 0.5), start, turns, order=fixed)
    assert np.allclose(found, path.workers[-1], rtol=0, atol=1e-12)
    assert np.allclose(final, path.center[-1], rtol=0, atol=1e-12)


def networks(world: World, kind: str):
    """The ConvNet in float64, 20 steps: MPI against all workers in this process."""
    torch.set_num_threads(1)
    for order in ("synchronous", "round_robin"):
        network(world, kind, order)


def network(world: World, kind: str, order: str):
    p = world.size - (kind == "server")
    settings = Settings(
        "eamsgd", workers=p, center=kind, order=order, tau=3, precision="float64", data="sample",
        batch_size=16, seed=7,
    )  # fmt: skip
    data = datasets.load("sample")

    def answer_for(digits, center):
        return answering(center, lambda x: digits.gradient(x, digits.draw()))

    def work(worker, center):
        digits = Digits(data, settings, worker)
        method = METHODS["eamsgd"](digits.start, settings)
        for _ in range(20):
            carry_out(method.step(), answer_for(digits, center))
        return method.x

    start = Digits(data, settings, 0).start
    result, final = with_center(kind, world, start, order, work)
    found = everybody(world, result, start)[-p:]
    final = finally_everywhere(world, final)
    if world.rank:
        return
    center = LocalCenter(start)
    digits = [Digits(data, settings, worker) for worker in range(p)]
    methods = [METHODS["eamsgd"](d.start, settings) for d in digits]
    answers = [answer_for(d, center) for d in digits]
    for _ in range(20):
        if order == "synchronous":
            simulate.together(methods, answers)
        else:
            for method, answer in zip(methods, answers, strict=True):
                carry_out(method.step(), answer)
    for x, method in zip(found, methods, strict=True):
        assert np.allclose(x, method.x.numpy(), rtol=0, atol=1e-12)
    assert np.allclose(final, center.center.numpy(), rtol=0, atol=1e-12)
    assert abs(final - start.numpy()).max() > 1e-3, "nothing was learnt"


def failures(world: World, kind: str):
    """Worker 1 fails in the middle: everybody else is released at once, by name."""
    for order in ("asynchronous", "synchronous", "round_robin"):
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
            world.listen()  # as a worker does between its steps

    began = time.monotonic()
    try:
        with_center(kind, world, start, order, work)
    except PeerFailed as failure:
        assert "on purpose" in str(failure)
        assert time.monotonic() - began < 20
        print("released", flush=True)
    except ArithmeticError as failure:
        world.cry(str(failure))
        print("failed", flush=True)


PROGRAMS = {f.__name__: f for f in (hammers, quadratics, networks, failures)}

if __name__ == "__main__":
    from mpi4py import MPI

    name, *arguments = sys.argv[1:]
    world = World.of(MPI.COMM_WORLD.size)
    try:
        PROGRAMS[name](world, *arguments)
        print("fine", flush=True)
    except BaseException as error:
        world.cry(repr(error))
        raise
