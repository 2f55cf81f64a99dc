"""`easgd reproduce`: say how long it will take, run what is missing, draw, judge."""

import sys
import time
from functools import partial

import click
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from easgd_lib.errors import SettingsError
from easgd_lib.learning import data_files
from easgd_lib.parallel.engines import cluster
from easgd_lib.reproduction import experiments, ledger, redraw
from easgd_lib.reproduction.experiments import Experiment, Size, conduct


def run(*, full: bool, complete: bool, minutes: float, names: tuple[str, ...]):
    """The whole of it, or of some experiments by name."""
    began = time.perf_counter()
    size = experiments.COMPLETE if complete else experiments.FULL if full else experiments.QUICK
    chosen = _chosen(names)
    if missing := conduct.missing(chosen, size):
        for name in {each.settings.data for each in missing}:
            data_files.check(name)
        size = _announced(size, minutes, chosen)
        _train(size, chosen)
    else:
        click.echo("every run is there: nothing to train", err=True)
    redraw.from_records(size)
    _print(size, redraw.judge(size))
    click.echo(f"{(time.perf_counter() - began) / 60:.1f} minutes in all", err=True)


def _chosen(names: tuple[str, ...]) -> tuple[Experiment, ...]:
    known = {experiment.name: experiment for experiment in (*conduct.ALL, *conduct.ON_REQUEST)}
    for name in names:
        if name not in known:
            raise SettingsError(f"no experiment {name!r}", f"choose from {', '.join(known)}")
    chosen = tuple(known[name] for name in names) or conduct.ALL
    tuned = set(chosen) & set(conduct.TUNED)
    return (conduct.TUNING, *chosen) if tuned and conduct.TUNING not in chosen else chosen


def _announced(size: Size, minutes: float, chosen: tuple[Experiment, ...]) -> Size:
    """Say what is missing and how long that takes; make it smaller where it would not fit."""
    speed = conduct.speed()
    fitted = conduct.fitted(size, speed, minutes, chosen)
    missing = conduct.estimate(fitted, speed, chosen)
    click.echo(
        f"{missing.runs} runs are missing: about {missing.minutes:.0f} minutes here, "
        f"{missing.mpi:.0f} on MPI and {missing.virtual:.0f} under the virtual clock "
        f"(seeds: {len(fitted.seeds)}, {fitted.seconds:g} s, {fitted.steps} steps)",
        err=True,
    )
    for experiment in set(chosen) & set(conduct.ON_REQUEST):
        click.echo(f"{experiment.name} is not in this estimate: it takes days", err=True)
    if fitted != size:
        click.echo(f"made smaller to end in {minutes:g} minutes: --minutes gives it more", err=True)
    return fitted


def _train(size: Size, chosen: tuple[Experiment, ...]):
    def those(group: tuple[Experiment, ...]) -> tuple[Experiment, ...]:
        return tuple(experiment for experiment in group if experiment in chosen)

    on_mpi = those((*conduct.ON_MPI, *conduct.ON_REQUEST))
    if conduct.missing(on_mpi, size):
        with cluster(2, center="server") as engines:
            _watch("on MPI", size, on_mpi, partial(conduct.on_mpi, train=engines.train))
    _watch("tuning", size, those((conduct.TUNING,)), conduct.simulated)
    _watch("simulated", size, those(conduct.SIMULATED), conduct.simulated)


def _watch(title: str, size: Size, group: tuple[Experiment, ...], conducted):
    """What is asked, then a bar in a terminal; elsewhere a line a run."""
    missing = conduct.missing(group, size)
    for experiment in dict.fromkeys(each.experiment for each in missing):
        click.echo(f"{experiment.name}: {experiment.question}", err=True)
    runs = conducted(size=size, experiments=group)
    with tqdm(runs, total=len(missing), desc=title, disable=None) as bar:
        for planned, run in bar:
            name = f"{planned.experiment.name}/{planned.name}"
            end = f"diverged: {run.diverged}" if run.diverged else f"{run.final_test_accuracy:.2%}"
            tqdm.write(f"{name}: {end}", file=sys.stderr)


def _print(size: Size, judged: list[dict]):
    """Every claim and its verdict."""
    table = Table("claim", "verdict", box=None, pad_edge=False)
    for claim in judged:
        table.add_row(claim["id"], claim["verdict"])
    Console(highlight=False).print(table)
    click.echo(f"{ledger.summary(judged)}; with numbers and reasons in {ledger.file(size)}")
