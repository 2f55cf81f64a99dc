"""`easgd_lib.optim`: one's own loop on real ranks, against plain loops; what users do to it."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from easgd_lib import optim
from easgd_lib.errors import MPIError, SettingsError
from easgd_lib.method.center import kind_of
from helpers import run_ranks

pytestmark = pytest.mark.mpi  # in this process too: MPI starts here, one test after the other
PROGRAMS = str(Path(__file__).with_name("optim_programs.py"))
ALL = ("easgd", "eamsgd", "downpour", "local_sgd", "slowmo", "diloco")


def run_program(workers: int, center: str, name: str, *arguments: str):
    ran = run_ranks(workers + kind_of(center).extra_ranks, PROGRAMS, name, center, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("center", ["window", "server", "allreduce"])
@pytest.mark.parametrize(
    ("network", "workers"),
    [("perceptron", 1), ("perceptron", 2), ("perceptron", 3), ("transformer", 2)],
)
def test_step_for_step_as_plain_loops(network, workers, center):
    """BatchNorm, a frozen layer, an unused parameter, tied weights; groups, decay, a schedule."""
    methods = [name for name in ALL if center != "allreduce" or name != "downpour"]
    said = run_program(workers, center, "agrees", network, *methods)
    assert said.count("fine") == workers + kind_of(center).extra_ranks


@pytest.mark.parametrize("center", ["window", "server"])
def test_diloco_with_adamw(center):
    assert run_program(3, center, "inner").count("fine") == 3


@pytest.mark.parametrize(
    ("center", "order", "method"),
    [
        ("window", "synchronous", "eamsgd"),
        ("window", "round_robin", "downpour"),
        ("allreduce", "synchronous", "diloco"),
        ("server", "synchronous", "slowmo"),
    ],
)
def test_killed_and_resumed_is_never_stopped(center, order, method, tmp_path):
    ranks = 2 + kind_of(center).extra_ranks
    words = [PROGRAMS, "saved", center, order, method]
    whole = run_ranks(ranks, *words, str(new(tmp_path, "whole")), "99")
    assert whole.returncode == 0, whole.stderr
    assert len(whole.stdout.split("center ")) == 3
    killed = run_ranks(ranks, *words, str(new(tmp_path, "cut")), "7")
    assert "center" not in killed.stdout
    resumed = run_ranks(ranks, *words, str(tmp_path / "cut"), "99")
    assert resumed.returncode == 0, resumed.stderr
    assert sorted(resumed.stdout.split()) == sorted(whole.stdout.split())


def new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@pytest.mark.parametrize("center", ["window", "server", "allreduce"])
def test_an_error_on_one_rank_ends_the_others(center):
    """Outside any `with`, as in a plain script."""
    ran = run_ranks(3, PROGRAMS, "fails", center, timeout=60)
    assert ran.returncode != 0
    assert "broke on purpose" in ran.stderr
    assert "gave up" not in ran.stderr


def test_a_server_that_was_told_nothing_serves_when_its_program_ends():
    assert run_program(2, "server", "forgets").count("fine") == 3


@pytest.mark.parametrize(
    ("what", "words"),
    [("options", "another tau"), ("model", "different models"), ("data", "same first gradient")],
)
def test_ranks_that_differ_where_they_must_not_are_told(what, words):
    said = run_ranks(2, PROGRAMS, "refuses", what).stdout.splitlines()
    assert len(said) == 2
    assert all(words in line for line in said)


# One worker, in this process.


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


def batches(n: int) -> list:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, generator=random), torch.randint(0, 2, (8,), generator=random))
        for _ in range(n)
    ]


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def one_step(model, optimizer, batch, **zero):
    optimizer.zero_grad(**zero)
    loss_of(model, batch).backward()
    return optimizer.step()


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_eamsgd_of_a_soft_spring_is_torchs_nesterov_while_the_rate_is_constant():
    """α = 0. And under a schedule it is not: torch's buffer does not carry η."""
    ours, theirs = net(), net()
    optimizer = optim.EAMSGD(ours, lr=0.1, momentum=0.9, alpha=0.0)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for batch in batches(10):
        one_step(ours, optimizer, batch)
        one_step(theirs, sgd, batch)
    assert torch.allclose(flat(ours), flat(theirs), atol=1e-5)
    for each in (optimizer, sgd):
        each.param_groups[0]["lr"] = 0.01
    for batch in batches(3):
        one_step(ours, optimizer, batch)
        one_step(theirs, sgd, batch)
    assert not torch.allclose(flat(ours), flat(theirs), atol=1e-3)
    optimizer.close()


