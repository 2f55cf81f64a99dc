"""Real images in memory, and each worker's own seeded stream of batches from them."""

import hashlib
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.learning.sources import DATASETS, SAMPLE, Source, source_of

SILENCE = 30.0  # seconds a mirror may keep silent
UNFINISHED = ".download-"
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

    @property
    def description(self) -> str:
        n, m = len(self.train_labels), len(self.test_labels)
        return f"{self.name}, {n:,} training and {m:,} test images"


def places() -> list[Path]:
    """Where data is looked for: the folder EASGD_DATA, then `data/` of the clone."""
    asked = os.environ.get("EASGD_DATA")
    return ([Path(os.path.expanduser(asked))] if asked else []) + [paths.DATA]


def find(name: str) -> Path | None:
    """The first root that holds a file of the set, such as one in `<root>/MNIST/raw`, or None."""
    return next((root for root in places() if _holds(root, source_of(name))), None)


def _holds(root: Path, source: Source) -> bool:
    """An empty folder is no data set, and neither are archives that were never unpacked."""
    if not source.folder or not (root / source.folder).is_dir():
        return False
    return any((root / source.folder / file).is_file() for file, _ in _files(source))


def resolve(name: str | None) -> str:
    """The data set to use: the one named, else MNIST where it is found, else the sample.

    Raises
    ------
    DataError
        None is named, and EASGD_DATA names a place that holds none.
    """
    if name:
        return name
    check_place()
    return "mnist" if find("mnist") else SAMPLE


def check_place():
    """Raise `DataError` if EASGD_DATA names a place that holds no data set: nobody means that."""
    if not os.environ.get("EASGD_DATA"):
        return
    root, *_ = places()
    if not any(_holds(root, source) for source in DATASETS.values()):
        why = "holds no data set" if root.is_dir() else "is no folder"
        raise DataError(
            f"EASGD_DATA={os.environ['EASGD_DATA']} {why}",
            "name the folder that contains MNIST/, or unset it",
        )


def check(name: str):
    """Raise `DataError` unless the data set is there, whole and sound.

    Raises
    ------
    DataError
        It is missing, truncated or corrupt.
    SettingsError
        There is no such set.
    """
    if source_of(name).folder:
        _check_files(name, _root(name))


@lru_cache(maxsize=2)
def load(name: str) -> Dataset:
    """A data set by name, whole, in memory.

    Raises
    ------
    DataError
        Not found, truncated or corrupt: the message names the file and the fix.
    SettingsError
        There is no such set.
    """
    source = source_of(name)
    if source.read:
        arrays = source.read()
        _check_sizes(name, source, len(arrays[1]), len(arrays[3]))
    else:
        arrays = _read_with_torchvision(name, source)
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


def _read_with_torchvision(name: str, source: Source) -> tuple:
    root = _root(name)
    _check_files(name, root)
    cls = _torchvision(source)
    try:
        train, test = (cls(str(root), train=part, download=False) for part in (True, False))
    except Exception as error:
        raise DataError(
            f"{root / source.folder} cannot be read ({error})", _fix(name, root)
        ) from error
    return train.data, train.targets, test.data, test.targets


def _torchvision(source: Source):
    import torchvision  # slow to load, and the sample does not need it

    return getattr(torchvision.datasets, source.torchvision)


def _root(name: str) -> Path:
    root = find(name)
    if root is None:
        folder = source_of(name).folder
        looked = ", ".join(str(place / folder) for place in places())
        raise DataError(
            f"{name} was not found (looked in {looked})",
            f"{command(name)} downloads it, or set EASGD_DATA to the folder that holds {folder}",
        )
    return root


def _check_files(name: str, root: Path):
    """Every file there, with the bytes that were published."""
    source = source_of(name)
    for file, checksum in _files(source):
        path = root / source.folder / file
        if not path.exists():
            raise DataError(f"{path} is missing", _fix(name, root))
        if not _sound(source, path, checksum):
            raise DataError(f"{path} is truncated or corrupt", _fix(name, root))


def _files(source: Source) -> list[tuple[str, str]]:
    """The set's files and their checksums: SHA-256, or the MD5 that torchvision has."""
    if source.files:
        return list(source.files)
    cls = _torchvision(source)
    return [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]


def _sound(source: Source, path: Path, checksum: str) -> bool:
    """Whether a file is what was published. CIFAR-10's are pickles: none is opened before."""
    content = path.read_bytes()
    digest = hashlib.sha256(content) if source.files else hashlib.md5(content)
    return digest.hexdigest() == checksum


def command(name: str) -> str:
    """What downloads this set."""
    return "`make data`" if source_of(name).make_data else f"`easgd data {name}`"


def _fix(name: str, root: Path) -> str:
    if root == paths.DATA:
        return f"remove its folder and run {command(name)}"
    return f"replace it with a sound copy, or unset EASGD_DATA and run {command(name)}"


def download(name: str):
    """Fetch a data set with torchvision, its mirrors and checksums, into data/: all or nothing.

    It is fetched into a folder beside, and put in its place when it is whole.
    """
    source = source_of(name)
    target = paths.DATA / source.folder
    if find(name) == paths.DATA:
        return _check_files(name, paths.DATA)
    paths.make_writable(paths.DATA)
    for rest in paths.DATA.glob(f"{UNFINISHED}*"):  # of a download that was killed
        shutil.rmtree(rest, ignore_errors=True)
    limit = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(SILENCE)
        with tempfile.TemporaryDirectory(dir=paths.DATA, prefix=UNFINISHED) as folder:
            _torchvision(source)(folder, download=True)
            _check_files(name, Path(folder))
            shutil.rmtree(target, ignore_errors=True)  # no file of the set is in it
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(folder) / source.folder, target)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be downloaded ({error})",
            f"try again later, or copy {source.folder} from another machine into {paths.DATA}",
        ) from error
    finally:
        socket.setdefaulttimeout(limit)


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
