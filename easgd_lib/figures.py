"""Draw figures from records. Computes nothing: what is not in a record is not in a figure."""

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from easgd_lib.records import write_atomically

PALETTE = sns.color_palette("colorblind")


def style():
    """One look for every figure: readable at half a page, in colour and in grey."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.05)
    mpl.rcParams.update({
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "pdf.fonttype": 42,
        "axes.grid": True,
        "grid.alpha": 0.35,
        "axes.spines.top": False,
        "axes.spines.right": False,
    })  # fmt: skip


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


def digits(images, labels) -> Figure:
    """Images (n, 28, 28) in two rows, each under its label."""
    style()
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.subplots(2, len(images) // 2)
    for axis, image, label in zip(axes.flat, images, labels, strict=True):
        axis.imshow(image, cmap="gray_r")
        axis.set_title(int(label), fontsize="small")
        axis.axis("off")
    return figure


def over_seeds(table: pd.DataFrame, against: str = "seconds") -> pd.DataFrame:
    """Mean, min and max of a curve's k-th points, one of each seed, at their mean x."""
    k = table.groupby("seed").cumcount()
    values = table.groupby(k).value.agg(["mean", "min", "max"])
    return values.assign(x=table.groupby(k)[against].mean())


class Curve(NamedTuple):
    """One line of a panel, or with ``points`` its dots alone; from low to high a band."""

    label: str
    x: Any
    y: Any
    points: bool = False
    low: Any = None
    high: Any = None


LOOKS = [
    {"color": "black", "ls": "-", "marker": "o"},
    {"color": PALETTE[3], "ls": "--", "marker": "s"},
    {"color": PALETTE[0], "ls": (0, (5, 1, 1, 1)), "marker": "^"},
    {"color": PALETTE[1], "ls": ":", "marker": "D"},
    {"color": "0.55", "ls": "-", "marker": "v"},
    {"color": PALETTE[2], "ls": (0, (8, 2)), "marker": "P"},
    {"color": PALETTE[4], "ls": (0, (1, 1)), "marker": "X"},
]


DIVERGED = re.compile(r" \([^()]*diverged\)$")  # ends a label: some run was lost, the look stays


def panels(
    drawn: dict[str, list[Curve]], xlabel: str, ylabel: str, *, columns: int = 4,
    size: tuple[float, float] = (2.7, 2.3), **axes: Any,
) -> Figure:  # fmt: skip
    """Small multiples: title to curves, one legend, the same look for the same label.

    `axes` goes to every panel's ``Axes.set``: scales, limits.
    """
    style()
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    labels = [curve.label for curves in drawn.values() for curve in curves]
    names = dict.fromkeys(DIVERGED.sub("", label) for label in labels)
    looks = dict(zip(names, LOOKS, strict=False))
    handles: dict[str, Any] = {}
    for axis, (title, curves) in zip(grid.flat, drawn.items(), strict=False):
        for curve in curves:
            look = dict(looks[DIVERGED.sub("", curve.label)])
            look |= {"ls": "none", "ms": 5} if curve.points else {"marker": ""}
            (handles[curve.label],) = axis.plot(curve.x, curve.y, **look)
            if curve.low is not None:
                color = look["color"]
                axis.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, lw=0)
        axis.set_title(title, fontsize="small")
        axis.set(**axes)
    for axis in grid.flat[len(drawn) :]:
        axis.axis("off")
    figure.supxlabel(xlabel, fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center",
        ncols=_legend_columns(list(handles), size[0] * columns), frameon=False, handlelength=3,
    )  # fmt: skip
    return figure


def _legend_columns(labels: list[str], inches: float) -> int:
    """As many labels beside one another as fit."""
    return max(1, min(len(labels), int(inches / (0.6 + 0.085 * max(map(len, labels))))))


def in_percent(axis, ticks: list[float]):
    """A logarithmic axis of errors, readable: 10 %, 20 %, not powers."""
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axis.yaxis.set_minor_locator(NullLocator())


def timeline(drawn: dict[str, list], until: float) -> Figure:
    """Who did what, when: title to `clock.Span`s, one row a worker, time to the right.

    Light: computing. Black: exchanging with the center, or waiting to.
    """
    style()
    count = 1 + max(span.worker for spans in drawn.values() for span in spans)
    height = 0.32 * count + 0.55
    figure = Figure(figsize=(8.6, height * len(drawn) + 0.4), layout="constrained")
    grid = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    looks = {
        "compute": ("computing", "0.85", "0.4", 0.7),
        "communication": ("exchanging, or waiting to", "black", "black", 0.45),
    }
    for axis, (title, spans) in zip(grid, drawn.items(), strict=True):
        for activity, (label, face, edge, thickness) in looks.items():
            mine = [span for span in spans if span.activity == activity and span.start < until]
            axis.barh(
                [span.worker for span in mine],
                [span.end - span.start for span in mine],
                left=[span.start for span in mine],
                height=thickness, color=face, edgecolor=edge, linewidth=0.6, label=label,
            )  # fmt: skip
        axis.set(xlim=(0, until), yticks=range(count), ylabel="worker")
        axis.set_title(title, fontsize="small", loc="left")
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    grid[-1].set_xlabel("virtual time, in steps")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def show(figure: Figure, description: str):
    """Put a figure on a notebook's page, with its description as alternative text."""
    from IPython.display import display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    display(
        {"image/png": buffer.getvalue(), "text/plain": description},
        metadata={"image/png": {"alt": description}},
        raw=True,
    )


def live_curve(curves: dict[int, list[tuple[float, float]]]):
    """Each worker's loss so far, as an image to show in place."""
    from IPython.display import Image

    style()
    figure = Figure(figsize=(5, 2.4), layout="constrained")
    axis = figure.subplots()
    for worker, line in sorted(curves.items()):
        axis.plot(
            *zip(*line, strict=True),
            label=f"worker {worker}",
            ls=["-", "--", ":", "-."][worker % 4],
        )
    axis.set(xlabel="seconds", ylabel="training loss", yscale="log")
    axis.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image(buffer.getvalue(), alt="training loss of each worker against seconds")
