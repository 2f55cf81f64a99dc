"""The command line: `easgd`, or `python -m easgd_lib`. Errors are one line, status 2.

A command imports what it uses when it is called: `easgd --help` needs neither torch nor MPI.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from easgd_lib.errors import EasgdError, SettingsError
from easgd_lib.learning.sources import DATASETS, SAMPLE
from easgd_lib.method import settings as choices
from easgd_lib.method.algorithms import METHODS, VARIANTS, method_named, worker_too
from easgd_lib.method.center import CENTERS, ORDERS, kind_of
from easgd_lib.method.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def app():
    """Elastic Averaging SGD on MPI engines: check, train, reproduce, draw."""


@app.command()
@click.option("--clear", is_flag=True, help="End engines and remove files that nobody owns now.")
def doctor(clear: bool):
    """Check MPI, mpiexec, ranks, cores, memory and data; say what is wrong and how to fix it."""
    from rich.table import Table

    from easgd_lib.machine.doctor import examine
    from easgd_lib.parallel import watchdog

    if clear:
        for cluster_id, left in watchdog.leftovers().items():
            watchdog.clear(cluster_id)
            click.echo(f"{cluster_id}: {len(left)} processes ended, its files removed")
    checks = examine()
    table = Table("", "check", "found", "how to fix it", box=None, pad_edge=False)
    for check in checks:
        table.add_row("!!" if check.fix else "ok", check.name, check.found, check.fix)
    _console().print(table)
    wrong = [check.name for check in checks if check.fix]
    if wrong:
        raise SettingsError(f"{len(wrong)} to fix: {', '.join(wrong)}")
    click.echo("All is well.")


def _option(name: str, kind, help: str, **more):
    """An option whose default, where there is one, is that of `Settings`."""
    default = getattr(Settings, name.strip("-").replace("-", "_"), None)
    if default is not None:
        more |= {"default": default, "show_default": True}
    kind = click.Choice(kind) if isinstance(kind, tuple) else kind
    return click.option(name, type=kind, help=help, **more)


class Name(click.ParamType):
    """A name in a table, or a user's own "module:attribute", as `Settings` takes them."""

    name = "module:attribute"

    def __init__(self, table: Mapping[str, Any]):
        self.table = table

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join([*self.table, self.name])}]"


