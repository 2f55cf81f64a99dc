"""p workers in one process: in synchronous steps, in round robin, or under a virtual clock."""
