"""Small multiples of curves, timelines of workers, and a few digits."""

from typing import Any, NamedTuple

from matplotlib.figure import Figure

from easgd_lib.figures.style import LOOKS, style


class Curve(NamedTuple):
    """One line of a panel, or with ``points`` its dots alone; from low to high a band.

    `note` follows the label in the legend; what is alike but for it, looks alike.
    """

    label: str
    x: Any
    y: Any
    points: bool = False
    low: Any = None
    high: Any = None
    note: str = ""


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
    labels = dict.fromkeys(curve.label for curves in drawn.values() for curve in curves)
    looks = dict(zip(labels, LOOKS, strict=False))
    handles: dict[str, Any] = {}
    for axis, (title, curves) in zip(grid.flat, drawn.items(), strict=False):
        for curve in curves:
            look = dict(looks[curve.label])
            look |= {"ls": "none", "ms": 5} if curve.points else {"marker": ""}
            name = f"{curve.label} ({curve.note})" if curve.note else curve.label
            (handles[name],) = axis.plot(curve.x, curve.y, **look)
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
