"""Real images in memory, and each worker's own seeded stream of batches from them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from easgd_lib.errors import DataError
from easgd_lib.learning import data_files, models
from easgd_lib.learning.sources import Source, is_task, source_of

SIDE = 28  # pixels, of what the networks see


@dataclass(frozen=True)
class Dataset:
    """Images as bytes and labels, (n,) int64. `where` says where they come from.

    Images are uint8, (n, 28, 28), those of CIFAR-10 (n, 32, 32, 3).
    """

    name: str
    where: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def pixels(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Bytes to standardized pixels (n, channels, 28, 28), channels_last: the center crop."""
        source = source_of(self.name)
        mean, std = source.mean, source.std
        margin = (images.shape[1] - SIDE) // 2
        center = images[:, margin : margin + SIDE, margin : margin + SIDE]
        scaled = center.to(dtype).mul_(1 / (255 * std)).sub_(mean / std)
        return scaled.unsqueeze(1) if scaled.ndim == 3 else scaled.permute(0, 3, 1, 2)

    draws_in_forward: ClassVar[bool] = False  # from torch's generator, as nn.Dropout does

    def build(self, seed: int, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """The network that learns these: the same seed, the same start, on every rank."""
        return models.build(seed, dtype, self.name)

    def augmented(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """A batch as a worker sees it, for CIFAR-10 cropped and mirrored at random."""
        return random_crops(images, rng)

    def labels(self, labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Labels as the loss takes them."""
        return labels

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What is minimized, a mean over the batch."""
        return torch.nn.functional.cross_entropy(outputs, labels)

    def metric(self, outputs: Tensor, labels: Tensor) -> float:
        """How good outputs are, larger is better: the fraction that is right."""
        return accuracy(outputs, labels)

    @property
    def description(self) -> str:
        n, m = len(self.train_labels), len(self.test_labels)
        return f"{self.name}, {n:,} training and {m:,} test images"


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """The fraction whose largest output, along dimension 1, is the label.

    >>> accuracy(torch.eye(2), torch.tensor([0, 0]))
    0.5
    """
    return (outputs.argmax(1) == labels).double().mean().item()


def load(name: str, *, checked: bool = False) -> Dataset:
    """A data set by name, whole, in memory; that of IDX files is shared by all ranks of a computer.

    checked : bool
        Another rank of this computer has compared the files with their checksums.

    Raises
    ------
    DataError
        Not found, truncated or corrupt: the message names the file and the fix.
    SettingsError
        There is no such set.
    """
    source = source_of(name)
    if is_task(name):
        return source.dataset(name)  # a task's
    if source.pickled or not checked:  # a pickle is never opened on another's word
        data_files.check(name)
    return _read(name, source)


@lru_cache(maxsize=2)
def _read(name: str, source: Source) -> Dataset:
    if source.read:
        arrays = source.read()
        _check_sizes(name, source, len(arrays[1]), len(arrays[3]))
    else:
        arrays = _read_files(source, data_files.root_of(name))
    train_images, test_images = (torch.as_tensor(each).contiguous() for each in arrays[::2])
    train_labels, test_labels = (torch.as_tensor(each, dtype=torch.int64) for each in arrays[1::2])
    return Dataset(name, source.where, train_images, train_labels, test_images, test_labels)


def _check_sizes(name: str, source: Source, n: int, m: int):
    """Steps are counted before the set is read: what its source states must be true."""
    if (n, m) != (source.train_images, source.test_images):
        raise DataError(
            f"{name} has {n:,} training and {m:,} test images, not the "
            f"{source.train_images:,} and {source.test_images:,} that its Source states",
            "correct the one or the other",
        )


def _read_files(source: Source, root: Path) -> tuple:
    try:
        if not source.pickled:
            return tuple(read_idx(root / source.folder / file) for file, _ in source.files)
        cls = data_files.torchvision_class(source)
        train, test = (cls(str(root), train=part, download=False) for part in (True, False))
    except Exception as error:
        raise DataError(
            f"{root / source.folder} cannot be read ({error})", "run `easgd doctor`"
        ) from error
    return train.data, train.targets, test.data, test.targets


def read_idx(path: Path) -> np.ndarray:
    """Bytes in LeCun's IDX format, mapped: what nobody writes to is in memory once a computer."""
    with open(path, "rb") as file:
        dimensions = file.read(4)[3]
        shape = np.frombuffer(file.read(4 * dimensions), ">i4")
    return np.memmap(path, np.uint8, "c", offset=4 + 4 * dimensions, shape=tuple(shape))


def random_crops(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A random 28 × 28 of each image (n, 32, 32, 3), half of them mirrored.

    Images that have this size already are left as they are, and nothing is drawn.
    """
    n, spare = len(images), images.shape[1] - SIDE
    if not spare:
        return images
    top, left = rng.integers(spare + 1, size=(2, n, 1))
    rows, columns = top + np.arange(SIDE), left + np.arange(SIDE)
    mirrored = rng.integers(2, size=n, dtype=bool)
    columns[mirrored] = columns[mirrored, ::-1]
    crops = images.numpy()[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None]]
    return torch.from_numpy(crops)


def generator(seed: int, worker: int) -> np.random.Generator:
    """A worker's own source of randomness; worker −1 is a server's, which draws nothing."""
    return np.random.default_rng([seed, worker + 1])


class Stream:
    """One worker's endless stream of batches of indices.

    An epoch is all n samples without replacement, reshuffled by this worker's own
    generator; a batch may straddle two epochs, so none is short.

    Parameters
    ----------
    n : int
        Samples in the training set.
    batch_size : int
    seed, worker : int
        Together they seed the generator: same seed, another worker, other batches.
    """

    def __init__(self, n: int, batch_size: int, seed: int, worker: int):
        self.n, self.batch_size = n, batch_size
        self.generator = generator(seed, worker)
        self.left = np.empty(0, dtype=np.int64)

    def draw(self) -> Tensor:
        """The next batch: (batch_size,) int64 indices."""
        while len(self.left) < self.batch_size:
            self.left = np.concatenate([self.left, self.generator.permutation(self.n)])
        batch, self.left = self.left[: self.batch_size], self.left[self.batch_size :]
        return torch.from_numpy(batch)
