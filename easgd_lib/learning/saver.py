"""What a checkpoint's files hold: a run's state, packed as JSON and arrays, written and read."""

import io
import json
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easgd_lib.errors import DataError, NotFinite, SettingsError
from easgd_lib.learning.checkpoint import (
    CENTER,
    SIMULATION,
    Checkpoint,
    contents,
    damaged,
    numbers,
    path_of,
)
from easgd_lib.learning.flat import digest
from easgd_lib.learning.records import write_atomically
from easgd_lib.method.settings import Settings

# Of each file. Where workers write in step, one may be at its third while another has not ended
# its second: the first is then the last that all have.
KEPT = 3

Tree = Any  # dicts and lists of tensors, arrays and plain values


def check_start(folder: Path, stored: str, start: Tensor):
    """Raise `SettingsError` where a checkpoint's network is not this one."""
    if stored != digest(start):
        raise SettingsError(
            f"the checkpoint in {folder} is that of another network, or of another start",
            "resume with the same code, or name another folder",
        )


def identity(settings: Settings, start: Tensor) -> dict:
    """What a file says it belongs to."""
    return {"settings": settings.to_dict(), "start": digest(start)}


class Saver:
    """Writes one rank's files in the background, one after another.

    A file that cannot be written (a full disk) ends no training: `failure` says why.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.folder, self.every = checkpoint.folder, checkpoint.every
        self.failure = ""
        self._next = time.monotonic() + self.every
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def save(self, files: dict[str, tuple[int, Tree]]):
        """Copy now, write later; waits for the files before to be written.

        files : from a name to its number and what it is to hold
        """
        packed = {name: (step, *pack(tree)) for name, (step, tree) in files.items()}
        self.finish()
        self._writing = self._thread.submit(self._write, packed)
        self._next = time.monotonic() + self.every

    def _write(self, packed: dict[str, tuple[int, dict, dict]]):
        everything = (array for _, _, arrays in packed.values() for array in arrays.values())
        if not all(np.isfinite(array).all() for array in everything):
            return  # a run about to end: the last good one stays
        for name, (step, about, arrays) in packed.items():
            buffer = io.BytesIO()
            text = np.frombuffer(json.dumps(about).encode(), np.uint8)
            np.savez(buffer, about=text, **arrays)
            write_atomically(path_of(self.folder, name, step), buffer.getvalue())
            for old in sorted(numbers(self.folder, name), reverse=True)[KEPT:]:
                path_of(self.folder, name, old).unlink(missing_ok=True)

    def finish(self):
        """Wait until what was saved is on disk."""
        if self._writing is None:
            return
        try:
            self._writing.result()
        except DataError as error:
            self.failure = f"no checkpoint written at last: {error}"
        self._writing = None

    @contextmanager
    def kept_if_not_finite(self):
        """A loss that is not finite ends the training: its error names what was kept."""
        try:
            yield
        except NotFinite as error:
            self.finish()
            if any(numbers(self.folder, name) for name in (CENTER, SIMULATION)):
                where = f"the last good checkpoint is in {self.folder}"
                raise NotFinite(f"{error.what}; {where}", error.fix) from error
            raise

    def close(self):
        """Finish, for good."""
        self.finish()
        self._thread.shutdown()


def newest_whole(folder: Path, workers: Iterable[int], *, in_step: bool) -> Tree | None:
    """The newest center to resume from, or None.

    in_step : bool
        Whether all workers must have a file of that very step, but those lost by then.
    """
    for pushes in sorted(numbers(folder, CENTER), reverse=True):
        center = read(folder, CENTER, pushes)
        lost = {loss["worker"] for loss in center["lost"]}
        step = center["step"]
        there = (step in numbers(folder, f"worker-{i}") for i in workers if i not in lost)
        if not in_step or all(there):
            return center
    return None


def read(folder: Path, name: str, step: int) -> Tree:
    """What `Saver` wrote.

    Raises
    ------
    DataError
        The file is missing, damaged, or none of ours.
    """
    about, arrays = contents(folder, name, step)
    try:
        return unpack(about, arrays)
    except Exception as error:  # JSON that names arrays which are not there
        raise damaged(path_of(folder, name, step), error) from error


def pack(tree: Tree) -> tuple[dict, dict[str, np.ndarray]]:
    """A tree as JSON and arrays, copied.

    >>> pack({"t": 3, "x": [torch.zeros(2)]})
    ({'t': 3, 'x': [{'tensor': '0'}]}, {'0': array([0., 0.], dtype=float32)})

    Raises
    ------
    SettingsError
        Something in it is neither.
    """
    arrays: dict[str, np.ndarray] = {}

    def plain(value: Tree, where: str) -> Any:
        key = str(len(arrays))
        match value:
            case None | bool() | int() | float() | str():
                return value
            case np.generic():
                return value.item()
            case dict():
                return {name: plain(each, f"{where}.{name}") for name, each in value.items()}
            case list() | tuple():
                return [plain(each, f"{where}[{i}]") for i, each in enumerate(value)]
            case Tensor():
                arrays[key] = value.detach().numpy().copy()
                return {"tensor": key}
            case np.ndarray():
                arrays[key] = value.copy()
                return {"array": key}
        raise SettingsError(
            f"{where.lstrip('.')} is a {type(value).__name__}: a checkpoint holds numbers, texts, "
            "arrays and tensors",
            "train without a checkpoint, or keep it out of the method's attributes",
        )

    return plain(tree, ""), arrays


def unpack(about: Any, arrays: dict[str, np.ndarray]) -> Tree:
    """What `pack` packed."""
    match about:
        case {"tensor": key}:
            return torch.from_numpy(arrays[key])
        case {"array": key}:
            return arrays[key]
        case dict():
            return {name: unpack(each, arrays) for name, each in about.items()}
        case list():
            return [unpack(each, arrays) for each in about]
    return about


def state_of(part: Any, what: str) -> Tree:
    """The state of a user's own part, if it has one to give."""
    if not hasattr(part, "state"):
        raise SettingsError(
            f"{what} {type(part).__name__} cannot be checkpointed",
            "give it state() and restore(state), or train without a checkpoint",
        )
    return part.state()
