"""Ends what a cluster of engines left: `python watchdog.py CLUSTER OWNER PROFILE`.

A notebook's kernel may be killed at any moment, also while its engines start. So this process
comes first. It waits until its owner closes the pipe to it or is gone, and then ends every
process that carries the cluster's mark in its environment, and removes the cluster's folders
and files. Runs as a script of its own, so it imports nothing of the package.
"""

import os
import select
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "EASGD_CLUSTER"  # in the environment of the controller, the engines, and all they start
PREFIX = "easgd-"  # of a cluster's id: easgd-<pid of its owner>-<nanoseconds>
GRACE = 2.0  # seconds from SIGTERM to SIGKILL: nothing of theirs is worth more
SHARED_MEMORY = Path("/dev/shm")


def new_id() -> str:
    """An id for a cluster of this process: no other process and no other moment has it."""
    return f"{PREFIX}{os.getpid()}-{time.time_ns() % 10**12}"


def is_ours(cluster_id: str) -> bool:
    """Whether a cluster of this id was started by `engines.cluster`."""
    return cluster_id.startswith(PREFIX)


def folders(cluster_id: str) -> dict[str, str]:
    """Variables that make MPI keep its files in the cluster's own folders; their paths."""
    temporary = str(Path(tempfile.gettempdir()) / cluster_id)
    found = {"TMPDIR": temporary}
    if SHARED_MEMORY.is_dir():
        shared = str(SHARED_MEMORY / cluster_id)
        found |= {
            "OMPI_MCA_osc_sm_backing_directory": shared,
            "OMPI_MCA_btl_sm_backing_directory": shared,
        }
    return found


def make_folders(cluster_id: str):
    """Make them, for this user alone."""
    for path in set(folders(cluster_id).values()):
        with suppress(OSError):  # MPI then says what is wrong
            os.makedirs(path, mode=0o700, exist_ok=True)


def alive(process: psutil.Process) -> bool:
    """Whether it is there and has not ended: one that its parent has not asked after is there."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def processes(cluster_id: str) -> list[psutil.Process]:
    """Every process of this cluster that is alive."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone, or another user's
            if alive(process) and process.environ().get(MARK) == cluster_id:
                found.append(process)
    return found


def end(cluster_id: str, grace: float = GRACE):
    """End every process of this cluster.

    A process that is just starting others is looked for again: only two looks that find
    nothing are an end.
    """
    deadline, empty = time.monotonic() + grace, 0
    while empty < 2:
        found = processes(cluster_id)
        empty = 0 if found else empty + 1
        for process in found:
            late = time.monotonic() >= deadline
            with suppress(psutil.Error):  # it may have gone by itself
                process.kill() if late else process.terminate()
        time.sleep(0.05)


def clear(cluster_id: str, profile: str | None = None):
    """End every process of this cluster, and remove its folders and its files in the profile."""
    end(cluster_id)
    for path in set(folders(cluster_id).values()):
        remove(Path(path))
    if profile:
        for file in Path(profile).glob(f"*/*{cluster_id}*"):  # security/, log/, pid/
            with suppress(OSError):
                file.unlink()


def remove(folder: Path):
    """Remove a folder, into which a process that is ending may still write."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def leftovers() -> dict[str, list[psutil.Process]]:
    """This user's clusters whose owner is gone: each id, and its processes."""
    ids = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            ids.add(process.environ().get(MARK, ""))
    for root in (Path(tempfile.gettempdir()), SHARED_MEMORY):
        with suppress(OSError):
            mine = [path for path in root.glob(f"{PREFIX}*-*") if path.stat().st_uid == os.getuid()]
            ids |= {path.name for path in mine}
    return {found: processes(found) for found in sorted(ids) if _is_orphan(found)}


def _is_orphan(cluster_id: str) -> bool:
    owner = cluster_id.removeprefix(PREFIX).split("-")[0]
    return is_ours(cluster_id) and owner.isdigit() and not psutil.pid_exists(int(owner))


def wait_for_end_of(owner: int):
    """Until the other end of stdin is closed, or its owner is gone in another way."""
    try:
        process = psutil.Process(owner)
        while alive(process):
            if select.select([sys.stdin], [], [], 1.0)[0] and not os.read(0, 1):
                return
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    cluster_id, owner, profile = sys.argv[1:]
    wait_for_end_of(int(owner))
    clear(cluster_id, profile)
