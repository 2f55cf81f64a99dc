"""Programs for test_optim.py, started as `mpiexec -n N python optim_programs.py NAME …`."""

import os
import signal
import sys
import time
from copy import deepcopy
from functools import partial

import torch
from torch import nn

from easgd_lib import optim  # before MPI: it says what MPI need not look for
from easgd_lib.errors import EasgdError
from easgd_lib.method.center import kind_of

from mpi4py import MPI  # isort: skip

STEPS, TAU, DELTA = 11, 4, 0.8  # at the end no exchange is due
ELASTIC = {"easgd": optim.EASGD, "eamsgd": optim.EAMSGD}
OTHERS = {
    "downpour": optim.DOWNPOUR,
    "local_sgd": optim.LocalSGD,
    "slowmo": optim.SlowMo,
    "diloco": optim.DiLoCo,
}
RATES = (0.05, 0.02)  # of the two parameter groups, until the schedule halves them


class Perceptron(nn.Module):
    """With BatchNorm, a frozen layer, and a parameter that no gradient reaches."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 3)
        )
        self.layers[3].requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.layers(x)


class Transformer(nn.Module):
    """Characters to the next one; the embedding is the output layer too."""

    def __init__(self, letters: int = 9, width: int = 8):
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(width, letters, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=torch.float64)
        return self.out(self.block(self.embed(x), src_mask=mask, is_causal=True)).transpose(1, 2)


def perceptron_batch(worker: int, t: int):
    random = torch.Generator().manual_seed(1000 * worker + t)
    x = torch.randn(16, 6, generator=random, dtype=torch.float64)
    return x, (x[:, :3] + 0.1).argmax(1)


def transformer_batch(worker: int, t: int):
    random = torch.Generator().manual_seed(1000 * worker + t)
    x = torch.randint(0, 9, (4, 6), generator=random)
    return x[:, :-1], x[:, 1:]


MODELS = {
    "perceptron": (Perceptron, perceptron_batch),
    "transformer": (Transformer, transformer_batch),
}


def build(network: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return MODELS[network][0]().double()


def groups_of(model: nn.Module) -> list[dict]:
    parameters = list(model.parameters())
    return [
        {"params": parameters[:2], "lr": RATES[0]},
        {"params": parameters[2:], "lr": RATES[1], "weight_decay": 0.01},
    ]


class Reference:
    """p workers by hand, in this process: one model, any x put into it."""

    def __init__(self, network: str, method: str, p: int, order: str):
        self.method, self.p, self.order = method, p, order
        self.models = [build(network) for _ in range(p)]  # each keeps statistics of its own
        self.batch = MODELS[network][1]
        self.rates = torch.cat([self._flat(g, g["lr"]) for g in groups_of(self.models[0])])
        self.decays = torch.cat(
            [self._flat(g, g.get("weight_decay", 0.0)) for g in groups_of(self.models[0])]
        )
        start = torch.cat([q.detach().reshape(-1) for q in self._trained(0)])
        self.x = [start.clone() for _ in range(p)]
        self.v = [torch.zeros_like(start) for _ in range(p)]
        self.sent = [torch.zeros_like(start) for _ in range(p)]
        self.center, self.slow = start.clone(), torch.zeros_like(start)

    @staticmethod
    def _flat(group: dict, value: float) -> torch.Tensor:
        n = sum(q.numel() for q in group["params"] if q.requires_grad)
        return torch.full((n,), value, dtype=torch.float64)

    def _trained(self, i: int):
        return [q for q in self.models[i].parameters() if q.requires_grad]

    def gradient(self, i: int, t: int, at: torch.Tensor) -> torch.Tensor:
        parameters = self._trained(i)
        with torch.no_grad():
            for q, piece in zip(parameters, at.split([q.numel() for q in parameters]), strict=True):
                q.copy_(piece.view_as(q))
        self.models[i].zero_grad()
        x, y = self.batch(i, t)
        nn.functional.cross_entropy(self.models[i](x), y).backward()
        flat = [torch.zeros_like(q) if q.grad is None else q.grad for q in parameters]
        return torch.cat([g.reshape(-1) for g in flat]) + self.decays * at

    def eta(self, t: int) -> torch.Tensor:
        return self.rates * 0.5 ** (t // 5)

    def local(self, i: int, t: int, delta: float) -> torch.Tensor:
        g = self.gradient(i, t, self.x[i] + delta * self.v[i])
        self.v[i] = delta * self.v[i] - self.eta(t) * g
        return self.v[i]

    def step(self, t: int):
        for active in (
            [[i] for i in range(self.p)] if self.order == "round_robin" else [range(self.p)]
        ):
            (self.elastic if self.method in ELASTIC else self.other)(list(active), t)

    def elastic(self, active, t):
        alpha, seen = 0.9 / self.p, self.center
        delta = DELTA if self.method == "eamsgd" else 0.0
        force = {i: alpha * (self.x[i] - seen) if t % TAU == 0 else 0.0 for i in active}
        self.center = seen + sum(force.values())
        for i in active:
            self.x[i] = self.x[i] + self.local(i, t, delta) - force[i]

    def other(self, active, t):
        if t % TAU == 0:
            if self.method == "downpour":
                self.center = self.center + sum(self.sent[i] for i in active)
            elif t:
                self.outer(sum(self.x) / self.p, self.eta(t - 1))
            for i in active:
                self.x[i], self.sent[i] = self.center, torch.zeros_like(self.center)
        for i in active:
            moved = self.local(i, t, 0.0)
            self.x[i] = self.x[i] + moved
            self.sent[i] = self.sent[i] + moved

    def outer(self, mean, eta):
        drift = self.center - mean
        if self.method == "local_sgd":
            self.center = mean
        elif self.method == "slowmo":
            self.slow = 0.5 * self.slow + drift / eta
            self.center = self.center - eta * self.slow
        else:
            self.slow = 0.9 * self.slow + drift
            self.center = self.center - 0.7 * (drift + 0.9 * self.slow)


def make(model: nn.Module, method: str, center: str, order: str):
    options = {"momentum": DELTA} if method == "eamsgd" else {}
    cls = (ELASTIC | OTHERS)[method]
    return cls(groups_of(model), model=model, center=center, order=order, tau=TAU, **options)


def take_step(optimizer, model, network: str, t: int):
    for group, rate in zip(optimizer.param_groups, RATES, strict=True):
        group["lr"] = rate * 0.5 ** (t // 5)
    optimizer.zero_grad()
    x, y = MODELS[network][1](optimizer.meeting.worker, t)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def agrees(center: str, network: str, *methods: str):
    """Step for step what a page of plain loops gives, each rank comparing its own worker."""
    orders = [order for order in kind_of(center).orders if order != "asynchronous"]
    for method in methods:
        for order in orders:
            if method in ("local_sgd", "slowmo", "diloco") and order != "synchronous":
                continue
            model = build(network, seed=MPI.COMM_WORLD.rank)  # only the first one's start counts
            with make(model, method, center, order) as optimizer:
                if optimizer.serve():
                    continue
                i, p = optimizer.meeting.worker, optimizer.settings.workers
                reference = Reference(network, method, p, order)
                reference.x = [optimizer.worker.x.clone() for _ in range(p)]
                reference.center = optimizer.worker.x.clone()
                for m in reference.models:
                    m.load_state_dict(model.state_dict())
                for t in range(STEPS):
                    take_step(optimizer, model, network, t)
                    reference.step(t)
                    if (t + 1) % TAU or method in ELASTIC:
                        close = torch.allclose(
                            optimizer.worker.x, reference.x[i], rtol=0, atol=1e-12
                        )
                        assert close, (method, order, t)
                held = [q.clone() for q in model.parameters()]
            after = torch.cat([q.detach().reshape(-1) for q in optimizer.parameters])
            assert torch.allclose(after, reference.center, rtol=0, atol=1e-12), (method, order)
            assert any(not torch.equal(a, b) for a, b in zip(held, model.parameters(), strict=True))
    print("fine", flush=True)


def saved(center: str, order: str, method: str, folder: str, until: str):
    """Train to step `until`, saving at every step; go on from what is saved, if something is."""
    model = build("perceptron")
    optimizer = make(model, method, center, order)
    if optimizer.serve():
        return print("served", flush=True)
    rank = MPI.COMM_WORLD.rank
    path = f"{folder}/rank-{rank}.pt"
    first = 0
    if os.path.exists(path):
        kept = torch.load(path, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        first = optimizer.t
    for t in range(first, 13):
        take_step(optimizer, model, "perceptron", t)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        if t + 1 == int(until):
            MPI.COMM_WORLD.barrier() if center != "server" else time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
    print("x", rank, optimizer.worker.x.numpy().tobytes().hex(), flush=True)
    print("center", optimizer.evaluated().numpy().tobytes().hex(), flush=True)
    optimizer.close()
    return None


def fails(center: str):
    """The last worker's loop breaks: all others end at once, and say whose fault it was."""
    model = build("perceptron")
    optimizer = optim.EASGD(model, center=center, order="synchronous", tau=1)
    if optimizer.serve():
        return
    last = optimizer.meeting.worker == optimizer.settings.workers - 1
    for t in range(10**6):
        take_loss(model, optimizer, t)
        if last and t == 5:
            raise ArithmeticError("broke on purpose")


