"""What the workers minimize. Every objective has `gradient(x, …)`, a fresh draw per call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from easgd_lib.learning import models
from easgd_lib.learning.datasets import Dataset, Stream
from easgd_lib.learning.flat import Flat
from easgd_lib.method.extension import find
from easgd_lib.method.settings import Settings

DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Quadratic:
    """f(x) = h x²/2 with additive noise: the gradient is h x − σξ, ξ standard normal.

    The model of the paper's section 7, in one or, coordinate by coordinate, d dimensions.
    """

    only_normal: ClassVar[bool] = True  # draws nothing but standard normal deviates
    h: float = 1.0
    sigma: float = 0.0

    def gradient(self, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A stochastic gradient at `x`, any shape."""
        return self.h * x - self.sigma * generator.standard_normal(np.shape(x))


@dataclass(frozen=True)
class MultiplicativeNoise:
    """f(x) = E[ξ] x²/2 with multiplicative noise: the gradient is ξx, ξ ~ Gamma(shape λ, rate ω).

    E[ξ] = λ/ω and Var[ξ] = λ/ω²: a small λ is a wide spread. One draw per coordinate.
    """

    shape: float
    rate: float

    def gradient(self, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A stochastic gradient at `x`, any shape."""
        return generator.gamma(self.shape, 1 / self.rate, np.shape(x)) * x


@dataclass(frozen=True)
class DoubleWell:
    """f(x) = (1 − x²)²/4 with additive noise: the gradient is x³ − x − σξ, ξ standard normal.

    Two minima, ±1, and a maximum between: the smallest case where workers can disagree.
    """

    only_normal: ClassVar[bool] = True  # draws nothing but standard normal deviates
    sigma: float = 0.0

    def gradient(self, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A stochastic gradient at `x`, any shape."""
        return x**3 - x - self.sigma * generator.standard_normal(np.shape(x))


class ImageClassification:
    """Cross-entropy of the data set's network on one worker's batches; plus λ/2 ‖x‖² on CIFAR-10.

    Every worker builds the network from the same seed (same start) and draws from its
    own stream (different data; on CIFAR-10 crops, flips and dropout too): every run checks both.
    BatchNorm statistics stay with the worker; what is evaluated gets its own (`evaluate.py`).
    bfloat16 is autocast: parameters, gradients and messages remain float32.

    An objective of your own derives from this one, or has the same methods; `Settings`
    names it "module:Class", and it is made with the same three arguments on every worker.

    Parameters
    ----------
    data : Dataset
    settings : Settings
    worker : int
        0 … p − 1; a server's is −1.

    Attributes
    ----------
    start : (d,) tensor
        The starting point, a copy.
    loss : float
        Mean cross-entropy of the batch last drawn, at the point last asked for.
    """

    same_start, same_batches = True, False  # over all workers; what every run checks

    def __init__(self, data: Dataset, settings: Settings, worker: int):
        self.data, self.settings, self.precision = data, settings, settings.precision
        self.dtype = DTYPES[settings.precision]
        seed = self.start_seed(settings.seed, worker)
        self.network = data.build(seed, self.dtype).train()
        self.torch_state = torch.Generator().manual_seed(2**20 * settings.seed + worker).get_state()
        self.flat = Flat(self.network)
        self.start = self.flat.vector.clone()
        drawn_by = self.drawn_by(worker)
        self._stream = len(data.train_labels), settings.batch_size, settings.seed, drawn_by
        self.stream = Stream(*self._stream)
        for module in self.network.modules():
            if isinstance(module, models.Dropout):
                module.rng = self.stream.generator  # the worker's one source of randomness
        self.loss = float("nan")

    @staticmethod
    def start_seed(seed: int, worker: int) -> int:
        """What this worker's network starts from."""
        return seed

    @staticmethod
    def drawn_by(worker: int) -> int:
        """Whose batches this worker draws."""
        return worker

    def state(self) -> dict:
        """What a checkpoint keeps of it: the stream of batches, and BatchNorm's statistics."""
        return {
            "left": self.stream.left,
            "generator": self.stream.generator.bit_generator.state,
            "buffers": {name: each.clone() for name, each in self.network.named_buffers()},
            "loss": self.loss,
            "torch": self.torch_state,
        }

    def restore(self, state: dict):
        """Go on from such a state."""
        self.stream.left = state["left"]
        self.stream.generator.bit_generator.state = state["generator"]
        for name, buffer in self.network.named_buffers():
            buffer.copy_(state["buffers"][name])
        self.loss = state["loss"]
        self.torch_state = state["torch"]

    def first_batch(self) -> Tensor:
        """The indices of the first batch, whatever was drawn since."""
        return Stream(*self._stream).draw()

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next batch: pixels (n, channels, 28, 28) and labels (n,)."""
        batch = self.stream.draw()
        images = self.data.augmented(self.data.train_images[batch], self.stream.generator)
        labels = self.data.labels(self.data.train_labels[batch], self.dtype)
        return self.data.pixels(images, self.dtype), labels

    @torch.no_grad()
    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The network's logits on a batch, (n, 10), and nothing learned from it."""
        return self.network(batch[0])

    def gradient(self, x: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The gradient at `x`, (d,): a view that the next call overwrites."""
        images, labels = batch
        self.flat.vector.copy_(x)
        self.flat.gradient.zero_()
        with self._own_randomness():
            with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
                loss = self.data.loss(self.network(images), labels)
            loss.backward()
        self.loss = loss.item()
        if l2 := getattr(self.network, "l2", 0.0):
            self.flat.gradient.add_(self.flat.vector, alpha=l2)
        return self.flat.gradient

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Within it what a network draws comes from this worker's own generator."""
        if not self.data.draws_in_forward:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.torch_state)
            yield
            self.torch_state = torch.get_rng_state()


def objective_of(settings: Settings) -> type[ImageClassification]:
    """The class of the objective that these settings name.

    Raises
    ------
    SettingsError
        It cannot be imported.
    """
    return find("objective", settings.objective, {}) if settings.objective else ImageClassification
