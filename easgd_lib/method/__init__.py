"""The update rules, the algorithm boxes, the exchange protocol, the settings. No MPI, no torch."""
