"""Long trials that no test run has the time for: `make soak`.

    python tests/soak.py signals --times 100     a signal at a random moment of a cluster's life
    python tests/soak.py training --minutes 30   workers killed, stopped, slowed, rejoining

Each prints a row as it goes and writes its summary to tests/soak-<name>.json.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Thread

import click
import numpy as np
import psutil

import easgd_lib
from easgd_lib import Settings
from easgd_lib.errors import MPIError
from easgd_lib.learning import checkpoint, saver
from easgd_lib.resources import cores

HERE = Path(__file__).parent
CLIENT = textwrap.dedent("""
    import signal
    import easgd_lib
    from easgd_lib import Settings
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    print("begins", flush=True)
    with easgd_lib.cluster(2) as engines:
        print("started", flush=True)
        settings = Settings("easgd", workers=2, data="sample", steps=150, snapshots=2, threads=1)
        engines.train(settings)
        print("trained", flush=True)
    print("stopped", flush=True)
""")
SIGNALS = {
    "client": (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL),
    "controller": (signal.SIGKILL,),
    "mpiexec": (signal.SIGKILL,),
    "engine": (signal.SIGKILL,),
}
WORDS = {
    "controller": "ipyparallel.controller",
    "mpiexec": "prterun",  # what it becomes
    "engine": "easgd_lib.parallel.engine",
}
ENDS_WITHIN = 10.0  # seconds from the client's end, or its signal, until nothing is left
LEARNED = 0.85  # test accuracy of the center after the shortest round
LIFETIME = 9.0  # seconds in which the signal comes; a client lives about so long
OURS = "EASGD_SOAK"  # in the environment of everything that a trial starts


@click.group()
def soak():
    """Trials of half an hour and more."""
    root = tempfile.mkdtemp(prefix="soak-")
    os.environ |= {OURS: root, "TMPDIR": f"{root}/tmp", "IPYTHONDIR": f"{root}/ipython"}
    os.mkdir(f"{root}/tmp")
    tempfile.tempdir = None  # ask for it again


def files() -> set[str]:
    """What lies where a cluster keeps files."""
    profile = Path(os.environ["IPYTHONDIR"]) / "profile_default"
    found = [*Path("/dev/shm").glob("*"), *Path(tempfile.gettempdir()).glob("*")]
    found = [path for path in found if not owned(path.name)]
    return {str(path) for path in [*found, *profile.glob("[lps]*/*ipc*")]}


def owned(name: str) -> bool:
    """Whether this is the folder of a cluster whose owner lives."""
    prefix, _, rest = name.partition("-")
    pid = rest.partition("-")[0]
    return prefix == "easgd" and pid.isdigit() and psutil.pid_exists(int(pid))


def ours() -> list[psutil.Process]:
    """Every process with a cluster's mark, and the watchdogs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(OURS) == os.environ[OURS] and process.pid != os.getpid():
                found.append(process)
    return found


def victims(client: subprocess.Popen, who: str) -> list[int]:
    """The processes of this cluster that are such."""
    if who == "client":
        return [client.pid]
    found = []
    for process in ours():
        with suppress(psutil.Error, OSError):
            line = process.cmdline()
            if any(WORDS[who] in word for word in line[:4]) and "watchdog" not in line[1]:
                found.append(process.pid)
    return found


@soak.command()
@click.option("--times", default=100, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "soak-signals.json")
def signals(times: int, seed: int, out: Path):
    """Start a cluster and train; a signal to one process at a random moment; what is left?"""
    rng = random.Random(seed)
    rows = []
    for trial in range(times):
        who = rng.choice(list(SIGNALS))
        row = one_signal(who, rng.choice(SIGNALS[who]), rng.uniform(0.0, LIFETIME), rng)
        rows.append(row)
        click.echo(f"{trial + 1:3d} {json.dumps(row)}")
        summary = {
            "seed": seed,
            "cores": cores(),
            "trials": len(rows),
            "reached": Counter(f"{row['signal']} to {row['to']}" for row in rows if row["sent"]),
            "at": Counter(row["at"] for row in rows if row["sent"]),
            "left": [row for row in rows if row["left"]],
            "slowest_seconds": max(row["seconds"] for row in rows),
        }
        out.write_text(json.dumps(summary, indent=1) + "\n")


EVENTS = ("none", "kill a worker", "stop a worker", "slow a worker", "kill the server", "kill all")
ROUND = {"workers": 3, "data": "sample", "tau": 5, "eta": 0.05, "snapshots": 4, "threads": 1}


