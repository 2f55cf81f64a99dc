"""What this process may use of its computer: cores and memory, under whatever limits them."""

import math
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # bytes; version 1 writes a number near 2**63 where there is no limit


def affinity() -> list[int]:
    """The cores this process is bound to, or all of them."""
    if hasattr(psutil.Process, "cpu_affinity"):  # not on macOS
        return psutil.Process().cpu_affinity() or []
    return list(range(psutil.cpu_count() or 1))


def cores(bound_to: list[int] | None = None) -> int:
    """How many cores may work at once: those it is bound to, or as many as the quota pays for.

    Parameters
    ----------
    bound_to : list of int, optional
        In place of this process's own affinity: that of all ranks on this computer.
    """
    bound = len(affinity() if bound_to is None else bound_to)
    return max(1, math.ceil(min(bound, quota())))


def quota() -> float:
    """Cores' worth of time that the container or job may take; infinite without a limit."""
    limits = [float("inf")]
    for group in _groups("cpu"):
        if (text := _read(group / "cpu.max")) and text[0] != "m":  # "max 100000"
            spend, period = map(float, text.split())
            limits.append(spend / period)
        spent, every = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        if spent and every and float(spent) > 0:
            limits.append(float(spent) / float(every))
    return min(limits)


def free_memory() -> int:
    """Bytes that may still be taken: what the computer has, or what the limit leaves."""
    free = [psutil.virtual_memory().available]
    for group in _groups("memory"):
        for most, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, taken = _read(group / most), _read(group / used)
            if limit and taken and limit != "max" and int(limit) < UNLIMITED:
                free.append(int(limit) - int(taken) + _reclaimable(group))
    return max(0, min(free))


def _reclaimable(group: Path) -> int:
    """Bytes of cached files, which count as used and are given back on demand."""
    lines = [line.split() for line in _read(group / "memory.stat").splitlines()]
    stat = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    return stat.get("inactive_file", stat.get("total_inactive_file", 0))


def _groups(controller: str) -> list[Path]:
    """This process's control groups, each with all those above it: any of them may set a limit.

    Version 2 has one tree, version 1 a tree for each controller. In a container the path that
    /proc names may not be there: then the root of the tree is this process's own group.
    """
    found = [CGROUPS, CGROUPS / controller]
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        root = CGROUPS if not names else CGROUPS / controller
        if not names or controller in names.split(","):
            whole = root / path.lstrip("/")
            found += [whole, *(above for above in whole.parents if above.is_relative_to(root))]
    return list(dict.fromkeys(found))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
