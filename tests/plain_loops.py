"""Every method once more, in plain loops over floats, sharing no code with the library.

Written from the papers' boxes alone: what `simulate.trajectory` is compared with.
"""

from math import sqrt


class PlainLoops:
    """p workers on h x²/2 − noise; `move(active)` is one step of these workers, together."""

    def __init__(
        self,
        method,
        variant,
        x,
        center,
        eta,
        gamma,
        h,
        tau,
        alpha,
        delta,
        rate,
        noise,
        outer=(1, 0),
    ):
        self.method, self.variant = method, variant
        self.x, self.center, self.average = list(x), center, center
        p = len(self.x)
        self.v, self.sent, self.clock = [0.0] * p, [0.0] * p, [0] * p
        self.master_v, self.pushes = 0.0, 0
        self.owed = [0.0] * p  # the force that a worker has not felt yet
        self.eta, self.gamma, self.h, self.tau = eta, gamma, h, tau
        self.alpha, self.delta, self.rate, self.noise = alpha, delta, rate, noise
        self.outer_rate, self.mu = outer
        self.u, self.round_start = 0.0, list(x)

    def g(self, i, at):
        return self.h * at - self.noise(i)

    def eta_of(self, i):
        return self.eta / sqrt(1 + self.gamma * self.clock[i])

    def move(self, active):
        if self.method in ("sgd", "asgd", "mvasgd", "msgd"):
            self.alone()
        elif self.method == "lookahead":
            self.lookahead()
        elif self.method in ("local_sgd", "slowmo", "diloco"):
            self.rounds()
        elif self.method == "async_diloco":
            self.async_diloco(active)
        elif self.method.startswith("allreduce"):
            self.allreduce()
        elif "downpour" in self.method:
            (self.mdownpour if self.method == "mdownpour" else self.downpour)(active)
        elif self.variant == "background":
            due = [i for i in active if self.clock[i] % self.tau == 0]
            for i in due:
                self.x[i] -= self.owed[i]
            seen = self.center
            for i in due:
                self.owed[i] = self.alpha * (self.x[i] - seen)
                self.center += self.owed[i]
            for i in active:
                self.x[i] += self.local(i)
        elif self.variant == "step_first":
            due = [i for i in active if self.clock[i] % self.tau == 0]
            for i in active:
                self.x[i] += self.local(i)
            self.pull_all(due, new_center=False)
        else:
            due = [i for i in active if self.clock[i] % self.tau == 0]
            old = list(self.x)
            moves = {i: self.local(i) for i in active}
            assert self.x == old
            self.pull_all(due, new_center=self.variant == "gauss_seidel")
            for i in active:
                self.x[i] += moves[i]
        for i in active:
            self.clock[i] += 1

    def local(self, i):
        """What a worker's own step adds to the x it stands at."""
        eta = self.eta_of(i)
        if self.method == "easgd":
            return -eta * self.g(i, self.x[i])
        self.v[i] = self.delta * self.v[i] - eta * self.g(i, self.x[i] + self.delta * self.v[i])
        return self.v[i]

    def pull_all(self, due, new_center):
        seen = self.center
        self.center = seen + sum(self.alpha * (self.x[i] - seen) for i in due)
        for i in due:
            self.x[i] -= self.alpha * (self.x[i] - (self.center if new_center else seen))

    def downpour(self, active):
        due = [i for i in active if self.clock[i] % self.tau == 0]
        for i in due:
            a = 1 / (self.pushes + 1) if self.method == "adownpour" else self.rate
            self.average = (1 - a) * self.average + a * self.center
            self.center += self.sent[i]
            self.pushes += 1
        for i in due:
            self.x[i], self.sent[i] = self.center, 0.0
        for i in active:
            change = self.eta_of(i) * self.g(i, self.x[i])
            self.x[i] -= change
            self.sent[i] -= change

    def mdownpour(self, active):
        for i in active:
            self.x[i] = self.center
        gradients = {i: self.g(i, self.x[i]) for i in active}
        for i in active:
            step = self.eta_of(i) * gradients[i]
            self.master_v = self.delta * self.master_v - step
            self.center += self.delta * self.master_v - step

    def alone(self):
        a = 1 / (self.clock[0] + 1) if self.method == "asgd" else self.rate
        self.average = (1 - a) * self.average + a * self.x[0]
        eta = self.eta_of(0)
        if self.method == "msgd":
            self.v[0] = self.delta * self.v[0] - eta * self.g(0, self.x[0] + self.delta * self.v[0])
            self.x[0] += self.v[0]
        else:
            self.x[0] -= eta * self.g(0, self.x[0])
        self.center = self.x[0]

    def momentum_step(self, i):
        eta = self.eta_of(i)
        self.v[i] = self.delta * self.v[i] - eta * self.g(i, self.x[i] + self.delta * self.v[i])
        self.x[i] += self.v[i]

    def lookahead(self):
        if self.clock[0] == 0:
            self.average = self.x[0]
        elif self.clock[0] % self.tau == 0:
            self.average += self.outer_rate * (self.x[0] - self.average)
            self.x[0] = self.average
        self.momentum_step(0)
        self.center = self.x[0]

    def rounds(self):
        """All go on from a new center, which moves by what the mean has moved."""
        t, p = self.clock[0], len(self.x)
        if t and t % self.tau == 0:
            drift = self.center - sum(self.x) / p
            if self.method == "local_sgd":
                self.center -= drift
            elif self.method == "slowmo":
                eta = self.eta / sqrt(1 + self.gamma * (t - 1))
                self.u = self.mu * self.u + drift / eta
                self.center -= self.outer_rate * eta * self.u
            else:
                self.u = self.mu * self.u + drift
                self.center -= self.outer_rate * (drift + self.mu * self.u)
        if t % self.tau == 0:
            self.x = [self.center] * p
        for i in range(p):
            self.momentum_step(i)

    def async_diloco(self, active):
        due = [i for i in active if self.clock[i] % self.tau == 0]
        for i in due:
            drift = self.round_start[i] - self.x[i]
            self.u = self.mu * self.u + drift
            self.center -= self.outer_rate * (drift + self.mu * self.u)
        for i in due:
            self.x[i] = self.round_start[i] = self.center
        for i in active:
            self.momentum_step(i)

    def allreduce(self):
        """All stand at x̃, and see one gradient: the mean of theirs."""
        p, delta = len(self.x), self.delta if self.method == "allreduce_msgd" else 0.0
        at = self.center + delta * self.u
        mean = sum(self.g(i, at) for i in range(p)) / p
        self.x = [self.center] * p
        self.u = delta * self.u - self.eta_of(0) * mean
        self.center += self.u
