"""`easgd draw`: draw what there is to draw from, judge every claim, write the ledger."""

from pathlib import Path

import click

from easgd_lib import figures, paths
from easgd_lib.reproduction import claims, ledger
from easgd_lib.reproduction.experiments import COMPLETE, QUICK, Missing, Records, Size
from easgd_lib.reproduction.figures import from_theory, kth, scaled_down

ALL = {**kth.ALL, **scaled_down.ALL}


def everything():
    """All figures and verdicts, from theory and from the records of both sizes."""
    for stem in from_theory.save_all(paths.figures(quick=False)):
        _say(stem)
    for size in (COMPLETE, QUICK):
        if from_records(size):
            judge(size)


def from_records(size: Size) -> list[Path]:
    """Draw what the stored records of this size allow: each figure's path, no suffix."""
    records, where, found = Records(size), paths.figures(quick=size.quick), []
    for name, draw in ALL.items():
        try:
            drawn = draw(records)
        except Missing:
            continue
        figures.save(drawn.figure, where / name, drawn.words, drawn.points)
        _say(where / name)
        found.append(where / name)
    return found


def judge(size: Size) -> list[dict]:
    """Store the verdicts, and the ledger that shows them."""
    judged = claims.save(size)
    ledger.save(size, judged)
    return judged


def _say(stem: Path):
    click.echo(f"figure: {stem}.png, .pdf, .txt, .csv")
