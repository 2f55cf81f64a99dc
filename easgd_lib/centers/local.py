"""The center as vectors in this process: what the simulator uses."""

from easgd_lib.methods import Terms


class LocalCenter:
    """x̃ in this process. Each push makes a new vector, so what was pulled never changes."""

    def __init__(self, start, terms: Terms):
        self.master = terms.master
        self.state = self.master.begin(start) if self.master else (start,)
        self.pushes = 0

    @property
    def center(self):
        return self.state[0]

    def pull(self):
        return self.center

    def push(self, change) -> None:
        if self.master:
            self.state = self.master.absorb(self.state, change, self.pushes)
        else:
            self.state = (self.center + change,)
        self.pushes += 1

    def snapshot(self):
        return self.state[self.master.shows if self.master else 0]

    close = snapshot
