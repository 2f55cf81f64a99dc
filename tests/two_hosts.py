"""Two hosts joined by a slow link: how much of a worker's time each center takes, and the model.

    python tests/two_hosts.py data/two-hosts.json

The hosts are network namespaces of this computer (root only), with two workers each and the server
on the first; `slow_link.py` is the link. Real MPI over TCP, real training on the sample. Beside
each case stands what the virtual clock predicts from the step and the exchanges measured here.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click

from easgd_lib import Run, Settings, simulate
from easgd_lib.learning import models
from easgd_lib.machine.calibrate import SMALL, WHOLE, environment
from easgd_lib.parallel import mpiexec
from easgd_lib.simulation.clock import TimeModel

LINKS = {"1 Gbit/s, 1 ms": (1e9, 1e-3), "100 Mbit/s, 10 ms": (1e8, 1e-2)}
WORKERS, NEAR, SECONDS = 4, 2, 5.0
HOSTS = ("first-host", "second-host")
KINDS = {
    "server": {"center": "server"},
    "background": {"center": "server", "variant": "background"},
    "tree": {"center": "tree", "nodes": 2},
}
TAUS = (1, 10, 64)
ROUNDS = 40  # timed exchanges over the link
NEVER = 10**6  # a period that no run reaches
# One exchange right after another: then the wire is what they take, and nothing is hidden in it.
LINK = """
import json, sys, time, torch
from easgd_lib import Settings
from easgd_lib.method.algorithms import protocol_of
from easgd_lib.parallel import centers
from easgd_lib.parallel.world import World
settings = Settings("easgd", workers=1, center="server")
there = settings.kind, World.of(2), torch.zeros(int(sys.argv[1])), protocol_of(settings)
if there[1].rank == 0:
    centers.serve(*there)
else:
    center = centers.connect(*there)
    rounds = 5 + int(sys.argv[2])
    for t in range(rounds):
        began = time.perf_counter() if t == 5 else began if t > 5 else 0
        center.push(0.4 * (there[2] - center.pull()))
    print(json.dumps((time.perf_counter() - began) / (rounds - 5)))
    center.close()
"""


def settings_of(kind: str, tau: int) -> Settings:
    own = KINDS[kind] | ({"tau": 1, "tau_root": tau} if kind == "tree" else {"tau": tau})
    return Settings(
        "easgd", workers=WORKERS, data="sample", seconds=SECONDS, threads=1, snapshots=1, **own
    )


def options_of(settings: Settings) -> list[str]:
    names = ["workers", "data", "center", "tau", "seconds", "threads", "snapshots", "variant"]
    names += ["nodes", "tau_root"] if settings.nodes else []
    return [
        word
        for name in names
        for word in (f"--{name.replace('_', '-')}", str(getattr(settings, name)))
    ]


class Hosts:
    """Two namespaces, the link between them, and mpiexec across."""

    def __init__(self, folder: Path, spaces: list[str]):
        names = folder / "names"
        lines = [f"10.9.0.{k} {name}" for k, name in enumerate(HOSTS, 1)]
        names.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")
        self.agent = folder / "agent"  # in the place of ssh
        self.agent.write_text(
            f"#!/bin/bash\nhost=$1; shift\n"
            f"[ $host = {HOSTS[0]} ] && space={spaces[0]} || space={spaces[1]}\n"
            f"exec ip netns exec $space unshare -um bash -c 'hostname $0; "
            f'mount --bind {names} /etc/hosts; exec bash -c "$*"\' $host "$@"\n'
        )
        self.agent.chmod(0o755)

    def run(self, slots: tuple[int, int], *program: str) -> str:
        """What the ranks of this program print."""
        where = ",".join(f"{host}:{n}" for host, n in zip(HOSTS, slots, strict=True))
        words = [mpiexec.find(), "--host", where, "--map-by", "slot", "--bind-to", "none"]
        words += ["-n", str(sum(slots)), "-x", "PATH", sys.executable, *program]
        env = os.environ | {
            "PRTE_MCA_plm_ssh_agent": str(self.agent),
            "OMPI_MCA_btl_tcp_if_include": "slow", "PRTE_MCA_prte_if_include": "slow",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }  # fmt: skip
        words = [str(self.agent), HOSTS[0], *map(quoted, words)]
        ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=180)
        if ran.returncode:
            raise click.ClickException(ran.stderr[-2000:])
        return ran.stdout


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


@contextmanager
def two_hosts(rate: float, delay: float) -> Iterator[Hosts]:
    spaces = [f"easgd-{os.getpid()}-{k}" for k in (1, 2)]
    wire = Path(__file__).with_name("slow_link.py")
    with tempfile.TemporaryDirectory() as folder:
        link = None
        try:
            for space in spaces:
                subprocess.run(["ip", "netns", "add", space], check=True)
                subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
            words = [sys.executable, str(wire), *spaces, "--rate", str(rate), "--delay", str(delay)]
            link = subprocess.Popen(words)
            time.sleep(1)
            yield Hosts(Path(folder), spaces)
        finally:
            if link:
                link.terminate()
                link.wait()
            for space in spaces:
                subprocess.run(["ip", "netns", "del", space], check=False)


def train(hosts: Hosts, settings: Settings) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.json"
        program = ["-m", "easgd_lib", "train", "--method", "easgd", *options_of(settings)]
        hosts.run((1 + NEAR, WORKERS - NEAR), *program, "--out", str(out))
        return Run.load(out)


def message(hosts: Hosts) -> dict[str, float]:
    """Latency and bandwidth of one request of an exchange with a server on the other host."""
    times = {}
    for size in (SMALL, WHOLE):
        found = json.loads(hosts.run((1, 1), "-c", LINK, str(size), str(ROUNDS)))
        times[size] = found / 2
    bandwidth = 4 * (WHOLE - SMALL) / (times[WHOLE] - times[SMALL])
    return {"latency": times[SMALL], "bandwidth": bandwidth}


def model(kind: str, step: float, link: dict[str, float]) -> TimeModel:
    """Workers on the server's host: their messages take no time. Of a tree one node is there."""
    here = TimeModel.calibrated("tree" if kind == "tree" else "server").but(
        step=step, per_image=0.0, data_per_image=0.0
    )
    if kind == "tree":
        root = {f"root_{name}": value for name, value in link.items()}
        return here.but(near=1, **root)
    return here.but(near=NEAR, **link)


