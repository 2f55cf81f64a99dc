"""The same workers on MPI: the world, where the center lives, ranks, ipyparallel engines."""

import os

from easgd_lib.parallel.mpiexec import NO_NETWORK, all_on_one_computer

# Before MPI starts: a one-sided component that is not used here complains on stderr otherwise.
os.environ.setdefault("OMPI_MCA_osc", "^ucx")
if all_on_one_computer():
    os.environ.setdefault("OMPI_MCA_btl", NO_NETWORK)
