"""Find `mpiexec` and tell it what it must know; MPI itself starts in `world.py` alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LAUNCHER_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")

# Environment for Open MPI 5 on few cores and in containers: root is allowed, more ranks
# than cores are allowed, a rank that waits inside MPI yields, no ssh is looked for.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_plm_ssh_agent": "false",
    "PRTE_MCA_plm_ssh_agent": "false",
    "OMP_NUM_THREADS": "1",
}
OPEN_MPI_ARGUMENTS = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", "--with-ft", "ulfm"]


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


def arguments(command: str) -> list[str]:
    """The arguments that this mpiexec needs; none, if it is not Open MPI's."""
    shown = version(command)
    ours = any(name in shown for name in ("Open MPI", "OpenRTE", "PRRTE", "prte"))
    return OPEN_MPI_ARGUMENTS if ours else []


def launched_size() -> int | None:
    """How many ranks the launcher says it started; None outside mpiexec."""
    sizes = [os.environ[name] for name in LAUNCHER_SIZES if name in os.environ]
    return int(sizes[0]) if sizes else None


def shared_memory_folder() -> str | None:
    """Where Open MPI keeps shared-memory windows; None where it is not a folder to look at."""
    folder = os.environ.get("OMPI_MCA_osc_sm_backing_directory", "/dev/shm")
    return folder if os.path.isdir(folder) else None


def library_version() -> str:
    """The MPI library that mpi4py is bound to, in one line."""
    from mpi4py import MPI  # starts MPI: not when this file is imported

    return MPI.Get_library_version().splitlines()[0].split(", package")[0].strip("\x00 ")
