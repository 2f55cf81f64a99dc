"""`easgd doctor`, `benchmark` and `calibrate`: what this machine can do."""

import json
from pathlib import Path

import click

from easgd_lib.commands.options import Name, new_console, new_table, option
from easgd_lib.errors import SettingsError
from easgd_lib.learning.sources import DATASETS
from easgd_lib.values import number


@click.command()
@click.option("--clear", is_flag=True, help="End engines and remove files that nobody owns now.")
def doctor(clear: bool):
    """Check MPI, mpiexec, ranks, cores, memory and data; say what is wrong and how to fix it."""
    from easgd_lib.machine.doctor import examine
    from easgd_lib.parallel import watchdog

    if clear:
        for cluster_id, left in watchdog.leftovers().items():
            watchdog.clear(cluster_id)
            click.echo(f"{cluster_id}: {len(left)} processes ended, its files removed")
    checks = examine()
    table = new_table("", "check", "found", "how to fix it")
    for check in checks:
        table.add_row("!!" if check.fix else "ok", check.name, check.found, check.fix)
    new_console().print(table)
    wrong = [check.name for check in checks if check.fix]
    if wrong:
        raise SettingsError(f"{len(wrong)} to fix: {', '.join(wrong)}")
    click.echo("All is well.")


@click.group(invoke_without_command=True)
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
    table = new_table("center", "images/s, relative", "range", "exchanging")
    for cost in results:
        spread = f"{cost.pairs[0]:.2f} to {cost.pairs[-1]:.2f}"
        table.add_row(cost.case, f"{cost.speed:.3f}", spread, f"{cost.communication:.2%}")
    new_console().print(table)


