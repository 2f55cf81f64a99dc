"""The center as vectors in this process: what the simulator uses."""

from easgd_lib.methods import Terms


class LocalCenter:
    """x̃ in this process. Each push makes a new vector, so what was pulled never changes."""

    def __init__(self, start, terms: Terms):
        self.terms, self.master = terms, terms.master
        self.state = terms.begin(start)
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
        return self.state[self.terms.shows]

    close = snapshot
