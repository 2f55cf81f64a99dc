"""Long trials that no test run has the time for: `make soak`.

    python tests/soak.py signals --times 100     a signal at a random moment of a cluster's life
    python tests/soak.py training --minutes 30   workers killed, stopped, slowed, rejoining

Each prints a row as it goes and writes its summary to tests/soak-<name>.json.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import click
import psutil

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
WORDS = {"controller": "ipyparallel.controller", "mpiexec": "mpiexec", "engine": "parallel.engine"}
ENDS_WITHIN = 10.0  # seconds from the client's end, or its signal, until nothing is left
LIFETIME = 25.0  # seconds in which the signal comes; a client lives about so long
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
    return {str(path) for path in [*found, *profile.glob("[lps]*/*ipc*")]}


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
            words = process.cmdline()
            if any(WORDS[who] in word for word in words[:4]) and "watchdog" not in words[1]:
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
        "left": left if seconds <= ENDS_WITHIN else ["late", *last],
    }  # fmt: skip


def what_is_left(client: subprocess.Popen, before: set[str]) -> list[str]:
    """Processes and files that were not there before."""
    client.poll()
    left = [" ".join(process.cmdline()[:4]) for process in living(ours())]
    return left + sorted(files() - before)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there when asked for their words."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            process.cmdline()
            found.append(process)
    return found


if __name__ == "__main__":
    soak()