@benchmark.command()
@click.option("--rounds", default=7, show_default=True, help="Every case once in each.")
@click.option("--steps", default=150, show_default=True, help="Of each worker, each run.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("peers.json"), show_default=True
)
def peers(rounds: int, steps: int, out: Path):
    """Two workers trained by us and by others: DDP, PostLocalSGD, accelerate, the KTH program.

    Seven minutes on two cores. The record that comes with the clone is data/peers.json.
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
    table = new_table("two workers", "images/s", "relative", "range", "exchanging")
    for row in rows:
        if row.missing:
            table.add_row(row.case, f"{row.missing} is not installed")
            continue
        share = "" if row.exchanging is None else f"{row.exchanging:.2%}"
        numbers = f"{row.images_per_second:,.0f}", f"{row.relative:.3f}"
        table.add_row(row.case, *numbers, f"{row.least:.3f} to {row.most:.3f}", share)
    new_console().print(table)
    table = new_table("the network's vector", "ms")
    for name, took in messages.items():
        table.add_row(name, f"{1000 * took:.2f}")
    new_console().print(table)
    click.echo(f"record: {out}")


@benchmark.command()
@click.option("--workers", default=1024, show_default=True)
@click.option("--hosts", default=64, show_default=True, help="Computers.")
@click.option("--gbit", type=float, help="Of the network between them, Gbit/s.")
@click.option("--delay", type=float, help="One way, milliseconds.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("scale.json"), show_default=True
)
def scale(workers: int, hosts: int, gbit: float | None, delay: float | None, out: Path):
    """What a tree, a server and an all-reduce would do on many computers, by the time model.

    A plan, nothing is measured: the step is the calibrated one, the network what you say. Without
    --gbit and --delay two networks. The record that comes with the clone is data/scale.json.
    """
    from tqdm import tqdm

    from easgd_lib.learning.records import write_atomically
    from easgd_lib.machine import scale
    from easgd_lib.paths import make_writable

    make_writable(out.parent)
    if (gbit is None) != (delay is None):
        raise SettingsError("give both --gbit and --delay, or neither")
    networks = scale.NETWORKS
    if gbit is not None and delay is not None:
        number("gbit", gbit, 1e-6)
        number("delay", delay, 0)
        networks = {f"{gbit:g} Gbit/s, {delay:g} ms": scale.Network(delay / 1000, gbit * 1e9 / 8)}
    cases = len(networks) * len(scale.KINDS) * len(scale.TAUS)
    plans = scale.plans(workers, hosts, networks)
    made = list(tqdm(plans, total=cases, disable=None))
    record = scale.record(made, workers, hosts, networks)
    write_atomically(out, json.dumps(record, indent=1).encode())
    for name in networks:
        table = new_table(name, *(f"τ = {tau}" for tau in scale.TAUS))
        for kind in scale.KINDS:
            found = [plan for plan in made if (plan.network, plan.kind) == (name, kind)]
            table.add_row(kind, *(f"{plan.relative:.1%}" for plan in found))
        new_console().print(table)
    click.echo(f"of the speed of {workers} workers that never exchange; record: {out}")


@benchmark.command("time-to-accuracy")
@click.option("--target", default=0.95, show_default=True, help="Test accuracy to reach.")
@click.option("--seconds", default=8.0, show_default=True, help="Of training, each run.")
@click.option("--seeds", default=5, show_default=True)
@option("--data", Name(DATASETS), "Images.  [mnist if found, else sample]")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("race.json"), show_default=True
)
def time_to_accuracy(target: float, seconds: float, seeds: int, data: str | None, out: Path):
    """EAMSGD with two workers against MSGD with all cores: who reaches an accuracy first?

    The learning rates of both are chosen first, on training loss. Five minutes on two cores. The
    record that comes with the clone is data/race.json.
    """
    from tqdm import tqdm

    from easgd_lib.learning import data_files
    from easgd_lib.learning.records import write_atomically
    from easgd_lib.machine import calibrate, race
    from easgd_lib.parallel.engines import cluster
    from easgd_lib.paths import make_writable

    make_writable(out.parent)

    base = {"data": data_files.resolve(data), "seconds": seconds}
    trials = len(race.RACERS) * len(race.RATES)
    with cluster(2) as engines:
        tuning = race.tune(engines.train, base)
        tried = list(tqdm(tuning, total=trials, desc="rates", disable=None))
        racing = race.race(engines.train, base, tried, seeds, target)
        raced = list(tqdm(racing, total=2 * seeds, desc="race", disable=None))
    results, faster = race.results(tried, raced)
    table = new_table("", "η", f"seconds to {target:.1%}, by seed")
    for result in results:
        spent = "  ".join(f"{each:.2f}" for each in result.seconds)
        table.add_row(result.racer, f"{result.eta:g}", spent)
    new_console().print(table)
    names = [result.racer for result in results]
    verdict = "undecided" if not faster else f"faster: {names[0] if faster > 0 else names[1]}"
    click.echo(f"{verdict} (95 % interval of the difference of means)")
    record = race.record(results, verdict, target, base, calibrate.environment())
    write_atomically(out, json.dumps(record, indent=1).encode())
    click.echo(f"record: {out}")


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Of every check.")
@click.option("--steps", default=400, show_default=True, help="Of each worker, every check.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("time-model.json"), show_default=True
)
def calibrate(seeds: int, steps: int, out: Path):
    """Time steps and exchanges here, and check what the virtual clock predicts from them.

    Seven minutes on two cores. The model that comes with the clone is data/time-model.json.
    """
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
    table = new_table(
        "two workers", "images/s, MPI", "predicted", "ratio", "center, MPI", "predicted"
    )
    for c in checked:
        accuracies = [f"{sum(a) / len(a):.2%}" for a in (c.real_accuracy, c.predicted_accuracy)]
        speeds = f"{c.real:,.0f}", f"{c.predicted:,.0f}", f"{c.ratio:.3f}"
        table.add_row(c.case, *speeds, *accuracies)
    new_console().print(table)
    click.echo(f"time model: {out}")
