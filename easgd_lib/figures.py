"""Draw figures from records. Computes nothing: what is not in a record is not in a figure."""

import io
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from easgd_lib.records import CENTER, Run, write_atomically

PALETTE = sns.color_palette("colorblind")
# Curve: label, colour, dashes. Order of lightness and dashes carry what colour cannot in print.
CURVES = {
    "sgd-all-cores": ("SGD, all cores", "black", ""),
    "sgd-one-thread": ("SGD, one thread", "0.45", (4, 1.5)),
    "easgd-tau1": ("EASGD, τ = 1", PALETTE[3], (1, 1)),
    "easgd-tau4": ("EASGD, τ = 4", PALETTE[1], (6, 1, 1, 1)),
    "easgd-tau16": ("EASGD, τ = 16", PALETTE[0], (5, 2)),
    "easgd-tau64": ("EASGD, τ = 64", PALETTE[2], (9, 2, 1, 2, 1, 2)),
}
ACCURACY_FLOOR = 0.85
MARKERS = dict(zip(CURVES, "os^DvP", strict=True))
PANELS = {
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "test_accuracy": "test accuracy",
}


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


def points(runs: dict[str, list[Run]]) -> pd.DataFrame:
    """Everything Figure 3 draws: curve, seed, who, seconds, metric, value."""
    tables = []
    for curve, repeats in runs.items():
        for run in repeats:
            table = run.table[run.table["rank"].isin([CENTER, 0])].copy()
            table["curve"], table["seed"] = curve, run.settings.seed
            table["who"] = table["rank"].map({CENTER: "center", 0: "worker 0"})
            tables.append(table)
    columns = ["curve", "seed", "who", "seconds", "step", "samples", "metric", "value"]
    return pd.concat(tables)[columns].reset_index(drop=True)


def figure_3(runs: dict[str, list[Run]]) -> Figure:
    """The report's Figure 3, training accuracy against seconds, and two panels more.

    Center: thick, with markers, the mean over seeds, and a band from the lowest to the
    highest. Worker 0: thin. (The sequential methods have no center but their own x.)
    """
    style()
    figure = Figure(figsize=(11, 4.9), layout="constrained")
    axes = figure.subplots(1, 3)
    table = points(runs)
    for axis, (metric, label) in zip(axes, PANELS.items(), strict=True):
        for curve in runs:
            chosen = table[(table.curve == curve) & (table.metric == metric)]
            _draw_curve(axis, curve, chosen)
        axis.set(xlabel="seconds of training (wall clock)", ylabel=label, xlim=(0, None))
        if metric == "train_loss":
            axis.set(yscale="log")
        else:
            axis.set(ylim=(ACCURACY_FLOOR, 1.0))
            _note_hidden(axis, table[table.metric == metric])
    axes[0].set_title("the report's panel", fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    seeds = len(next(iter(runs.values())))
    band = f"   ·   mean and range of {seeds} seeds" if seeds > 1 else ""
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=6,
        frameon=False,
        handlelength=4,
        title="thick, with markers: the center (of SGD: its x)   ·   "
        "thin: worker 0 (its loss is that of its own batches)" + band,
    )
    figure.suptitle(_statement(runs), fontsize="medium")
    return figure


def _draw_curve(axis, curve: str, table: pd.DataFrame):
    label, color, dashes = CURVES[curve]
    look = {"color": color, "dashes": dashes or (None, None)}
    center, worker = (over_seeds(table[table.who == who]) for who in ("center", "worker 0"))
    axis.fill_between(center.seconds, center["min"], center["max"], color=color, alpha=0.15, lw=0)
    axis.plot(
        center.seconds,
        center["mean"],
        linewidth=1.5,
        marker=MARKERS[curve],
        markersize=4,
        markevery=2,
        label=label,
        **look,
    )
    if not curve.startswith("sgd"):  # a sequential method's x is its center
        axis.plot(worker.seconds, worker["mean"], linewidth=0.8, alpha=0.75, **look)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, min and max of a curve's k-th points, one of each seed, at their mean second."""
    k = table.groupby("seed").cumcount()
    values = table.groupby(k).value.agg(["mean", "min", "max"])
    return values.assign(seconds=table.groupby(k).seconds.mean())


