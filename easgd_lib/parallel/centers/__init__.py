"""Where the center variable lives on MPI: a shared-memory window, a server rank, replicas."""
