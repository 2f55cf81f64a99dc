"""A network and data of one's own: in the simulator, on engines, on the command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import easgd_lib
from easgd_lib import Settings, simulate
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.learning.task import Task
from easgd_lib.simulation.clock import TimeModel

TIMES = TimeModel(step=0.001)


def blobs():
    """All that it uses it imports or defines: so it can be sent to engines."""
    import torch
    from torch import nn

    from easgd_lib.learning.task import Task

    random = torch.Generator().manual_seed(0)
    x = torch.randn(600, 6, generator=random)
    y = (x[:, :3] + 0.1).argmax(1)

    def network():
        layers = nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3)
        return nn.Sequential(*layers)

    return Task(network, train=(x[:500], y[:500]), test=(x[500:], y[500:]))


def nothing():
    """No task."""


def line():
    """A regression, with a metric of its own."""
    x = torch.linspace(-1, 1, 200)[:, None]
    return Task(
        lambda: nn.Linear(1, 1), train=(x, 3 * x + 1), test=(x, 3 * x + 1),
        loss=nn.functional.mse_loss, metric=lambda outputs, y: 1 - (outputs - y).abs().mean(),
    )  # fmt: skip


def letters():
    """Characters to the next one: whole numbers in, a number a position out."""

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 8)
            self.out = nn.Linear(8, 5)

        def forward(self, x):
            return self.out(self.embed(x)).transpose(1, 2)

    text = torch.arange(400) % 5
    x = torch.stack([text[i : i + 6] for i in range(300)])
    return Task(Tiny, train=(x[:, :-1], x[:, 1:]), test=(x[:50, :-1], x[:50, 1:]))


@pytest.mark.parametrize("task", [blobs, line, letters])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_task_is_learned_in_the_simulator_and_repeats_to_the_bit(task, precision):
    settings = Settings(
        "eamsgd", workers=3, eta=0.05, steps=250, precision=precision, batch_size=16, snapshots=2
    )
    runs = [simulate.train(settings, task=task, times=TIMES) for _ in range(2)]
    assert runs[0].final_test_accuracy > 0.85
    assert runs[0].series.value.equals(runs[1].series.value)


def test_dropout_is_the_workers_own(monkeypatch):
    """What another worker draws, and when, changes nothing: the same with one worker fewer."""
    seen = []
    for workers in (1, 2):
        settings = Settings("easgd", workers=workers, steps=20, alpha=1e-12, seed=4, snapshots=1)
        torch.manual_seed(workers)
        run = simulate.train(settings, task=blobs, times=TIMES)
        seen.append(run.series[(run.series.worker == 0) & (run.series.metric == "train_loss")])
    assert np.allclose(seen[0].value, seen[1].value, rtol=0, atol=1e-6)


@pytest.mark.engines
def test_on_engines_it_is_the_simulator_number_for_number():
    settings = Settings(
        "eamsgd", workers=2, tau=3, steps=40, order="synchronous", precision="float64", snapshots=4
    )
    blobs.__module__ = nothing.__module__ = "__main__"  # as of a function that a notebook defines
    with easgd_lib.cluster(2) as engines:
        real = engines.train(settings, task=blobs)
        with pytest.raises(SettingsError, match="must return a Task"):
            engines.train(settings, task=nothing)
        assert engines.train(settings.replace(data="sample")).environment["data"][:6] == "sample"
    simulated = simulate.train(settings, task=blobs, times=TIMES)
    for metric in ("test_accuracy", "train_loss"):
        one, other = (
            run.series[(run.series.metric == metric) & (run.series.worker == -1)].value
            for run in (real, simulated)
        )
        assert np.allclose(one, other, rtol=0, atol=1e-5)
    assert real.environment["data"].endswith("500 training and 100 test samples")


@pytest.mark.engines
def test_on_the_command_line_a_task_in_a_module(tmp_path):
    lines = (Path(__file__).read_text().split("def blobs")[1]).split("\n\n\n")[0]
    (tmp_path / "my_task.py").write_text(f"def blobs{lines}\n\n\ntask = blobs()\n")
    words = [sys.executable, "-m", "easgd_lib", "train", "--method", "easgd", "--steps", "60"]
    ran = subprocess.run(
        [*words, "--task", "my_task:task"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "my_task:task, 500 training and 100 test samples" in ran.stdout
    both = subprocess.run(
        [*words, "--task", "my_task:task", "--data", "sample"], cwd=tmp_path, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert both.returncode == 2
    assert "leave --data out" in both.stderr


X, Y = torch.randn(20, 3), torch.arange(20) % 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train": (X, Y[:5])}, "20 inputs and 5 targets"),
        ({"train": (X / 0, Y)}, "some inputs are not finite"),
        ({"test": (X, Y * float("nan"))}, "some targets are not finite"),
        ({"train": (X[:, :2], Y)}, r"inputs of shape \(2, 2\)"),
        ({"loss": lambda outputs, y: outputs}, "no single number"),
        ({"loss": lambda outputs, y: 1.0}, "no single number"),
        ({"network": lambda: None}, "AttributeError"),
    ],
)
def test_what_does_not_fit_is_one_line_before_the_training(options, words):
    whole = {"network": lambda: nn.Linear(3, 2), "train": (X, Y), "test": (X, Y)} | options
    with pytest.raises((SettingsError, DataError), match=words):
        simulate.train(Settings("easgd", steps=20), task=lambda: Task(**whole), times=TIMES)


def test_a_torch_dataset_will_do():
    task = Task(lambda: nn.Linear(3, 2), *[torch.utils.data.TensorDataset(X, Y)] * 2)
    assert (task.train_images, task.test_images) == (20, 20)


def test_a_task_has_no_times():
    with pytest.raises(SettingsError, match="give a time model"):
        simulate.train(Settings("easgd", steps=20), task=blobs)
