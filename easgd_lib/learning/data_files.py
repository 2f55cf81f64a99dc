"""Where the files of data sets are, and whether they are whole and sound. Loads no torch."""

import hashlib
import os
import shutil
import socket
import tempfile
from functools import lru_cache
from pathlib import Path

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.learning.sources import DATASETS, SAMPLE, Source, source_of

SILENCE = 30.0  # seconds a mirror may keep silent
UNFINISHED = ".download-"


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
    folder = root / source.folder
    names = [file for file, _ in source.files] or os.listdir(folder)
    return any((folder / name).is_file() for name in names)


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
        _check_files(name, root_of(name))


def torchvision_class(source: Source):
    """The class that downloads this set, and reads it where its files are pickles."""
    import torchvision  # slow to load, and most runs do not need it

    return getattr(torchvision.datasets, source.torchvision)


def root_of(name: str) -> Path:
    """The folder in which this data set was found.

    Raises
    ------
    DataError
        It was not.
    """
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
    cls = torchvision_class(source)
    return [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]


def _sound(source: Source, path: Path, checksum: str) -> bool:
    """Whether a file is what was published. CIFAR-10's are pickles: none is opened before."""
    status = path.stat()
    how = "sha256" if source.files else "md5"
    return _digest(path, how, status.st_size, status.st_mtime_ns) == checksum


@lru_cache
def _digest(path: Path, how: str, size: int, changed: int) -> str:
    """A file's checksum, computed once a process as long as the file stays as it is."""
    return hashlib.new(how, path.read_bytes()).hexdigest()


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
            torchvision_class(source)(folder, download=True)
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
