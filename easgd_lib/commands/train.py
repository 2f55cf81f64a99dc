"""`easgd train`: on engines, in this MPI world, or simulated."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from easgd_lib.commands.options import Name, new_console, new_table, option
from easgd_lib.errors import SettingsError
from easgd_lib.learning.sources import DATASETS, SAMPLE
from easgd_lib.method import settings as choices
from easgd_lib.method.algorithms import METHODS, VARIANTS, method_named, worker_too
from easgd_lib.method.center import CENTERS, ORDERS, kind_of
from easgd_lib.method.settings import NODES, Settings


@click.command()
@option("--method", Name(METHODS), "Update rule.", required=True)
@click.option(
    "--workers", type=int, help="p.  [1 for sequential methods, else 2; tree: 4; all of mpiexec's]"
)
@option("--tau", int, "τ, local steps between exchanges.  [10; allreduce_sgd, mdownpour: 1]")
@option("--eta", float, "η, learning rate.")
@option("--alpha", float, "α, moving rate of one exchange. Give one of α, β, ρ.")
@option("--beta", float, "β: α = β/p, or as --beta-per says.  [0.9]")
@option("--rho", float, "ρ = α/η.")
@option("--beta-per", choices.BETA_PER, "exchange: α = β/p. step: α = β/(pτ).  [exchange]")
@option("--variant", tuple(VARIANTS), "Update order of an exchange.  [jacobi: the paper's]")
@option("--delta", float, "δ, Nesterov momentum.  [0.9; local_sgd and kin: 0]")
@option(
    "--outer-rate", float, "a, of slowmo's, diloco's and lookahead's outer step.  [1, 0.7, 0.5]"
)
@option("--outer-momentum", float, "Of the outer step of slowmo and diloco.  [0.5, 0.9]")
@option("--average-rate", float, "a, of the moving averages mvasgd, mvadownpour.  [0.001]")
@option("--gamma", float, "γ, decay η/(1 + γt)^½.")
@option("--batch-size", int, "Images per gradient.")
@option("--data", Name(DATASETS), "Images.  [mnist if found, else sample]")
@option("--task", Name({}), "Your own network, data and loss: see easgd_lib/learning/task.py.")
@option("--center", Name(CENTERS), "Where the center lives.")
@option("--nodes", int, "Of center tree: groups of workers, a computer each.  [2]")
@option("--tau-root", int, "Of center tree: steps between a node's exchanges with the root.  [τ]")
@option("--objective", Name({}), "What is minimized.  [the images' classification]")
@option("--order", ORDERS, "Order of exchanges.  [asynchronous; allreduce: synchronous]")
@option("--seconds", float, "Train so long,")
@option("--steps", int, "or so many steps of each worker,")
@option("--epochs", float, "or so many epochs.  [1]")
@option("--seed", int, "Fixes start and batches.")
@option("--precision", choices.PRECISIONS, "Of the arithmetic.")
@option("--threads", int, "Per worker.  [the cores shared out]")
@option("--snapshots", int, "Points on the center's curve.  [12, but ten steps apart]")
@option("--if-worker-dies", choices.IF_WORKER_DIES, "Go on without it (α stays), or stop.")
@click.option("--simulate", is_flag=True, help="In this process, p workers in virtual time.")
@click.option(
    "--time-model",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `easgd calibrate` wrote, for the virtual clock.  [the one in data/; cifar10: none]",
)
@click.option("--allow-unstable", is_flag=True, help="Let α leave its limit.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the record here, as JSON.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write checkpoints into this folder; all ranks must see it.",
)
@click.option(
    "--every", type=float, default=60.0, show_default=True, help="Seconds between checkpoints."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in that folder.")
@click.option(
    "--hostfile",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Computers for mpiexec, a line each.  [those of the Slurm or PBS job, or this one]",
)
def train(
    workers: int | None,
    hostfile: Path | None,
    out: Path | None,
    simulate: bool,
    time_model: Path | None,
    checkpoint: Path | None,
    every: float,
    resume: bool,
    **given,
):
    """Train a network with one method, and say how good the center is.

    The network is the KTH report's; for cifar10 the paper's, with its crops, flips and dropout.

    \b
    easgd train --method eamsgd --workers 2 --tau 10 --eta 0.02 --delta 0.9 --seconds 25
    mpiexec -n 3 python -m easgd_lib train --method easgd --center server
    easgd train --method easgd --center tree --workers 8 --nodes 2 --tau 1 --tau-root 10
    easgd train --method easgd --workers 16 --simulate     16 workers, whatever the machine
    easgd train --method easgd --checkpoint runs/a --resume     go on where that run stands
    """  # noqa: D301 (click wants the \b itself)
    if task := given.pop("task"):
        if given["data"]:
            raise SettingsError("a task has data of its own", "leave --data out")
        given["data"] = task
    there = _workers(given["method"], given["center"], workers)
    settings = Settings(workers=there, **given)
    simulate = simulate or settings.kind.connect is None
    if time_model and not simulate:
        raise SettingsError("--time-model is for the virtual clock", "add --simulate")
    from easgd_lib.learning.checkpoint import Checkpoint
    from easgd_lib.paths import make_writable

    asked = Checkpoint.asked(checkpoint, every, resume)
    if out:
        make_writable(out.parent)
    settings = _announce(settings, asked)
    run = _simulate(settings, time_model, asked) if simulate else _train(settings, asked, hostfile)
    if run is None:
        return
    _print_runs({"run": run})
    if out:
        click.echo(f"record: {run.save(out)}")


def _usual_workers(method: str, center: str) -> int:
    if kind_of(center).nodes:
        return 2 * NODES
    return 2 if method_named(method).exchange else 1


def _workers(method: str, center: str, asked: int | None) -> int:
    """p: as asked; under mpiexec as many as the world has, which what is asked must match."""
    from easgd_lib.parallel import mpiexec

    if (size := mpiexec.launched_size()) is None:
        return asked if asked is not None else _usual_workers(method, center)
    from easgd_lib.parallel.world import check_launcher  # starts MPI, in ranks alone

    check_launcher()
    there = size - kind_of(center).extra_ranks
    if asked is not None and asked != there:
        needed = asked + size - there
        raise SettingsError(
            f"--workers {asked} takes {needed} ranks with center {center}, "
            f"but mpiexec started {size}",
            f"use mpiexec -n {needed}, or leave --workers out",
        )
    return there


def _announce(settings: Settings, checkpoint) -> Settings:
    """Before training: what will be run, on which data, said once, on stderr."""
    from easgd_lib.learning import data_files
    from easgd_lib.learning.pointless import warn_if_pointless
    from easgd_lib.parallel import mpiexec

    name = data_files.resolve(settings.data)
    data_files.check(name)
    whole = settings.replace(data=name)
    if checkpoint:
        checkpoint.prepare(whole)
    if mpiexec.launched_rank() != 0:
        return whole
    click.echo(settings.summary, err=True)
    if mpiexec.launched_size() is not None:
        warn_if_pointless(whole)  # where it is not said by the trainer
    if settings.data is None and name == SAMPLE:
        click.echo(
            "no MNIST found (EASGD_DATA, data/): training on the sample, 5,000 real digits "
            "shipped with easgd_lib; `make data` downloads all 70,000",
            err=True,
        )
    return whole


def _simulate(settings: Settings, time_model: Path | None, checkpoint):
    """All workers in this process, under the virtual clock."""
    from easgd_lib.simulation import clock, simulate

    times = clock.TimeModel.calibrated(settings.center, time_model) if time_model else None
    more = checkpoint.to_arguments() if checkpoint else {}
    return _train_here(settings, partial(simulate.train, times=times, **more))


def _train(settings: Settings, checkpoint, hostfile: Path | None):
    """In this MPI world, or on engines of our own."""
    from easgd_lib.learning.records import Run
    from easgd_lib.parallel import mpiexec

    if mpiexec.launched_size() is not None:
        from easgd_lib.parallel import rank

        record = _train_here(settings, partial(rank.run, checkpoint=checkpoint))
        return record and Run.from_dict(record)
    from easgd_lib.parallel.engines import cluster

    more = checkpoint.to_arguments() if checkpoint else {}
    with cluster(settings.workers, center=settings.center, hostfile=hostfile) as engines:
        return engines.train(settings, **more)


def _train_here(settings: Settings, train: Callable):
    """Train in this process, with worker 0's progress."""
    from easgd_lib import progress
    from easgd_lib.parallel import mpiexec

    launched = mpiexec.launched_size() is not None  # then stderr leads to mpiexec
    display = (progress.Lines if launched else progress.Live)(settings.method)

    def report(numbers: dict):
        if numbers["worker"] == 0:
            display.update([numbers])

    try:
        return train(settings, report)
    finally:
        display.close()