def take_loss(model, optimizer, t):
    optimizer.zero_grad()
    x, y = perceptron_batch(optimizer.meeting.worker, t)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def forgets(center: str):
    """A server's rank that calls neither `serve` nor `close` serves when its program ends."""
    model = build("perceptron")
    optimizer = optim.EASGD(model, center=center, order="synchronous", tau=1)
    if not optimizer.serves:
        for t in range(5):
            take_loss(model, optimizer, t)
    print("fine", flush=True)


def refuses(what: str):
    """Ranks that differ where they must not."""
    rank = MPI.COMM_WORLD.rank
    model = nn.Linear(3 if what == "model" and rank else 2, 1)
    try:
        optimizer = optim.EASGD(model, tau=3 if what == "options" and rank else 2)
        for t in range(2):
            optimizer.zero_grad()
            model(torch.ones(1, 2) * (1 if what == "data" else 1 + rank + t)).sum().backward()
            optimizer.step()
    except EasgdError as error:
        print(f"refused: {error}", flush=True)


def inner(center: str):
    """DiLoCo with AdamW as inner optimizer, as in its paper, against a page of plain loops."""
    # No BatchNorm: a bias before it has a gradient of rounding errors, and Adam makes steps of it.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    make_inner = partial(torch.optim.AdamW, lr=0.01)
    with optim.DiLoCo(model, tau=3, inner=make_inner, center=center, order="synchronous") as o:
        if o.serve():
            return
        i, p = o.meeting.worker, o.settings.workers
        models = [deepcopy(model) for _ in range(p)]
        theirs = [[q for q in m.parameters() if q.requires_grad] for m in models]
        adams = [make_inner(each) for each in theirs]
        x0 = [q.detach().clone() for q in theirs[0]]
        momentum = [torch.zeros_like(q) for q in x0]
        for t in range(8):
            if t % 3 == 0 and t:
                for k, q in enumerate(x0):
                    mean = sum(each[k].detach() for each in theirs) / p
                    drift = q - mean
                    momentum[k] = 0.9 * momentum[k] + drift
                    x0[k] = q - 0.7 * (drift + 0.9 * momentum[k])
                    for each in theirs:
                        each[k].data.copy_(x0[k])
            for j, m in enumerate(models):
                x, y = perceptron_batch(j, t)
                m.zero_grad()
                nn.functional.cross_entropy(m(x), y).backward()
                adams[j].step()
            take_loss(model, o, t)
        for mine, reference in zip(o.parameters, theirs[i], strict=True):
            assert torch.allclose(mine, reference, rtol=0, atol=1e-12)
    print("fine", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    programs = [agrees, saved, fails, forgets, refuses, inner]
    {program.__name__: program for program in programs}[sys.argv[1]](*sys.argv[2:])
