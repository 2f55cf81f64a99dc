"""Where records and figures live: in the clone, or, installed without one, where you stand."""

import atexit
import os
import shutil
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


def settle_home():
    """Where the home folder cannot be written to, give others' settings a temporary place.

    IPython and Matplotlib would find one themselves, and warn of it in a notebook's cell.
    """
    if os.access(os.path.expanduser("~"), os.W_OK):
        return
    missing = [name for name in ("IPYTHONDIR", "MPLCONFIGDIR") if name not in os.environ]
    for name in missing:
        os.environ[name] = folder = tempfile.mkdtemp(prefix="easgd-home-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


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