def _print_runs(runs: dict):
    """One row a run: what one wants to know first."""
    from easgd_lib.metrics import communication_fraction

    headings = ("center", "worker 0", "images/s", "exchanging", "exchanges", "seconds")
    table = new_table("test accuracy of")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, run in runs.items():
        both = worker_too(run.settings)
        table.add_row(
            run.settings.method if name == "run" else name,
            f"{run.final_test_accuracy:.2%}",
            f"{run.final('test_accuracy', run.evaluated_worker):.2%}" if both else "",
            f"{run.images_per_second:,.0f}",
            f"{communication_fraction(run):.1%}",
            f"{run.exchanges:,}",
            f"{run.seconds:.1f}",
        )
    console = new_console()
    console.print(table)
    first = next(iter(runs.values())).environment
    if first.get("oversubscribed"):
        console.print("more threads than cores: these speeds are not those of a free machine")
    if "real_seconds" in first:
        real = f"{first['real_seconds']:.0f} real ones in this process"
        console.print(f"seconds and images/s are virtual, a core for each worker; it took {real}")
    for run in runs.values():
        for loss in run.workers_lost:
            console.print(_loss(loss))
        for step in run.environment.get("resumed", []):
            console.print(f"resumed at step {step}")
        if failure := run.environment.get("checkpoint"):
            console.print(failure)
    console.print(f"data: {first['data']} ({first['data_from']})")


def _loss(loss: dict) -> str:
    """One worker that was lost, in words."""
    who = "the server" if loss["worker"] < 0 else f"worker {loss['worker']}"
    when = f"after {loss['seconds']:.1f} s"
    if loss["worker"] >= 0:
        when = f"at step {loss['step']}, {when}"
    return f"{who} {loss['why']} {when}: the others went on, β and p as set"
