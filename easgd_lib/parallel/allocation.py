"""Which computers a run is given, by a scheduler or a hostfile, and how they reach this one."""

import os
import socket
import subprocess
from functools import lru_cache
from pathlib import Path

from easgd_lib.errors import MPIError

PORT = 9  # that nobody is asked on: only the way there is looked up


def nodes(hostfile: str | None = None) -> list[str]:
    """Names of the computers, this one among them or not; none: this one alone.

    A hostfile's, else those of the Slurm or PBS job in which this process is.

    Raises
    ------
    MPIError
        The hostfile cannot be read, or names none.
    """
    if hostfile:
        return _named_in(Path(hostfile))
    if listed := os.environ.get("SLURM_JOB_NODELIST", os.environ.get("SLURM_NODELIST")):
        return list(_of_slurm(listed))
    if file := os.environ.get("PBS_NODEFILE"):
        return _named_in(Path(file))
    return []


@lru_cache  # asked again and again while engines start
def _of_slurm(listed: str) -> tuple[str, ...]:
    try:
        words = ["scontrol", "show", "hostnames", listed]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return (listed,)
    return tuple(shown.stdout.split())


def _named_in(file: Path) -> list[str]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise MPIError(f"the hostfile {file} cannot be read ({error.strerror})") from error
    names = [line.split("#")[0].split() for line in lines]
    found = list(dict.fromkeys(name[0] for name in names if name))
    if not found:
        raise MPIError(f"the hostfile {file} names no host", "a line a host: `name slots=2`")
    return found


def several(hostfile: str | None = None) -> bool:
    """Whether ranks may come to be on other computers than this one."""
    there = nodes(hostfile)
    return len(there) > 1 or any(not is_here(name) for name in there)


def is_here(name: str) -> bool:
    """Whether this is a name of this computer."""
    own = socket.gethostname()
    return name in ("localhost", own, own.split(".")[0]) or name.split(".")[0] == own


def address(there: list[str]) -> str:
    """The address at which these computers reach this one: that of the way to the first other.

    Nothing is sent.

    Raises
    ------
    MPIError
        None of them has an address.
    """
    for name in there:
        if is_here(name):
            continue
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.connect((name, PORT))
                return way.getsockname()[0]
        except OSError:
            continue
    raise MPIError(
        f"none of {', '.join(there)} is reached from here", "do their names resolve (getent hosts)?"
    )
