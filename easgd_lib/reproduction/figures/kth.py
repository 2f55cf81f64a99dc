"""The KTH report's figures, drawn from records: its Figure 3 twice, the ablation, its α."""

from collections.abc import Mapping
from statistics import mean, median
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from easgd_lib.figures import PALETTE, Drawn, style
from easgd_lib.learning.records import CENTER, Run
from easgd_lib.method.algorithms import method_of
from easgd_lib.metrics import (
    Sample,
    communication_fraction,
    errors,
    exchange_seconds,
    images_per_second,
    over_seeds,
    sample,
)
from easgd_lib.reproduction import kth
from easgd_lib.reproduction.experiments import Case, Key, Records
from easgd_lib.reproduction.experiments.kth import ABLATION, FIGURE_3
from easgd_lib.reproduction.experiments.paper import ALPHAS, BY_ALPHA
from easgd_lib.reproduction.figures.scaled_down import Panel, drawn

Runs = Mapping[Key, list[Run]]
Look = tuple[str, int]  # method, and τ; of SGD its threads
# Label, color, dashes. Order of lightness and dashes carry what color cannot in print.
CURVES: dict[Look, tuple[str, Any, Any]] = {
    ("sgd", 2): ("SGD, all cores", "black", ""),
    ("sgd", 1): ("SGD, one thread", "0.45", (4, 1.5)),
    ("easgd", 1): ("EASGD, τ = 1", PALETTE[3], (1, 1)),
    ("easgd", 4): ("EASGD, τ = 4", PALETTE[1], (6, 1, 1, 1)),
    ("easgd", 16): ("EASGD, τ = 16", PALETTE[0], (5, 2)),
    ("easgd", 64): ("EASGD, τ = 64", PALETTE[2], (9, 2, 1, 2, 1, 2)),
}
MARKERS = dict(zip(CURVES, "os^DvP", strict=True))
ACCURACY_FLOOR = 0.85
PANELS = {
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "test_accuracy": "test accuracy",
}
AXES = {"seconds": "seconds of training (wall clock)", "samples": "images seen by all workers"}
OURS = "our exchange: shared memory, one vector"
REPORTS = "the report's exchange: served in rank order, layer by layer"


def look_of(runs: list[Run]) -> Look:
    """Both schemes look alike."""
    settings = runs[0].settings
    return settings.method, settings.tau or settings.threads or 1


def elastic(runs: list[Run]) -> bool:
    """Whether they have a center: a sequential method's x is its own."""
    return bool(method_of(runs[0].settings).exchange)


def rows_of(runs: Runs) -> dict[str, Runs]:
    """Runs by row of Figure 3: our exchange, and the report's where it was run; SGD in both."""
    served = {case for case, each in runs.items() if each[0].settings.center == kth.SCHEME}
    ours: Runs = {case: each for case, each in runs.items() if case not in served}
    theirs: Runs = {c: each for c, each in runs.items() if c in served or not elastic(each)}
    return {OURS: ours} | ({REPORTS: theirs} if served else {})


def points(runs: Runs) -> pd.DataFrame:
    """Everything Figure 3 draws: curve, seed, who, seconds, metric, value."""
    tables = []
    for curve, repeats in runs.items():
        for run in repeats:
            table = run.table[run.table["worker"].isin([CENTER, 0])].copy()
            table["curve"], table["seed"] = curve, run.settings.seed
            table["who"] = table["worker"].map({CENTER: "center", 0: "worker 0"})
            tables.append(table)
    columns = ["curve", "seed", "who", "seconds", "step", "samples", "metric", "value"]
    return pd.concat(tables)[columns].reset_index(drop=True)


