"""Where records and figures live: in the clone, or, installed without one, where you stand."""

from pathlib import Path

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
