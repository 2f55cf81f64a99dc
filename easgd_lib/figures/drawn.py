"""A drawn figure with its words and its points: saved to files, or shown on a page."""

import io
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from easgd_lib.learning.records import write_atomically


class Drawn(NamedTuple):
    """A figure, what it shows in words, and its points."""

    figure: Figure
    words: str
    points: pd.DataFrame


def save(figure: Figure, stem: Path, description: str, points: pd.DataFrame):
    """PNG and PDF with fixed metadata, the description as .txt, the points as .csv."""
    for kind, metadata in (
        ("png", {"Software": None}),
        ("pdf", {"CreationDate": None, "Creator": None, "Producer": None}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        write_atomically(stem.with_suffix(f".{kind}"), buffer.getvalue())
    write_atomically(stem.with_suffix(".txt"), description.encode())
    write_atomically(stem.with_suffix(".csv"), points.to_csv(index=False).encode())


def show(figure: Figure, description: str):
    """Put a figure on a notebook's page, with its description as alternative text."""
    from IPython.display import display  # slow to load, and only for a page

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    display(
        {"image/png": buffer.getvalue(), "text/plain": description},
        metadata={"image/png": {"alt": description}},
        raw=True,
    )
