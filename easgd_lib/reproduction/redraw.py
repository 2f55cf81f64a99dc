"""Draw every figure there is something to draw from, judge every claim, write the ledger."""

from collections.abc import Iterator
from pathlib import Path

from easgd_lib import figures, paths
from easgd_lib.reproduction import claims, ledger
from easgd_lib.reproduction.experiments import Missing, Records, Size
from easgd_lib.reproduction.figures import from_theory as paper_figures
from easgd_lib.reproduction.figures import kth as report_figures
from easgd_lib.reproduction.figures import scaled_down as kind_figures

ALL = {**report_figures.ALL, **kind_figures.ALL}


def from_records(size: Size) -> Iterator[Path]:
    """Draw what the stored records of this size allow; yields each figure's path, no suffix."""
    records, where = Records(size), paths.figures(quick=size.quick)
    for name, draw in ALL.items():
        try:
            drawn = draw(records)
        except Missing:
            continue
        figures.save(drawn.figure, where / name, drawn.words, drawn.points)
        yield where / name


def from_theory() -> list[Path]:
    """Those that need no training."""
    return paper_figures.save_all(paths.figures(quick=False))


def judge(size: Size) -> list[dict]:
    """Store the verdicts, and the ledger that shows them."""
    judged = claims.save(size)
    ledger.save(size, judged)
    return judged