@soak.command()
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "soak-training.json")
def training(minutes: float, seed: int, out: Path):
    """Train again and again; workers are killed, stopped, slowed; what died rejoins."""
    rng, before, end = random.Random(seed), files(), time.monotonic() + 60 * minutes
    rows: list[dict] = []
    with easgd_lib.cluster(4) as engines:
        while time.monotonic() < end:
            rows.append(one_round(engines, rng))
            click.echo(f"{len(rows):3d} {json.dumps(rows[-1])}")
    deadline = time.monotonic() + ENDS_WITHIN
    while (left := words(ours())) and time.monotonic() < deadline:
        time.sleep(0.2)
    left += sorted(files() - before)
    accuracies = [row["accuracy"] for row in rows]
    memory = [row["client_mib"] for row in rows]
    summary = {
        "seed": seed,
        "minutes": minutes,
        "cores": cores(),
        "rounds": len(rows),
        "events": Counter(row["event"] for row in rows),
        "centers": Counter(row["center"] for row in rows),
        "resumed": sum(row["resumed"] for row in rows),
        "lost": sum(row["lost"] for row in rows),
        "accuracy_least_and_median": [min(accuracies), sorted(accuracies)[len(rows) // 2]],
        "client_mib_third_round_and_last": [memory[min(2, len(rows) - 1)], memory[-1]],
        "broken": [row for row in rows if row["broken"]],
        "left": left,
    }
    out.write_text(json.dumps(summary, indent=1) + "\n")
    click.echo(out.read_text())


def one_round(engines, rng: random.Random) -> dict:
    """One training with one accident; every invariant that does not hold is in `broken`."""
    center, event = rng.choice(("window", "server", "allreduce")), rng.choice(EVENTS)
    event = "kill a worker" if event == "kill the server" and center != "server" else event
    order = "synchronous" if center == "allreduce" else rng.choice((None, None, "synchronous"))
    event = "kill all" if event == "kill the server" and order else event
    settings = Settings(
        "easgd", **ROUND, steps=rng.randint(150, 300), center=center, order=order,
        seed=rng.randint(0, 10**6),
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    engines.start()
    pids = engines.view.apply_sync(os.getpid)
    accident = Thread(target=happen, args=(event, pids, center, folder, rng.uniform(0, 3), rng))
    accident.start()
    resumed, broken = False, []
    try:
        run = engines.train(settings, checkpoint=folder, every=0.5)
    except MPIError as error:
        if event != "kill all":
            broken.append(str(error))
        run = engines.train(settings, checkpoint=folder, every=0.5, resume=True)
        resumed = True
    accident.join()
    last = max(checkpoint.numbers(folder, checkpoint.CENTER))
    x = saver.read(folder, checkpoint.CENTER, last)["center"][0][0]
    shutil.rmtree(folder)
    lost = [loss for loss in run.workers_lost if loss["why"] == "died"]
    holds = {
        "the center is finite": bool(x.isfinite().all()),
        "every value is finite": bool(np.isfinite(run.table.value).all()),
        "the center has learned": run.final_test_accuracy > LEARNED,
        "nobody else was lost": len(lost) <= event.startswith("kill"),
    }
    return {
        "event": event, "center": center, "order": settings.order, "resumed": resumed,
        "lost": len(lost), "accuracy": round(run.final_test_accuracy, 3),
        "client_mib": psutil.Process().memory_info().rss >> 20,
        "broken": broken + [name for name, fine in holds.items() if not fine],
    }  # fmt: skip


def happen(
    event: str, pids: list[int], center: str, folder: Path, after: float, rng: random.Random
):
    """The accident, some time after the first checkpoint."""
    deadline = time.monotonic() + 120
    while not checkpoint.numbers(folder, checkpoint.CENTER) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after)
    first = int(center == "server")
    worker = pids[rng.choice(range(first, first + 3))]
    with suppress(ProcessLookupError):
        match event:
            case "kill a worker":
                os.kill(worker, signal.SIGKILL)
            case "kill the server":
                os.kill(pids[0], signal.SIGKILL)
            case "kill all":
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            case "stop a worker":
                pause(worker, rng.uniform(5, 60))
            case "slow a worker":
                for _ in range(20):  # a tenth of the time at work
                    pause(worker, 0.9)
                    time.sleep(0.1)


def pause(pid: int, seconds: float):
    """SIGSTOP, and on again."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def one_signal(who: str, how: signal.Signals, after: float, rng: random.Random) -> dict:
    """One trial."""
    before = files()
    with tempfile.TemporaryFile("w+") as said:
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdout=said, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        found = victims(client, who) if client.poll() is None else []
        said.seek(0)
        at = (said.read().split() or ["imports"])[-1]
        if found:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(sorted(found)), how)
        sent = time.monotonic()
        if not (found and who == "client"):
            with suppress(subprocess.TimeoutExpired):
                client.wait(120)
            sent = time.monotonic()
        status = None
        first = what_is_left(client, before)
        last: list[str] = []
        while (left := what_is_left(client, before)) and time.monotonic() - sent < 60:
            last = left
            status = client.poll()
            time.sleep(0.2)
        seconds = time.monotonic() - sent
        if left:
            client.kill()
        status = client.wait()
    return {
        "signal": how.name, "to": who, "after": round(after, 1), "at": at, "sent": bool(found),
        "status": status, "seconds": round(seconds, 1),
        "left": left if seconds <= ENDS_WITHIN else ["late", first, last],
    }  # fmt: skip


def what_is_left(client: subprocess.Popen, before: set[str]) -> list[str]:
    """Processes and files that were not there before."""
    client.poll()
    return words(ours()) + sorted(files() - before)


def words(processes: list[psutil.Process]) -> list[str]:
    """What those that are still there are."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline()[:4]))
    return found


if __name__ == "__main__":
    soak()
