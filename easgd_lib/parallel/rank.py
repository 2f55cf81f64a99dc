"""What one MPI rank does in a run, from start to record. Every rank calls `run`."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from mpi4py import MPI

from easgd_lib.errors import DEAD, EasgdError, MPIError, PeerFailed
from easgd_lib.learning import data_files, datasets, evaluate, records
from easgd_lib.learning.checkpoint import Checkpoint
from easgd_lib.learning.flat import digest
from easgd_lib.learning.objectives import ImageClassification, objective_of
from easgd_lib.learning.worker import Snapshot, Worker, keep_freed_memory
from easgd_lib.method.algorithms import method_of, protocol_of, worker_too
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import centers, mpiexec
from easgd_lib.parallel.centers import TakesOver
from easgd_lib.parallel.checkpoints import Resumable, losses
from easgd_lib.parallel.world import RankLost, World, says_a_rank_died
from easgd_lib.resources import affinity, cores

GO_ON, NOT_YET = 1, 2  # votes: not over, and no checkpoint now


class Node(NamedTuple):
    """This rank's computer: the cores that the run's ranks on it may use, and how many they are.

    `first`: this is the first of them. `computers`: how many there are in the run.
    """

    cores: int
    ranks: int
    first: bool
    computers: int

    @classmethod
    def of(cls, world: World) -> "Node":
        """Collective. Each rank may be bound to a core of its own: together they have them all."""
        here = MPI.Get_processor_name()
        everybody = world.gather([here, affinity()])
        bound = [cores for name, cores in everybody if name == here]
        names = [name for name, _ in everybody]
        first = names.index(here) == world.rank
        return cls(cores(sorted(set().union(*bound))), len(bound), first, len(set(names)))

    def threads(self, settings: Settings) -> int:
        """Torch threads of each worker: as asked, else the cores shared out."""
        workers = min(self.ranks, settings.workers)  # a server sleeps
        return settings.threads or max(1, self.cores // workers)


def run(
    settings: Settings,
    report: Callable[[dict], None] = lambda numbers: None,
    checkpoint: Checkpoint | None = None,
    checked_on: str | None = None,
) -> dict | None:
    """Take part in a run with the first `settings.ranks` ranks of the MPI world.

    Collective over these ranks; any others must not call it. Returns the run's record, for
    `Run.from_dict`, on the first rank that lives, None elsewhere.

    If this rank fails, it first tells the others, which then stop waiting for it.

    Parameters
    ----------
    settings : Settings
    report : callable
        Called now and then with a small dict of live numbers.
    checkpoint : Checkpoint, optional
    checked_on : str, optional
        The computer on which somebody has compared the data files with their checksums. On
        another the first of its ranks does.
    """
    world = World.of(settings.ranks)
    try:
        return _run(world, settings, report, checkpoint, checked_on)
    except RankLost as error:
        world.notify_failure(DEAD)  # another may have forgiven it already
        raise PeerFailed(DEAD) from error
    except PeerFailed as error:
        world.notify_failure(str(error))
        raise
    except BaseException as error:
        if says_a_rank_died(error):
            raise PeerFailed(DEAD) from error
        who = f"rank {world.rank} failed: "
        world.notify_failure((who if not isinstance(error, EasgdError) else "") + str(error))
        raise


def _run(world: World, settings: Settings, report, checkpoint, checked_on) -> dict | None:
    node = Node.of(world)
    torch.set_num_threads(node.threads(settings))
    keep_freed_memory()
    name = data_files.resolve(settings.data)
    if node.first and checked_on != MPI.Get_processor_name():
        data_files.check(name)
    world.barrier("the data to be checked")
    data = datasets.load(name, checked=True)
    settings = settings.replace(data=data.name)
    index = world.rank - settings.kind.extra_ranks  # worker 0 … p − 1; a server is −1
    objective = objective_of(settings)(data, settings, index)
    _check_start_and_batches(world, objective)
    stored = Resumable(world, settings, objective, checkpoint)
    part = (
        _serve(world, settings, objective, stored)
        if index < 0
        else _work(
            world, Worker(index, settings, objective, method_of(settings), report=report), stored
        )
    )
    record = world.together(partial(_conclude, world, node, data, settings, part), "the evaluation")
    if record:
        record["environment"].update(stored.notes)
        record["workers_lost"][:0] = stored.lost
    world.free()
    return record


class Part(NamedTuple):
    """What one rank has when training is over: x̃ as far as it knows it, and its own record."""

    final: torch.Tensor
    account: dict | None
    snapshots: list[Snapshot]
    began: float  # `time.monotonic`


def _conclude(world: World, node: Node, data, settings: Settings, part: Part) -> dict | None:
    """Evaluate the snapshots, together; the record, on the first of the living ranks."""
    accounts = [account for account in world.gather(part.account) if account]
    if not accounts:
        raise MPIError("every worker died", "start the run again")
    final = part.final.clone()
    world.broadcast(final.numpy())  # a server is rank 0, and any other center is the same for all
    snapshots = list(part.snapshots)
    if snapshots:
        snapshots.append(snapshots.pop()._replace(center=final))
    root, snapshots = _to_all(world, snapshots, final.numel())
    torch.set_num_threads(max(1, node.cores // node.ranks))
    worker = world.members[root] - settings.kind.extra_ranks
    jobs = evaluate.jobs(snapshots, with_worker=worker_too(settings), worker=worker)
    mine = evaluate.carry_out(data, jobs[world.rank :: world.size])  # dealt out to all ranks
    evaluations = [evaluation for part in world.gather(mine) for evaluation in part]
    if world.rank != 0:
        return None
    lost = losses(world, settings, part.began, accounts)
    mpi = mpiexec.library_version()
    where = records.environment(
        data, node.threads(settings), world.size, mpi, (node.cores, node.ranks)
    )
    where["computers"] = node.computers
    return records.assemble(settings, accounts, evaluations, where, lost)


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


def _serve(
    world: World, settings: Settings, objective: ImageClassification, stored: Resumable
) -> Part:
    began = _begin(world, settings)
    protocol = stored.protocol
    final = centers.serve(settings.kind, world, objective.start, protocol, objective)
    return Part(final, None, [], began)


def _begin(world: World, settings: Settings) -> float:
    """All begin together; from now on a death may be forgiven."""
    world.barrier("the other workers to begin")
    world.forgiving = settings.kind.forgiving and settings.if_worker_dies == "continue"
    return time.monotonic()


def _work(world: World, worker: Worker, stored: Resumable) -> Part:
    settings, objective = worker.settings, worker.objective
    if worker.method.exchange:
        worker.center = centers.connect(
            settings.kind, world, objective.start, stored.protocol, objective
        )
    stored.restore(worker)
    agreement = _agreement(world, worker, stored)
    began = stored.began = _begin(world, settings)
    worker.takes_snapshots = partial(_takes_snapshots, world, world.me, settings.kind.extra_ranks)
    took_over = False
    try:
        with stored.saver.kept_if_not_finite() if stored.saver else nullcontext():
            worker.train(agreement)
        stored.end(worker)
        final = worker.center.close() if worker.center else worker.method.evaluated
    except TakesOver as role:
        took_over, center = True, role.center
        final = centers.serve(settings.kind, world, center, protocol_of(settings), objective)
    if worker.snapshots:
        worker.take_snapshot(final)
    return Part(final, worker.account() | {"took_over": took_over}, worker.snapshots, began)


def _takes_snapshots(world: World, member: int, first: int) -> bool:
    """Worker 0; where a death is forgiven, the first two of the living: one may die next."""
    before = [other for other in world.living if first <= other < member]
    return len(before) < 1 + world.forgiving


def _agreement(world: World, worker: Worker, stored: Resumable) -> Callable[[bool], bool]:
    """How workers decide that the run is over, and when they write a checkpoint.

    Where exchanges wait for one another, and a clock decides, all must stop after the same
    exchange, and write before the same one: they vote before each. Otherwise every worker
    decides alone.
    """
    settings = worker.settings
    by_clock = settings.seconds is not None
    in_step = settings.order != "asynchronous" and worker.center is not None
    if not in_step or not (by_clock or stored.saver):

        def alone(over: bool) -> bool:
            world.tell(worker.method.t)
            world.check_for_failures()
            if stored.due and not over:
                stored.save(worker)
            return over

        return alone
    voters = world.part(range(world.size - settings.workers, world.size))
    keep_up = getattr(worker.center, "keep_up", lambda: None)

    def vote(over: bool) -> bool:
        world.tell(worker.method.t)
        if worker.method.t % settings.tau:
            return over and not by_clock
        worker.beside.end()  # the next exchange waits for it all the same
        worker.watch.switch("communication")  # waiting for votes is no work
        mine = GO_ON * (not over) | NOT_YET * (not stored.due)
        all_say = world.agree(mine, "the other workers to vote", among=voters, meanwhile=keep_up)
        worker.watch.switch(None)
        if all_say & GO_ON and not all_say & NOT_YET:
            stored.save(worker)
        return not all_say & GO_ON

    return vote


def _to_all(world: World, snapshots: list[Snapshot], size: int) -> tuple[int, list[Snapshot]]:
    """The snapshots of the first rank that has most of them, on every rank; and which it is."""
    everybodys = world.gather([(s.seconds, s.step) for s in snapshots])
    root = max(range(world.size), key=lambda rank: len(everybodys[rank]))
    notes = everybodys[root]
    vectors = np.empty((len(notes), 2, size), np.float32)
    for place, snapshot in zip(vectors, snapshots, strict=False):
        place[:] = snapshot.x.numpy(), snapshot.center.numpy()
    world.broadcast(vectors, root)
    both = torch.from_numpy(vectors)
    return root, [
        Snapshot(seconds, step, x, center)
        for (seconds, step), (x, center) in zip(notes, both, strict=True)
    ]