def test_a_scheduler_moves_the_rate():
    model, other = net(), net()
    optimizer = optim.EASGD(model, lr=0.1, alpha=0.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    plain = torch.optim.SGD(other.parameters(), lr=0.1)
    theirs = torch.optim.lr_scheduler.StepLR(plain, 2, 0.5)
    for batch in batches(6):
        one_step(model, optimizer, batch)
        one_step(other, plain, batch)
        scheduler.step()
        theirs.step()
    assert torch.allclose(flat(model), flat(other), atol=1e-6)
    optimizer.close()


@pytest.mark.parametrize("cls", [optim.EASGD, optim.EAMSGD, optim.DOWNPOUR, optim.DiLoCo])
@pytest.mark.parametrize("zero", [{}, {"set_to_none": True}, {"set_to_none": False}])
def test_zeroing_accumulating_clipping_and_closures(cls, zero):
    model, other = net(), net()
    ours, plain = (cls(each, lr=0.1, tau=2) for each in (model, other))
    for first, second in zip(batches(6)[::2], batches(6)[1::2], strict=True):
        one = torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])

        def closure(batch=one):
            plain.zero_grad()
            loss = loss_of(other.eval(), batch)
            loss.backward()
            nn.utils.clip_grad_norm_(other.parameters(), 0.1)
            return loss

        ours.zero_grad(**zero)
        for half in (first, second):  # two backward passes, one step
            (loss_of(model.eval(), half) / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        assert ours.step() is None
        assert plain.step(closure).item() > 0
        assert torch.allclose(flat(model), flat(other), atol=1e-6)
    assert ours.t == plain.t == 3
    ours.close()
    plain.close()


def test_a_step_that_the_scaler_skips_is_none():
    model = net()
    optimizer = optim.EAMSGD(model, lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    for bad in (False, True, False):
        before, t = flat(model), optimizer.t
        optimizer.zero_grad()
        loss = loss_of(model, batches(1)[0]) * (float("inf") if bad else 1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(before, flat(model)) == bad
        assert optimizer.t == t + (not bad)
    optimizer.close()


def test_evaluating_shows_the_center_with_statistics_of_its_own_and_gives_the_model_back():
    model = net()
    with optim.EAMSGD(model, lr=0.1, tau=1, alpha=0.3) as optimizer:
        for batch in batches(5):
            one_step(model, optimizer, batch)
        held = {name: value.clone() for name, value in model.state_dict().items()}
        with optimizer.evaluating("center", loader=batches(3)):
            assert torch.equal(flat(model), optimizer.evaluated())
            assert not torch.equal(model[1].running_mean, held["1.running_mean"])
        with optimizer.evaluating("worker"):
            assert torch.equal(flat(model), optimizer.worker.x)
        for name, value in model.state_dict().items():
            assert torch.equal(value, held[name])
        with pytest.raises(SettingsError, match="center or worker"), optimizer.evaluating("mean"):
            pass
        center = optimizer.evaluated()
    assert torch.equal(flat(model), center)  # after the end the model is x̃
    with pytest.raises(MPIError, match="closed"):
        optimizer.step()


@pytest.mark.parametrize(
    "cls", [optim.EASGD, optim.EAMSGD, optim.DOWNPOUR, optim.SlowMo, optim.Lookahead]
)
def test_a_state_makes_the_round_trip_bit_for_bit(cls, tmp_path):
    data = batches(9)
    model = net()
    optimizer = cls(model, lr=0.1, tau=2)
    for t, batch in enumerate(data):
        if t == 5:
            torch.save([model.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
        one_step(model, optimizer, batch)
    again = net()
    other = cls(again, lr=0.1, tau=2)
    theirs, ours = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(theirs)
    other.load_state_dict(ours)
    for batch in data[5:]:
        one_step(again, other, batch)
    assert torch.equal(flat(model), flat(again))
    assert torch.equal(optimizer.evaluated(), other.evaluated())
    for each in (optimizer, other):
        each.close()


def test_a_state_of_other_options_is_refused():
    one, other = optim.EASGD(net(), tau=2), optim.EASGD(net(), tau=3)
    with pytest.raises(SettingsError, match="another tau"):
        other.load_state_dict(one.state_dict())
    with pytest.raises(SettingsError, match="no state of an easgd_lib optimizer"):
        other.load_state_dict(torch.optim.SGD(net().parameters()).state_dict())
    one.close()
    other.close()


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 3, sparse=True)

    def forward(self, x):
        return self.words(x)


def test_what_cannot_be_trained_is_one_line():
    frozen = net().requires_grad_(False)
    with pytest.raises(SettingsError, match="all are frozen"):
        optim.EASGD(frozen)
    with pytest.raises(SettingsError, match="use autocast"):
        optim.EASGD(net().bfloat16())
    mixed = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(SettingsError, match="several kinds"):
        optim.EASGD(mixed)
    with pytest.raises(SettingsError, match="takes a rank of its own"):
        optim.EASGD(net(), center="server")
    with pytest.raises(SettingsError, match="no inner optimizer"):
        optim.EASGD(net(), inner=torch.optim.AdamW)
    with pytest.raises(SettingsError, match="unstable"):
        optim.EASGD(net(), alpha=1.5)
    sparse = optim.EASGD(model := Sparse())
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(SettingsError, match="sparse=False"):
        sparse.step()
    sparse.close()


def test_weights_in_channels_last_order_are_those_in_the_usual():
    torch.manual_seed(0)
    usual = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    last = deepcopy(usual).to(memory_format=torch.channels_last)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 2
    with optim.EAMSGD(usual, lr=0.1) as one, optim.EAMSGD(last, lr=0.1) as other:
        for _ in range(5):
            one_step(usual, one, (images, labels))
            one_step(last, other, (images, labels))
    assert torch.allclose(flat(usual), flat(last), atol=1e-5)


def test_autocast_in_bfloat16_trains():
    model = net()
    with optim.EAMSGD(model, lr=0.1) as optimizer:
        losses = []
        for batch in batches(1) * 30:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_model_on_a_device():
    model, other = net().cuda(), net()
    with optim.EAMSGD(model, lr=0.1, tau=2) as one, optim.EAMSGD(other, lr=0.1, tau=2) as two:
        for batch in batches(6):
            one_step(model, one, [each.cuda() for each in batch])
            one_step(other, two, batch)
        assert torch.allclose(flat(model).cpu(), flat(other), atol=1e-5)


def test_the_readme_s_own_network(tmp_path):
    """The lines of the README, as a script with ranks."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    script = text.split("<!-- own network -->")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "train.py").write_text(script)
    ran = run_ranks(2, str(tmp_path / "train.py"))
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert float(ran.stdout.split()[-1].rstrip("%")) > 80
    alone = subprocess.run(
        [sys.executable, str(tmp_path / "train.py")], capture_output=True, text=True, timeout=120,
        env=dict(os.environ) | {"OMPI_ALLOW_RUN_AS_ROOT": "1"},
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