def figure_3(runs: Runs, against: str = "seconds") -> Figure:
    """The report's Figure 3, training accuracy against seconds, and two panels more.

    One row for each exchange scheme. Center: thick, with markers, the mean over seeds, and a
    band from the lowest to the highest. Worker 0: thin. (SGD has no center but its own x.)
    """
    style()
    rows = rows_of(runs)
    figure = Figure(figsize=(11, 1.5 + 3.3 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 3, sharex=True, squeeze=False)
    table = points(runs)
    for axes, (title, mine) in zip(grid, rows.items(), strict=True):
        for axis, (metric, label) in zip(axes, PANELS.items(), strict=True):
            shown = table[(table.metric == metric) & table.curve.isin(list(mine))]
            for curve, repeats in mine.items():
                _draw_curve(axis, repeats, shown[shown.curve == curve], against)
            axis.set(ylabel=label, xlim=(0, None))
            if metric == "train_loss":
                axis.set(yscale="log")
            else:
                axis.set(ylim=(ACCURACY_FLOOR, 1.0))
                _note_hidden(axis, mine, shown)
        axes[0].set_title(title, fontsize="medium", loc="left")
    for axis in grid[-1]:
        axis.set_xlabel(AXES[against])
    handles, labels = grid[0][0].get_legend_handles_labels()
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


def _draw_curve(axis, runs: list[Run], table: pd.DataFrame, against: str):
    label, color, dashes = CURVES[look_of(runs)]
    look: dict[str, Any] = {"color": color, "dashes": dashes or (None, None)}
    whose = (table[table.who == who] for who in ("center", "worker 0"))
    center, worker = (over_seeds(each, against) for each in whose)
    axis.fill_between(center.x, center["min"], center["max"], color=color, alpha=0.15, lw=0)
    axis.plot(
        center.x, center["mean"], linewidth=1.5, marker=MARKERS[look_of(runs)], markersize=4,
        markevery=2, label=label, **look,
    )  # fmt: skip
    if elastic(runs):
        axis.plot(worker.x, worker["mean"], linewidth=0.8, alpha=0.75, **look)


def _note_hidden(axis, runs: Runs, table: pd.DataFrame):
    """Say which curves end below the axis, and where: nothing vanishes silently."""
    ends = table.groupby(["curve", "who", "seed"], sort=False).value.agg(["last", "max"])
    ends = ends.groupby(level=["curve", "who"], sort=False).mean()
    hidden = ends[ends["max"] < ACCURACY_FLOOR].reset_index()
    notes = [
        f"{CURVES[look_of(runs[row['curve']])][0]}: {row['who']} below, at {row['last']:.2f}"
        for row in hidden.to_dict("records")
    ]
    axis.text(0.98, 0.03, "\n".join(notes), transform=axis.transAxes, ha="right", fontsize="small")


def _statement(runs: Runs) -> str:
    """Data, p, η, β, batch, threads and machine: no reader should have to guess."""
    first = next(each[0] for each in runs.values() if elastic(each))
    s, where = first.settings, first.environment
    source = " (5,000 real digits, not the full set)" if s.data == "sample" else ""
    return (
        f"{where['data']}{source}\n"
        f"p = {s.workers}, η = {s.eta:g}, β = {s.beta:g}, α = β/(pτ), batch {s.batch_size}, "
        f"{where['threads_per_worker']} thread per worker on {where['cores']} cores"
    )


def describe(runs: Runs) -> str:
    """Figure 3 in words and numbers, for those who cannot see it."""
    lines = [
        "Figure 3 of the report, redrawn: SGD against asynchronous EASGD for τ = 1, 4, 16, 64.",
        "Three panels: training accuracy, training loss, test accuracy; above with our exchange,",
        "below with the report's own (a root that serves in rank order, one message per layer).",
        _statement(runs),
        "",
        summary(runs),
    ]
    return "\n".join(lines)


def summary(runs: Runs) -> str:
    """What the runs end with: means over seeds; images/s, their median."""
    lines = []
    for title, mine in rows_of(runs).items():
        lines += [
            title,
            "                  images/s  exchanging   test accuracy:  center  worker 0",
        ]
        lines += [_summary_line(repeats) for repeats in mine.values()]
    return "\n".join(lines) + "\n"


def _summary_line(repeats: list[Run]) -> str:
    rate = median(run.images_per_second for run in repeats)
    line = f"{CURVES[look_of(repeats)][0]:16} {rate:9,.0f}"
    if elastic(repeats):
        line += f"{mean(map(communication_fraction, repeats)):12.2%}"
    line = f"{line:40}{mean(run.final('test_accuracy', CENTER) for run in repeats):23.2%}"
    if elastic(repeats):
        line += f"{mean(run.final('test_accuracy', 0) for run in repeats):10.2%}"
    return line


def _figure_3(against: str):
    def draw(records: Records) -> Drawn:
        runs = {name: records(FIGURE_3, name) for name in FIGURE_3.grid(records.size)}
        return Drawn(figure_3(runs, against), describe(runs), points(runs))

    return draw


ABLATION_LABELS = {
    "ours": "ours: shared memory",
    "server": "a server, whole vectors",
    "layers": "layer by layer",
    "lockstep": "in rank order (lockstep)",
    "root-computes": "root computes too",
    "elements": "floats copied one by one",
    "threads": "two threads per worker",
    "same-digits": "same digits on all",
    "own-start": "own start per process",
    "alpha": "α = β/(pτ)",
    "all": "all of it together",
    "four": "four workers on two cores",
    "four-report": "four, served as in the report",
    "momentum": "momentum instead (EAMSGD)",
    "sgd": "for comparison: SGD, all cores",
}


def _ablation(records: Records) -> Drawn:
    runs = {name: records(ABLATION, name) for name in ABLATION_LABELS}
    speeds = {name: sample(each, images_per_second) for name, each in runs.items()}
    found = {name: errors(each) for name, each in runs.items()}
    where = runs["ours"][0]
    title = (
        f"{where.environment['data']}, p = 2 (four: 4), τ = 4, η = .01, batch 100, "
        f"{where.seconds:.0f} s on {where.environment['cores']} cores; each alone, then all\n"
        f"mean of {len(runs['ours'])} seeds, whiskers: standard deviation"
    )
    rows = pd.DataFrame(
        {
            "factor": name,
            "label": ABLATION_LABELS[name],
            "images_per_second": speeds[name].mean,
            "times_slower": speeds["ours"].mean / speeds[name].mean,
            "exchange_seconds": _exchange_seconds(each),
            "exchanging": sample(each, communication_fraction).mean,
            "test_error": found[name].mean,
            "test_error_spread": found[name].spread,
            "seeds": len(each),
        }
        for name, each in runs.items()
    )
    return Drawn(ablation(speeds, found, title), _ablation_words(rows, title), rows)


def _exchange_seconds(runs: list[Run]) -> float:
    return sample(runs, exchange_seconds).mean if runs[0].exchanges else 0.0


def ablation(speeds: dict[str, Sample], found: dict[str, Sample], title: str) -> Figure:
    """Two panels of bars: how many times slower each factor is, and what the center then knows."""
    style()
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(speeds)
    ours = speeds["ours"].mean
    faces = [_face(name) for name in names]
    slower = [ours / speeds[name].mean for name in names]
    worse = [100 * found[name].mean for name in names]
    spreads = [100 * found[name].spread for name in names]
    places = range(len(names))
    for axis, widths, reach, form, ticks in (
        (left, slower, slower, "{:.2f} ×", [1, 2, 5, 10, 20]),
        (right, worse, [w + s for w, s in zip(worse, spreads, strict=True)], "{:.1f} %",
         [1, 2, 5, 10, 20, 50, 100]),
    ):  # fmt: skip
        axis.barh(places, widths, color=faces, edgecolor="black", linewidth=0.6)
        for place, width, end in zip(places, widths, reach, strict=True):
            text = form.format(width)
            axis.text(1.05 * max(end, 1), place, text, va="center", fontsize="small")
        axis.set_xscale("log")
        axis.set_xticks(ticks, labels=map(str, ticks))
        axis.minorticks_off()
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.2)
    right.errorbar(worse, places, xerr=spreads, fmt="none", color="0.3", capsize=2)
    left.axvline(1, color="black", linewidth=0.8)
    left.set(
        xlabel="times slower than ours (images per second, log)",
        yticks=places,
        yticklabels=[ABLATION_LABELS[name] for name in names],
    )
    right.set(xlabel="test error of the center when time is up (%, log)")
    left.invert_yaxis()
    figure.suptitle(title, fontsize="medium")
    return figure


