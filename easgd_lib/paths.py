"""Where records and figures live: in the clone, or, installed without one, where you stand."""

import tempfile
from pathlib import Path

from easgd_lib.errors import DataError

_CLONE = Path(__file__).resolve().parents[1]
ROOT = _CLONE if (_CLONE / "pyproject.toml").exists() else Path.cwd()
DATA = ROOT / "data"
RUNS = DATA / "runs"
FIGURES = ROOT / "figures"


def runs(*, quick: bool) -> Path:
    """Records of quick runs never touch the committed ones."""
    return RUNS / "quick" if quick else RUNS


def figures(*, quick: bool) -> Path:
    """Nor do figures of quick runs."""
    return FIGURES / "quick" if quick else FIGURES


def make_writable(folder: Path):
    """Make a folder, and try that files can be written there: before the work, not after it.

    Raises
    ------
    DataError
        They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> DataError:
    """What to tell the user."""
    return DataError(
        f"{path} cannot be written ({error.strerror or error})",
        "free some space, or name a place of yours",
    )
