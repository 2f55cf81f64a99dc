"""The center as a vector in this process: what the simulator uses."""


class LocalCenter:
    """x̃ in this process. Each push makes a new vector, so what was pulled never changes."""

    def __init__(self, start):
        self.center = start

    def pull(self):
        return self.center

    def push(self, change) -> None:
        self.center = self.center + change

    def snapshot(self):
        return self.center

    def close(self):
        return self.center
