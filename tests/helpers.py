"""What the tests share: ranks and commands as a user starts them, leftovers, made-up records."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pandas as pd
import psutil
import pytest

from easgd_lib import Run, Settings
from easgd_lib.learning.records import CENTER, COLUMNS
from easgd_lib.parallel import mpiexec

CLUSTER_WORDS = (
    "ipyparallel.controller",
    "ipyparallel.engine",
    "parallel.engine",
    "ipcluster",
    "mpiexec",
    "prterun",
)


def cluster_processes() -> dict[int, str]:
    """Every controller, engine or mpiexec of this user that is alive now."""
    found = {}
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and any(word in words for word in CLUSTER_WORDS):
            found[process.info["pid"]] = words
    return found


@contextmanager
def leaving_nothing():
    """Fails if a controller, an engine or an mpiexec is left that was not there before."""
    before = set(cluster_processes())
    yield
    deadline = time.monotonic() + 15
    while left := {p: w for p, w in cluster_processes().items() if p not in before}:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.3)


def start_ranks(n: int, *arguments: str, output=subprocess.PIPE, **environment: str):
    """`mpiexec -n N python …`, as a user would, from this very environment."""
    command = mpiexec.find()
    assert command, "the tests need an mpiexec"
    words = [command, "-n", str(n), *mpiexec.arguments(command), sys.executable, *arguments]
    environment = dict(os.environ) | mpiexec.ENVIRONMENT | environment
    return subprocess.Popen(words, env=environment, stdout=output, stderr=output, text=True)


def run_ranks(n: int, *arguments: str, timeout: float = 120, **environment: str):
    """Started, and waited for."""
    ran = start_ranks(n, *arguments, **environment)
    try:
        out, err = ran.communicate(timeout=timeout)
    except BaseException:
        for process in psutil.Process(ran.pid).children(recursive=True):
            process.kill()  # a rank that is left would eat a core
        ran.kill()
        raise
    return subprocess.CompletedProcess(ran.args, ran.returncode, out, err)


def easgd(*arguments: str, timeout: float = 120, **environment: str):
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "easgd_lib", *arguments],
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


def assert_one_line(ran, *words: str):
    """Status 2, and one line on stderr that contains these words."""
    lines = [line for line in ran.stderr.splitlines() if line.startswith("easgd: ")]
    assert ran.returncode == 2, ran.stderr
    assert len(lines) == 1, ran.stderr
    for word in words:
        assert word in lines[0], lines[0]
    assert "Traceback" not in ran.stderr


PANELS = ("train_accuracy", "test_accuracy", "train_loss")


def made_up(
    settings: Settings, accuracies=(0.1, 0.6, 0.9), speed: float = 1000.0, exchanging: float = 0.1
) -> Run:
    """A run that never was, a snapshot a second: a reader of records must not care."""
    rows = [
        (float(t), t, 200 * t, worker, metric, 1 - value if metric == "train_loss" else value)
        for worker in (CENTER, 0)
        for metric in PANELS
        for t, value in enumerate(accuracies)
    ]
    seconds = len(accuracies) - 1.0
    split = {"compute": 0.9 - exchanging, "data": 0.1, "communication": exchanging}
    where = {"data": f"{settings.data}, made up", "threads_per_worker": 1, "cores": 2}
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Run(settings, accuracies[-1], speed, seconds, split, 10, table, where)
