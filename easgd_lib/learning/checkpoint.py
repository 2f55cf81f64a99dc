"""Checkpoints: what a user asks for, the folder they are in, and the settings they belong to.

A checkpoint is a folder with one file a worker and one for the center. A file holds arrays and
JSON (NumPy's npz, nothing pickled), is written whole or not at all, in the background, and the
one before it stays. Its number is the step of the worker, or the pushes that the center had.
What is in the files, `saver` knows; this file loads no torch.
"""

import json
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easgd_lib import paths
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.method.settings import Settings
from easgd_lib.values import number

EVERY = 60.0  # seconds between two checkpoints
CENTER, SIMULATION = "center", "simulation"  # names of files; a worker's is worker-<i>
NAME = re.compile(r"(center|simulation|worker-\d+)\.(\d+)\.npz")
OURS = re.compile(NAME.pattern + r"\w*")  # what a killed process began to write, too


class Checkpoint(NamedTuple):
    """What the user asks for: write checkpoints into a folder, or go on from the one in it."""

    folder: Path
    every: float = EVERY
    resume: bool = False

    @classmethod
    def asked(cls, folder, every: float = EVERY, resume: bool = False) -> "Checkpoint | None":
        """None if no folder is given.

        Raises
        ------
        SettingsError
            `resume` without a folder, or an interval that is none.
        """
        number("seconds between checkpoints", every, 0)
        if folder is None:
            if resume:
                raise SettingsError("nothing to resume", "name the folder of the checkpoint")
            return None
        return cls(Path(os.path.expanduser(folder)).resolve(), every, resume)

    def to_arguments(self) -> dict:
        """As `simulate.train` and `Engines.train` take them, in plain words and numbers."""
        return {"checkpoint": str(self.folder), "every": self.every, "resume": self.resume}

    def prepare(self, settings: Settings):
        """Raise, before anything is trained, if this cannot be done.

        Raises
        ------
        SettingsError
            There is a checkpoint, and `resume` is not set; the folder to resume from is missing;
            the checkpoint is that of other settings.
        DataError
            The folder cannot be written to, or a file is damaged.
        """
        if self.resume and not self.folder.is_dir():
            raise SettingsError(f"no checkpoint to resume: {self.folder} is missing")
        paths.make_writable(self.folder)
        newest = {
            name: max(found)
            for name in (CENTER, SIMULATION)
            if (found := numbers(self.folder, name))
        }
        if newest and not self.resume:
            raise SettingsError(
                f"{self.folder} holds the checkpoint of a run", "resume it, or name another folder"
            )
        for name, step in newest.items():
            about, _ = contents(self.folder, name, step, whole=False)
            check_settings(self.folder, about["settings"], settings)

    def clear_rest(self):
        """Remove what a process that was killed had begun to write."""
        for path in self.folder.iterdir():
            if OURS.fullmatch(path.name) and not NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)


def check_settings(folder: Path, stored: dict, settings: Settings):
    """Raise `SettingsError` where a checkpoint's settings are not these, naming the difference."""
    theirs = Settings.from_dict(stored)
    for each in fields(Settings):
        then, now = getattr(theirs, each.name), getattr(settings, each.name)
        if each.compare and then != now:
            raise SettingsError(
                f"the checkpoint in {folder} was made with {each.name} {then}, not {now}",
                "resume with the same settings, or name another folder",
            )


def path_of(folder: Path, name: str, step: int) -> Path:
    """Where the file of this name and step (or number of pushes) is."""
    return folder / f"{name}.{step}.npz"


def numbers(folder: Path, name: str) -> set[int]:
    """At which steps there is a file of this name."""
    found = [NAME.fullmatch(path.name) for path in folder.iterdir()]
    return {int(match[2]) for match in found if match and match[1] == name}


def contents(
    folder: Path, name: str, step: int, *, whole: bool = True
) -> tuple[dict, dict[str, np.ndarray]]:
    """A file's JSON, and its arrays (none, unless they are asked for).

    Raises
    ------
    DataError
        The file is missing, damaged, or none of ours.
    """
    path = path_of(folder, name, step)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes().decode())
            return about, {name: file[name] for name in file.files if whole and name != "about"}
    except Exception as error:  # whatever a damaged archive leads its reader to
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """What to tell the user of a file that cannot be read."""
    return DataError(
        f"the checkpoint {path} is damaged ({type(error).__name__}: {error})",
        "remove this file: the one before it is then used",
    )
