"""The same workers on MPI: the world, where the center lives, ranks, ipyparallel engines."""
