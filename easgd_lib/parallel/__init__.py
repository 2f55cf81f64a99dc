"""The same workers on MPI: the world, where the center lives, ranks, ipyparallel engines."""

import os

# Before MPI starts: a one-sided component that is not used here complains on stderr otherwise.
os.environ.setdefault("OMPI_MCA_osc", "^ucx")
