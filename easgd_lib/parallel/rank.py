"""What one MPI rank does in a run, from start to record. Every rank calls `run`."""

from collections.abc import Callable

import numpy as np
import torch
from mpi4py import MPI

from easgd_lib.errors import DEAD, EasgdError, MPIError, PeerFailed
from easgd_lib.learning import datasets, evaluate, records
from easgd_lib.learning.flat import digest
from easgd_lib.learning.objectives import ImageClassification, objective_of
from easgd_lib.learning.records import Run, cores
from easgd_lib.learning.worker import Snapshot, Worker, keep_freed_memory
from easgd_lib.method.algorithms import method_of, protocol_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import centers, mpiexec
from easgd_lib.parallel.world import World, says_a_rank_died


def threads_of(settings: Settings) -> int:
    """Torch threads of each worker: as asked, else the cores shared out."""
    return settings.threads or max(1, cores() // settings.workers)


def run(settings: Settings, report: Callable[[dict], None] = lambda numbers: None) -> Run | None:
    """Take part in a run with the first `settings.ranks` ranks of the MPI world.

    Collective over these ranks; any others must not call it. Returns the run on rank 0,
    None elsewhere.

    If this rank fails, it first tells the others, which then stop waiting for it.
    """
    world = World.of(settings.ranks)
    try:
        return _run(world, settings, report)
    except PeerFailed:
        raise
    except BaseException as error:
        if says_a_rank_died(error):
            raise PeerFailed(DEAD) from error
        who = f"rank {world.rank} failed: "
        world.notify_failure((who if not isinstance(error, EasgdError) else "") + str(error))
        raise


def _run(world: World, settings: Settings, report) -> Run | None:
    torch.set_num_threads(threads_of(settings))
    keep_freed_memory()
    data = datasets.load(datasets.resolve(settings.data))
    settings = settings.replace(data=data.name)
    index = world.rank - (settings.ranks - settings.workers)  # worker 0 … p − 1; a server is −1
    objective = objective_of(settings)(data, settings, index)
    _check_start_and_batches(world, objective)
    account, snapshots, final = (
        (None, [], _serve(world, settings, objective))
        if index < 0
        else _work(world, Worker(index, settings, objective, method_of(settings), report=report))
    )
    accounts = [account for account in world.gather(account) if account]
    world.broadcast(final.numpy())  # rank 0 saw the last push
    if snapshots:
        snapshots.append(snapshots.pop()._replace(center=final))
    size, root = objective.start.numel(), settings.ranks - settings.workers
    snapshots = _to_all(world, snapshots, size, root)
    torch.set_num_threads(max(1, cores() // world.size))
    evaluations = _evaluate(world, data, settings, snapshots)
    world.free()
    if world.rank != 0:
        return None
    where = records.environment(data, threads_of(settings), world.size, mpiexec.library_version())
    return records.assemble(settings, accounts, evaluations, where)


def _check_start_and_batches(world: World, objective: ImageClassification):
    """Every worker starts from the same x and draws another first batch; checked on every run.

    (Unless the objective says the opposite.)
    """
    found = world.gather([digest(objective.start), digest(objective.first_batch())])
    starts, batches = zip(*found, strict=True)
    if objective.same_start and len(set(starts)) > 1:
        raise MPIError(f"the workers do not start from the same parameters: {starts}")
    if not objective.same_batches and len(set(batches)) < world.size:
        raise MPIError("two workers draw the same batches", "their seeds must differ")


def _serve(world: World, settings: Settings, objective: ImageClassification) -> torch.Tensor:
    world.barrier("the workers to begin")
    return centers.serve(settings.kind, world, objective.start, protocol_of(settings), objective)


def _work(world: World, worker: Worker) -> tuple[dict, list[Snapshot], torch.Tensor]:
    """Train. Returns the worker's account, its snapshots, and x̃ as far as it knows it."""
    settings, objective = worker.settings, worker.objective
    if worker.method.exchange:
        worker.center = centers.connect(
            settings.kind, world, objective.start, protocol_of(settings), objective
        )
    world.barrier("the other workers to begin")
    worker.train(_agreement(world, worker))
    final = worker.center.close() if worker.center else worker.method.evaluated
    if worker.index == 0:
        worker.take_snapshot(final)
    return worker.account(), worker.snapshots, final


def _agreement(world: World, worker: Worker) -> Callable[[bool], bool]:
    """How workers decide that the run is over.

    Where exchanges wait for one another and a clock ends the run, all must stop after
    the same exchange: they vote before each. Otherwise every worker decides alone.
    """
    settings = worker.settings
    if settings.order == "asynchronous" or settings.seconds is None or worker.center is None:

        def alone(over: bool) -> bool:
            world.check_for_failures()
            return over

        return alone
    voters = world.last(settings.workers)

    def vote(over: bool) -> bool:
        if worker.method.t % settings.tau:
            return False
        votes = np.array([over], np.int32)
        worker.watch.switch("communication")  # waiting for votes is no work
        request = voters.comm.Iallreduce(MPI.IN_PLACE, votes, MPI.MAX)
        world.complete(request, "the other workers to vote")
        worker.watch.switch(None)
        return bool(votes[0])

    return vote


def _to_all(world: World, snapshots: list[Snapshot], size: int, root: int) -> list[Snapshot]:
    """Worker 0's snapshots, on every rank."""
    notes = world.gather([(s.seconds, s.step) for s in snapshots])[root]
    vectors = np.empty((len(notes), 2, size), np.float32)
    for place, snapshot in zip(vectors, snapshots, strict=False):
        place[:] = snapshot.x.numpy(), snapshot.center.numpy()
    world.broadcast(vectors, root)
    both = torch.from_numpy(vectors)
    return [
        Snapshot(seconds, step, x, center)
        for (seconds, step), (x, center) in zip(notes, both, strict=True)
    ]


def _evaluate(world: World, data, settings: Settings, snapshots: list[Snapshot]) -> list[dict]:
    """Loss and accuracy of every snapshot, the work dealt out to all ranks."""
    jobs = evaluate.jobs(snapshots, with_worker=evaluate.worker_too(settings))
    mine = evaluate.carry_out(data, jobs[world.rank :: world.size])
    return [evaluation for part in world.gather(mine) for evaluation in part]
