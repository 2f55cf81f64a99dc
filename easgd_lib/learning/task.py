"""A network and data of your own, for `easgd train`, `engines.train` and `simulate.train`.

In a module that every rank can import, for example ``my_task.py`` beside the notebook::

    from torch import nn
    from easgd_lib.learning.task import Task

    task = Task(network=MyNet, train=(x, y), test=(x_test, y_test), loss=nn.functional.mse_loss)

Then ``Settings("eamsgd", data="my_task:task")``, or ``easgd train --task my_task:task``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from easgd_lib.errors import DataError, SettingsError
from easgd_lib.learning.datasets import Dataset, accuracy
from easgd_lib.learning.sources import Source

SHOWN = 2  # samples that are shown to the network before anything starts


class Task(Source):
    """What is to be learned, by which network, from which data.

    Parameters
    ----------
    network : callable
        Makes the network; its class, mostly. It is called with torch's seed set to the run's, so
        all workers start from the same point. Dropout draws from the worker's own generator.
    train, test : (inputs, targets) or torch Dataset
        Tensors or arrays, a sample a row, in memory. (Of a Dataset all samples are read.)
    loss : callable
        (outputs, targets) to a mean, differentiable. Default: cross-entropy.
    metric : callable
        (outputs, targets) to a number, larger is better; the record keeps it as `train_accuracy`
        and `test_accuracy`. Default: the fraction that is right.
    where : str
        Where the data come from, for the record.

    Raises
    ------
    DataError
        Inputs and targets differ in number, or some are not finite.

    >>> x = torch.randn(20, 3)
    >>> task = Task(lambda: nn.Linear(3, 2), train=(x, x.argmax(1) % 2), test=(x, x.argmax(1) % 2))
    >>> task.train_images
    20
    """

    network: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[Tensor, Tensor], float]

    def __init__(
        self,
        network: Callable[[], nn.Module],
        train: Any,
        test: Any,
        loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
        metric: Callable[[Tensor, Tensor], float] = accuracy,
        where: str = "your own",
    ):
        parts = _tensors("train", train), _tensors("test", test)
        (_, targets), (_, test_targets) = parts
        super().__init__(len(targets), len(test_targets), where=where)
        own = {"network": network, "loss": loss, "metric": metric, "parts": parts}
        for name, value in own.items():
            object.__setattr__(self, name, value)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def dataset(self, name: str) -> "TaskData":
        """The data, once the network has been shown two samples of them.

        Raises
        ------
        SettingsError
            Network, data and loss do not fit one another.
        """
        (train, train_targets), (test, test_targets) = self.parts  # type: ignore[attr-defined]
        data = TaskData(name, self.where, train, train_targets, test, test_targets, self)
        shapes = [tuple(each[:SHOWN].shape) for each in (train, train_targets)]
        try:
            outputs = data.build(seed=0)(data.pixels(train[:SHOWN]))
            loss = data.loss(outputs, data.labels(train_targets[:SHOWN]))
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SettingsError(
                f"task {name}: network and loss do not take inputs of shape {shapes[0]} with "
                f"targets of shape {shapes[1]} ({why})",
                "a sample a row, and a loss that fits the outputs",
            ) from error
        if not (isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad):
            raise SettingsError(
                f"task {name}: the loss is no single number that can be differentiated",
                "return a mean over the batch",
            )
        return data


class TaskData(Dataset):
    """The data of a task, and what is to be done with them."""

    draws_in_forward = True

    def __init__(self, *fields: Any):
        *common, task = fields
        super().__init__(*common)
        object.__setattr__(self, "task", task)

    def build(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.task.network().to(dtype)  # type: ignore[attr-defined]

    def pixels(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return images.to(dtype) if images.is_floating_point() else images

    def labels(self, targets: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return targets.to(dtype) if targets.is_floating_point() else targets

    def augmented(self, images: Tensor, rng: Any) -> Tensor:
        return images

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.task.loss(outputs, targets)  # type: ignore[attr-defined]

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        return float(self.task.metric(outputs, targets))  # type: ignore[attr-defined]

    @property
    def description(self) -> str:
        n, m = len(self.train_labels), len(self.test_labels)
        return f"{self.name}, {n:,} training and {m:,} test samples"


def _tensors(what: str, part: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(part, tuple | list):
        part = default_collate([part[i] for i in range(len(part))])
    inputs, targets = (torch.as_tensor(each) for each in part)
    if len(inputs) != len(targets) or not len(inputs):
        raise DataError(
            f"{what}: {len(inputs)} inputs and {len(targets)} targets", "a target for each input"
        )
    for name, tensor in (("inputs", inputs), ("targets", targets)):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DataError(f"{what}: some {name} are not finite", "leave these samples out")
    return inputs, targets