@app.command()
@_option("--method", Name(METHODS), "Update rule.", required=True)
@click.option(
    "--workers", type=int, help="p.  [1 for sequential methods, else 2; all of mpiexec's]"
)
@_option("--tau", int, "τ, local steps between exchanges.  [10]")
@_option("--eta", float, "η, learning rate.")
@_option("--alpha", float, "α, moving rate of one exchange. Give one of α, β, ρ.")
@_option("--beta", float, "β: α = β/p, or as --beta-per says.  [0.9]")
@_option("--rho", float, "ρ = α/η.")
@_option("--beta-per", choices.BETA_PER, "exchange: α = β/p. step: α = β/(pτ).  [exchange]")
@_option("--variant", tuple(VARIANTS), "Update order of an exchange.  [jacobi: the paper's]")
@_option("--delta", float, "δ, Nesterov momentum.  [0.9]")
@_option("--average-rate", float, "a, of the moving averages mvasgd, mvadownpour.  [0.001]")
@_option("--gamma", float, "γ, decay η/(1 + γt)^½.")
@_option("--batch-size", int, "Images per gradient.")
@_option("--data", Name(DATASETS), "Images.  [mnist if found, else sample]")
@_option("--center", Name(CENTERS), "Where the center lives.")
@_option("--objective", Name({}), "What is minimized.  [the images' classification]")
@_option("--order", ORDERS, "Order of exchanges.  [asynchronous; allreduce: synchronous]")
@_option("--seconds", float, "Train so long,")
@_option("--steps", int, "or so many steps of each worker,")
@_option("--epochs", float, "or so many epochs.  [1]")
@_option("--seed", int, "Fixes start and batches.")
@_option("--precision", choices.PRECISIONS, "Of the arithmetic.")
@_option("--threads", int, "Per worker.  [the cores shared out]")
@_option("--snapshots", int, "Points on the center's curve.  [12, but ten steps apart]")
@_option("--if-worker-dies", choices.IF_WORKER_DIES, "Go on without it (α stays), or stop.")
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
    easgd train --method easgd --workers 16 --simulate     16 workers, whatever the machine
    easgd train --method easgd --checkpoint runs/a --resume     go on where that run stands
    """  # noqa: D301 (click wants the \b itself)
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


def _workers(method: str, center: str, asked: int | None) -> int:
    """p: as asked; under mpiexec as many as the world has, which what is asked must match."""
    from easgd_lib.parallel import mpiexec

    if (size := mpiexec.launched_size()) is None:
        return asked if asked is not None else 1 + bool(method_named(method).exchange)
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


@app.command()
@click.option("--full", is_flag=True, help="The committed size: full data sets, three seeds.")
@click.option("--complete", is_flag=True, help="The committed size, and larger grids.")
@click.option(
    "--minutes", default=100.0, show_default=True, help="Choose lengths and seeds to end in time."
)
@click.option("--only", "names", multiple=True, help="This experiment alone; may be repeated.")
def reproduce(full: bool, complete: bool, minutes: float, names: tuple[str, ...]):
    """Run the papers' experiments, draw their figures, judge their claims.

    Quick (the default) takes less than ten minutes on two cores and writes to figures/quick/ and
    data/runs/quick/. With --full about a hundred; finished runs are not repeated, so it may be
    interrupted and called again, and on a fresh clone, which has all records, nothing is run:
    `rm -r data/runs` first to begin anew.
    """
    from easgd_lib.reproduction import reproduce

    reproduce.run(full=full, complete=complete, minutes=minutes, names=names)


@app.command()
def draw():
    """Redraw every figure and judge every claim, from stored records or theory. Trains nothing."""
    from easgd_lib.reproduction import redraw

    redraw.everything()


@app.group(invoke_without_command=True)
@click.option("--pairs", default=7, show_default=True, help="Interleaved pairs of each case.")
@click.option("--seconds", default=5.0, show_default=True, help="Of training, each run.")
@click.pass_context
def benchmark(context: click.Context, pairs: int, seconds: float):
    """Measure what exchanging costs, against two workers that never exchange."""
    if context.invoked_subcommand:
        return
    from tqdm import tqdm

    from easgd_lib.machine import benchmark
    from easgd_lib.parallel.engines import cluster

    runs = len(benchmark.CASES) * pairs
    with cluster(2, center="server") as engines:
        measured = benchmark.pairs(engines.train, pairs, seconds)
        results = benchmark.costs(list(tqdm(measured, total=runs, disable=None)))
    table = _table("center", "images/s, relative", "range", "exchanging")
    for cost in results:
        spread = f"{cost.pairs[0]:.2f} to {cost.pairs[-1]:.2f}"
        table.add_row(cost.case, f"{cost.speed:.3f}", spread, f"{cost.communication:.2%}")
    _console().print(table)


@benchmark.command()
@click.option("--rounds", default=7, show_default=True, help="Every case once in each.")
@click.option("--steps", default=150, show_default=True, help="Of each worker, each run.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("peers.json"), show_default=True
)
def peers(rounds: int, steps: int, out: Path):
    """Two workers trained by us and by others: DDP, PostLocalSGD, accelerate, the KTH program.

    Twenty minutes on two cores. The record that comes with the clone is data/peers.json.
    """
    from tqdm import tqdm

    from easgd_lib.learning.records import write_atomically
    from easgd_lib.machine import calibrate, peers
    from easgd_lib.parallel.engines import cluster
    from easgd_lib.paths import make_writable

    make_writable(out.parent)
    cases = len(peers.OURS) + sum(not peers.missing(case) for case in peers.THEIRS)
    with cluster(peers.WORKERS, center="server") as engines:
        runs = peers.measure(engines, rounds, steps)
        measured = list(tqdm(runs, total=rounds * cases, disable=None))
        messages = peers.messages(engines)
    rows = peers.rows(measured)
    record = peers.record(rows, messages, rounds, steps, calibrate.environment())
    write_atomically(out, json.dumps(record, indent=1).encode())
    table = _table("two workers", "images/s", "relative", "range", "exchanging")
    for row in rows:
        if row.missing:
            table.add_row(row.case, f"{row.missing} is not installed")
            continue
        share = "" if row.exchanging is None else f"{row.exchanging:.2%}"
        numbers = f"{row.images_per_second:,.0f}", f"{row.relative:.3f}"
        table.add_row(row.case, *numbers, f"{row.least:.3f} to {row.most:.3f}", share)
    _console().print(table)
    table = _table("the network's vector", "ms")
    for name, took in messages.items():
        table.add_row(name, f"{1000 * took:.2f}")
    _console().print(table)
    click.echo(f"record: {out}")


@benchmark.command("time-to-accuracy")
@click.option("--target", default=0.95, show_default=True, help="Test accuracy to reach.")
@click.option("--seconds", default=8.0, show_default=True, help="Of training, each run.")
@click.option("--seeds", default=5, show_default=True)
@_option("--data", Name(DATASETS), "Images.  [mnist if found, else sample]")
def time_to_accuracy(target: float, seconds: float, seeds: int, data: str | None):
    """EAMSGD with two workers against MSGD with all cores: who reaches an accuracy first?

    The learning rates of both are chosen first, on training loss. Five minutes on two cores.
    """
    from tqdm import tqdm

    from easgd_lib.machine import race
    from easgd_lib.parallel.engines import cluster

    base = {"data": data, "seconds": seconds}
    trials = len(race.RACERS) * len(race.RATES)
    with cluster(2) as engines:
        tuning = race.tune(engines.train, base)
        tried = list(tqdm(tuning, total=trials, desc="rates", disable=None))
        racing = race.race(engines.train, base, tried, seeds, target)
        raced = list(tqdm(racing, total=2 * seeds, desc="race", disable=None))
    results, faster = race.results(tried, raced)
    table = _table("", "η", f"seconds to {target:.1%}, by seed")
    for result in results:
        spent = "  ".join(f"{each:.2f}" for each in result.seconds)
        table.add_row(result.racer, f"{result.eta:g}", spent)
    _console().print(table)
    names = [result.racer for result in results]
    verdict = "undecided" if not faster else f"faster: {names[0] if faster > 0 else names[1]}"
    click.echo(f"{verdict} (95 % interval of the difference of means)")


def _table(*headings: str):
    from rich.table import Table

    return Table(*headings, box=None, pad_edge=False)


@app.command()
@click.option("--seeds", default=3, show_default=True, help="Of every check.")
@click.option("--steps", default=400, show_default=True, help="Of each worker, every check.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("time-model.json"), show_default=True
)
def calibrate(seeds: int, steps: int, out: Path):
    """Time steps and exchanges here, and check what the virtual clock predicts from them.

    Seven minutes on two cores. The model that comes with the clone is data/time-model.json.
    """
    from rich.table import Table
    from tqdm import tqdm

    from easgd_lib.learning.records import write_atomically
    from easgd_lib.machine import calibrate
    from easgd_lib.parallel.engines import cluster

    with cluster(calibrate.WORKERS, center="server") as engines:
        model = calibrate.measure(engines)
        checks = calibrate.checks(engines, model, seeds, steps)
        checked = list(tqdm(checks, total=len(calibrate.CASES), disable=None))
    record = calibrate.record(model, checked, calibrate.environment())
    write_atomically(out, json.dumps(record, indent=1).encode())
    table = Table("two workers", "images/s, MPI", "predicted", "ratio", "center, MPI", "predicted")
    table.box, table.pad_edge = None, False
    for c in checked:
        accuracies = [f"{sum(a) / len(a):.2%}" for a in (c.real_accuracy, c.predicted_accuracy)]
        speeds = f"{c.real:,.0f}", f"{c.predicted:,.0f}", f"{c.ratio:.3f}"
        table.add_row(c.case, *speeds, *accuracies)
    _console().print(table)
    click.echo(f"time model: {out}")


DOWNLOADABLE = [name for name, source in DATASETS.items() if source.folder]


@app.command()
@click.argument("names", nargs=-1, type=click.Choice(DOWNLOADABLE))
def data(names: tuple[str, ...]):
    """Download full data sets into data/ with torchvision: its mirrors, its checksums.

    Without names MNIST and Fashion-MNIST; cifar10 takes 170 MB.
    """
    from easgd_lib.learning import data_files

    for name in names or [name for name, source in DATASETS.items() if source.make_data]:
        data_files.download(name)
        click.echo(f"{name}: whole, in data/{DATASETS[name].folder}")


def _console():
    from rich.console import Console

    return Console(highlight=False)


def _print_runs(runs: dict):
    """One row a run: what one wants to know first."""
    from rich.table import Table

    from easgd_lib.metrics import communication_fraction

    headings = ("center", "worker 0", "images/s", "exchanging", "exchanges", "seconds")
    table = Table("test accuracy of", box=None, pad_edge=False)
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
    console = _console()
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


def main() -> None:
    """Entry point: whatever is wrong reaches the user as one line on stderr, status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no τ shows a ?
    warnings.showwarning = _say
    sys.path.append(os.getcwd())  # where a user's own modules lie; `python -m` looks there too
    try:
        app(standalone_mode=False)
        status = 0
    except click.exceptions.Abort:
        status = 130
    except KeyboardInterrupt:
        print("easgd: interrupted", file=sys.stderr)
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = 2
    except click.ClickException as error:
        status = _complain(error.format_message())
    except EasgdError as error:
        status = _complain(str(error))
    if "easgd_lib.parallel.world" in sys.modules:
        from easgd_lib.parallel.world import leave

        leave(status)
    sys.exit(status)


def _say(message, category, filename, lineno, file=None, line=None):
    """A warning, on one line."""
    print(f"easgd: note: {' '.join(str(message).split())}", file=sys.stderr)


def _complain(message: str) -> int:
    print(f"easgd: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