def _face(name: str) -> str:
    """Light: clean, or a rival. Darker: a factor. Darkest: all of them."""
    if name in ("ours", "server", "four", "sgd", "momentum"):
        return "0.85"
    return "0.35" if name == "all" else "0.6"


def _ablation_words(rows: pd.DataFrame, title: str) -> str:
    lines = [
        "What was wrong: an ablation, each factor of the KTH program alone, then all together.",
        title,
        "",
        f"{'':34}{'images/s':>9}{'slower':>9}{'exchange':>11}{'share':>8}{'test error':>12}",
    ]
    lines += [
        f"{row['label']:34}{row['images_per_second']:9,.0f}{row['times_slower']:8.2f}×"
        f"{1e3 * row['exchange_seconds']:9,.1f}ms{row['exchanging']:8.1%}{row['test_error']:12.2%}"
        for row in rows.to_dict("records")
    ]
    return "\n".join(lines) + "\n"


def _alpha(records: Records) -> Drawn:
    """α at fixed p and τ; and both readings of β where τ is large."""
    by_alpha = {f"α = {alpha:g}": records(BY_ALPHA, Case("easgd", alpha=alpha)) for alpha in ALPHAS}
    panels: list[Panel] = [("τ = 4", by_alpha)]
    for tau in (16, 64):
        readings = {"exchange": "α = β/p", "step": "α = β/(pτ)"}
        panels.append((
            f"τ = {tau}",
            {
                label: records(BY_ALPHA, Case("easgd", tau, beta_per=reading))
                for reading, label in readings.items()
            },
        ))  # fmt: skip
    return drawn(
        "The report's α, larger and smaller, and both readings of β (EASGD, p = 2).",
        panels, "train_error", top=1.0,
    )  # fmt: skip


ALL = {
    "figure3": _figure_3("seconds"),
    "figure3-samples": _figure_3("samples"),
    "ablation": _ablation,
    "alpha": _alpha,
}
