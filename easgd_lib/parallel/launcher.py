"""What `ipcluster start --engines=MPIEngineSetLauncher` starts.

ipyparallel ≥ 7 looks launchers up by entry-point name, so the class name that its older
documentation teaches is no longer found. This package registers that very name.
"""

from ipyparallel.cluster.launcher import MPIEngineSetLauncher as _MPIEngineSetLauncher
from traitlets import default

from easgd_lib.parallel import mpiexec


class MPIEngineSetLauncher(_MPIEngineSetLauncher):
    """ipyparallel's own MPI launcher, with defaults that work where students work.

    It takes the `mpiexec` beside this Python, allows root and more ranks than cores,
    binds no rank to a core, and asks Open MPI for fault tolerance. Whatever a user
    configures (``c.MPILauncher.mpi_cmd``, ``mpi_args``) wins.
    """

    @default("mpi_cmd")
    def _mpi_cmd(self):
        return [mpiexec.find() or "mpiexec"]

    @default("mpi_args")
    def _mpi_args(self):
        return mpiexec.arguments(self.mpi_cmd[0])

    @default("stop_seconds_until_kill")
    def _stop_seconds_until_kill(self):
        return 10

    def get_env(self):
        return mpiexec.ENVIRONMENT | super().get_env()

    @property
    def program_args(self):
        # On a busy machine an engine's hello may take longer than the default 5 seconds.
        return [*super().program_args, "--IPEngine.timeout=60"]
