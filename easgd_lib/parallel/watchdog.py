"""Waits for one process to end, then ends others: `python watchdog.py OWNER PID [PID …]`.

A notebook's kernel may be killed without a chance to clean up; its controller and engines
must not outlive it. Runs as a script of its own, so it imports nothing of the package.
"""

import sys
from contextlib import suppress

import psutil


def end(pids: list[int], grace: float = 5.0):
    """Terminate these processes and all below them; kill what is left after `grace` seconds."""
    tree = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            tree += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    for process in tree:
        _quietly(process.terminate)
    for process in psutil.wait_procs(tree, timeout=grace)[1]:
        _quietly(process.kill)


def _quietly(action):
    with suppress(psutil.Error):  # it may have gone by itself
        action()


def main(owner: int, pids: list[int]):
    """Wait for the owner to go, or for all of these to go before it, and end what is left."""
    try:
        process = psutil.Process(owner)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if not any(psutil.pid_exists(pid) for pid in pids):
                return
            with suppress(psutil.TimeoutExpired):
                process.wait(timeout=1)
    except psutil.NoSuchProcess:
        pass
    end(pids)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(pid) for pid in sys.argv[2:]])
