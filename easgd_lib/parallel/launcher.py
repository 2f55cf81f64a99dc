"""What `ipcluster start --engines=MPIEngineSetLauncher` starts.

ipyparallel ≥ 7 looks launchers up by entry-point name, so the class name that its older
documentation teaches is no longer found. This package registers that very name.
"""

import os
import sys

from ipyparallel.cluster.launcher import LocalControllerLauncher
from ipyparallel.cluster.launcher import MPIEngineSetLauncher as _MPIEngineSetLauncher
from traitlets import Unicode, default

from easgd_lib.parallel import allocation, mpiexec, watchdog

ENGINE = "easgd_lib.parallel.engine"
# An engine is known to the controller with its second heartbeat: they come often. And one
# that is stopped for a while is not dead: some thousands of heartbeats may be missing.
HEARTBEATS = ["--HeartMonitor.period=200", "--HeartMonitor.max_heartmonitor_misses=6000"]
PATIENT = ["--IPEngine.max_heartbeat_misses=2000", "--IPEngine.timeout=60"]
# What engines on other computers want of the environment here.
HANDED_ON = (watchdog.MARK, "PYTHONSAFEPATH", "IPYTHONDIR", *mpiexec.ENVIRONMENT)
START_LIMIT = 120  # seconds for controller and engines to appear


def _own(cluster_id: str) -> dict[str, str]:
    """Marks a process as one of this cluster's, wherever it is started from.

    Python is told not to import from the folder one stands in: a `queue.py` there would stand
    in for Python's own. Engines add that folder at the end (`engine.world`).
    """
    mark = {watchdog.MARK: cluster_id} if watchdog.is_ours(cluster_id) else {}
    return mark | {"PYTHONSAFEPATH": "1"}


class Controller(LocalControllerLauncher):
    """ipyparallel's own controller on this computer, marked as ours.

    An engine that dies is reported by its nanny.
    """

    def find_args(self):
        return [*self.controller_cmd, *self.cluster_args, *HEARTBEATS, *self.controller_args]

    def get_env(self):
        return _own(self.cluster_id) | super().get_env()


class MPIEngineSetLauncher(_MPIEngineSetLauncher):
    """ipyparallel's own MPI launcher, with defaults that work where students work.

    It takes the `mpiexec` beside this Python, allows root and more ranks than cores,
    binds no rank to a core, and asks Open MPI for fault tolerance. Whatever a user
    configures (``c.MPILauncher.mpi_cmd``, ``mpi_args``) or has in the environment wins.
    """

    hostfile = Unicode("", config=True, help="A hostfile for mpiexec: where the engines are.")

    @default("mpi_cmd")
    def _mpi_cmd(self):
        return [mpiexec.find() or "mpiexec"]

    @default("mpi_args")
    def _mpi_args(self):
        where = ["--hostfile", self.hostfile] if self.hostfile else []
        if allocation.several(self.hostfile):  # mpiexec hands on what it is told to
            where += [word for name in HANDED_ON for word in ("-x", name)]
        return [*mpiexec.arguments(self.mpi_cmd[0]), *where]

    @default("stop_seconds_until_kill")
    def _stop_seconds_until_kill(self):
        return 10

    @property
    def one_computer(self) -> bool:
        """Whether all engines will be on this computer: as far as we have told mpiexec."""
        ours = self.mpi_args == self._mpi_args()
        return ours and not allocation.several(self.hostfile)

    def get_env(self):
        env = _own(self.cluster_id) | mpiexec.environment(one_computer=self.one_computer)
        folders = watchdog.folders(self.cluster_id) if watchdog.is_ours(self.cluster_id) else {}
        env |= {
            name: path
            for name, path in folders.items()
            if name == "TMPDIR" or name not in os.environ  # ours lies in the user's
        }
        return env | super().get_env()

    @default("engine_cmd")
    def _engine_cmd(self):
        return [sys.executable, "-m", ENGINE]

    @property
    def program_args(self):
        wait = f"--IPEngine.wait_for_url_file={START_LIMIT}"
        return [*super().program_args, *PATIENT, wait]