def measure(link: str, repeats: int) -> dict:
    cases = [(kind, tau) for kind in KINDS for tau in TAUS]
    found: dict = {case: [] for case in cases}
    steps = []
    with two_hosts(*LINKS[link]) as hosts:
        calibrated = message(hosts)
        for repeat in range(repeats):
            alone = train(hosts, settings_of("server", NEVER))
            split = alone.time_split
            seconds = split["compute"] + split["data"]
            steps.append(seconds / (alone.images_per_second * alone.seconds / 64))
            for case in cases if repeat % 2 == 0 else reversed(cases):
                run = train(hosts, settings_of(*case))
                share = run.time_split["communication"] / sum(run.time_split.values())
                found[case].append([run.images_per_second, share])
                print(link, *case, f"{run.images_per_second:.0f} images/s, {share:.1%}", flush=True)
    rows = []
    for (kind, tau), runs in found.items():
        times = model(kind, median(steps), calibrated)
        predicted = simulate.predict(settings_of(kind, tau), times, seconds=30.0)
        rows.append({"kind": kind, "tau": tau, "runs": runs, "predicted": list(predicted)})
    return {"link": link, "message": calibrated, "steps": steps, "rows": rows}


def table(record: dict) -> str:
    """Share of a worker's time and images/s, measured (median) and predicted: Markdown."""
    heads = [f"τ = {tau}" for tau in TAUS]
    lines = [f"| p = 4 (2 + 2) | {' | '.join(heads)} |", "|---" * (1 + len(TAUS)) + "|"]
    for link in record["links"]:
        lines.append(f"| **{link['link']}** |" + " |" * len(TAUS))
        for kind in KINDS:
            cells = []
            for row in (row for row in link["rows"] if row["kind"] == kind):
                speed, share = (median(each) for each in zip(*row["runs"], strict=True))
                speed_said, share_said = row["predicted"]
                cells.append(f"{share:.1%} ({share_said:.1%}), {speed:,.0f} ({speed_said:,.0f})")
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--repeats", default=3, show_default=True)
@click.option("--link", type=click.Choice(list(LINKS)), multiple=True, default=list(LINKS))
def main(out: Path, repeats: int, link: tuple[str, ...]):
    """Measure every case of each link, interleaved, and write OUT."""
    assert models.CONVNET_PARAMETERS == WHOLE
    record = {"links": [measure(each, repeats) for each in link], "environment": environment()}
    out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