def _note_hidden(axis, table: pd.DataFrame):
    """Say which curves end below the axis, and where: nothing vanishes silently."""
    ends = table.groupby(["curve", "who"], sort=False).value.agg(["last", "max"])
    hidden = ends[ends["max"] < ACCURACY_FLOOR].reset_index()
    notes = [
        f"{CURVES[row['curve']][0]}: {row['who']} below, at {row['last']:.2f}"
        for row in hidden.to_dict("records")
    ]
    axis.text(0.98, 0.03, "\n".join(notes), transform=axis.transAxes, ha="right", fontsize="small")


def _statement(runs: dict[str, list[Run]]) -> str:
    """Data, p, η, β, batch, threads and machine: nobody should have to guess."""
    elastic = next(r[0] for name, r in runs.items() if name.startswith("easgd"))
    s, where = elastic.settings, elastic.environment
    source = " (5,000 real digits, not the full set)" if s.data == "sample" else ""
    return (
        f"{where['data']}{source}\n"
        f"p = {s.workers}, η = {s.eta:g}, β = {s.beta:g}, α = β/(pτ), batch {s.batch_size}, "
        f"{where['threads_per_worker']} thread per worker on {where['cores']} cores, "
        f"center: {s.center}"
    )


def describe(runs: dict[str, list[Run]]) -> str:
    """Figure 3 in words and numbers, for those who cannot see it."""
    lines = [
        "Figure 3 of the report, redrawn: SGD against asynchronous EASGD for τ = 1, 4, 16, 64.",
        "Three panels against wall-clock seconds: training accuracy, training loss, test accuracy.",
        _statement(runs),
        "",
        summary(runs),
    ]
    return "\n".join(lines)


def summary(runs: dict[str, list[Run]]) -> str:
    """What the runs end with: means over seeds; images/s, their median."""
    lines = ["                  images/s  exchanging   test accuracy:  center  worker 0"]
    for curve, repeats in runs.items():
        rate = median(run.images_per_second for run in repeats)
        line = f"{CURVES[curve][0]:16} {rate:9,.0f}"
        if curve.startswith("easgd"):
            shares = [r.time_split["communication"] / sum(r.time_split.values()) for r in repeats]
            line += f"{mean(shares):12.2%}"
        accuracy = mean(run.final("test_accuracy", CENTER) for run in repeats)
        line = f"{line:40}{accuracy:23.2%}"
        if curve.startswith("easgd"):
            line += f"{mean(run.final('test_accuracy', 0) for run in repeats):10.2%}"
        lines.append(line)
    return "\n".join(lines) + "\n"


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


class Curve(NamedTuple):
    """One line of a panel, or with ``points`` its dots alone."""

    label: str
    x: Any
    y: Any
    points: bool = False


LOOKS = [
    {"color": "black", "ls": "-", "marker": "o"},
    {"color": PALETTE[3], "ls": "--", "marker": "s"},
    {"color": PALETTE[0], "ls": (0, (5, 1, 1, 1)), "marker": "^"},
    {"color": PALETTE[1], "ls": ":", "marker": "D"},
    {"color": "0.55", "ls": "-", "marker": "v"},
    {"color": PALETTE[2], "ls": (0, (8, 2)), "marker": "P"},
]


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
    labels = list(dict.fromkeys(curve.label for curves in drawn.values() for curve in curves))
    looks = dict(zip(labels, LOOKS, strict=False))
    handles: dict[str, Any] = {}
    for axis, (title, curves) in zip(grid.flat, drawn.items(), strict=False):
        for curve in curves:
            look = dict(looks[curve.label])
            look |= {"ls": "none", "ms": 5} if curve.points else {"marker": ""}
            (handles[curve.label],) = axis.plot(curve.x, curve.y, **look)
        axis.set_title(title, fontsize="small")
        axis.set(**axes)
    for axis in grid.flat[len(drawn) :]:
        axis.axis("off")
    figure.supxlabel(xlabel, fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles),
        frameon=False, handlelength=3,
    )  # fmt: skip
    return figure


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
