"""Find `mpiexec` and tell it what it must know; MPI itself starts in `world.py` alone."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from easgd_lib.errors import MPIError

LAUNCHER_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
LAUNCHER_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")

# Environment for Open MPI 5 on few cores and in containers: root is allowed, more ranks
# than cores are allowed, a rank that waits inside MPI yields.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
}
# On one computer no ssh is looked for, and ranks neither listen on the network nor look for one:
# to look for libfabric's takes a second.
NO_NETWORK = "^tcp,ofi"
ONE_COMPUTER = {
    "OMPI_MCA_plm_ssh_agent": "false",
    "PRTE_MCA_plm_ssh_agent": "false",
    "OMPI_MCA_btl": NO_NETWORK,
}
FAULT_TOLERANT = ["--with-ft", "ulfm"]
FEW_CORES = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]


def environment(*, one_computer: bool = True) -> dict[str, str]:
    """What ranks want in their environment and the user has not set; the user's own wins."""
    wanted = dict(ENVIRONMENT) | (ONE_COMPUTER if one_computer else {})
    return {name: value for name, value in wanted.items() if name not in os.environ}


def find() -> str | None:
    """The `mpiexec` beside this Python, else the one on PATH."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def version(command: str) -> str:
    """First line of `mpiexec --version`; empty if it cannot be run."""
    try:
        shown = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except OSError:
        return ""
    return (shown.stdout.strip().splitlines() or [""])[0]


@lru_cache
def arguments(command: str) -> list[str]:
    """The arguments that this mpiexec needs, and takes; none, if it is not Open MPI's.

    Fault tolerance is Open MPI's since 5.0, and not every release of its launcher takes the
    option: it is tried once, and left out if refused. `tolerates_faults` tells.
    """
    shown = version(command)
    if not any(name in shown for name in ("Open MPI", "OpenRTE", "PRRTE", "prte")):
        return []
    wanted = [*FEW_CORES, *FAULT_TOLERANT]
    return next((some for some in (wanted, FEW_CORES) if _takes(command, some)), wanted)


def _takes(command: str, arguments: list[str]) -> bool:
    """Whether one process can be started with these."""
    env = dict(os.environ) | environment()
    try:
        # What an mpiexec that is killed leaves goes with the folder.
        with tempfile.TemporaryDirectory(prefix=f"easgd-{os.getpid()}-") as folder:
            ran = subprocess.run(
                [command, *arguments, "-n", "1", sys.executable, "-S", "-c", ""],
                env=env | {"TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0


def tolerates_faults(command: str) -> bool:
    """Whether a run that this mpiexec starts goes on when a rank dies."""
    return FAULT_TOLERANT[0] in arguments(command)


def launched_size() -> int | None:
    """How many ranks the launcher says it started; None outside mpiexec.

    A world of one is no launch: a shell or JupyterLab inside `srun --pty` has one.

    Raises
    ------
    MPIError
        `srun` started several tasks that do not know of one another.
    """
    told = [os.environ[name] for name in LAUNCHER_SIZES if name in os.environ]
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if told:
        size = int(told[0]) if told[0].isdigit() else 1
    elif tasks.isdigit() and int(tasks) > 1:
        if "PMIX_RANK" not in os.environ:  # Slurm has given this task no way to the others
            raise MPIError(
                f"srun started {tasks} tasks, each an MPI world of its own",
                "use `srun --mpi=pmix` if `srun --mpi=list` shows it, or `mpiexec` in `sbatch`",
            )
        size = int(tasks)
    else:
        size = 1
    return size if size > 1 else None


def launched_rank() -> int:
    """Which rank the launcher says this is; 0 outside mpiexec."""
    told = [os.environ[name] for name in LAUNCHER_RANKS if name in os.environ]
    return int(told[0]) if told and told[0].isdigit() else 0


def all_on_one_computer() -> bool:
    """Whether Open MPI's launcher says that all ranks of this world are on this computer."""
    size, here = (os.environ.get(f"OMPI_COMM_WORLD_{part}SIZE") for part in ("", "LOCAL_"))
    return size is not None and size == here


def shared_memory_folder() -> str | None:
    """Where Open MPI keeps shared-memory windows; None where it is not a folder to look at."""
    folder = os.environ.get("OMPI_MCA_osc_sm_backing_directory", "/dev/shm")
    return folder if os.path.isdir(folder) else None


def free_in(folder: str) -> int:
    """Bytes free in this folder's file system."""
    return shutil.disk_usage(folder).free


def library_version() -> str:
    """The MPI library that mpi4py is bound to, in one line."""
    from mpi4py import MPI  # starts MPI: not when this file is imported

    return MPI.Get_library_version().splitlines()[0].split(", package")[0].strip("\x00 ")
