"""The paper's figures, scaled down, drawn from records: methods, periods, workers, rates, time."""

import textwrap
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from easgd_lib import figures
from easgd_lib.figures import Curve, Drawn, style
from easgd_lib.learning.records import Run
from easgd_lib.metrics import curve, over_seeds, sample
from easgd_lib.reproduction.claims.paper_time import label_of, target_of, times_to_target
from easgd_lib.reproduction.experiments import Case, Records
from easgd_lib.reproduction.experiments.kth import PERIODS
from easgd_lib.reproduction.experiments.paper import (
    BY_PERIOD,
    BY_RATE,
    BY_WORKERS,
    DOWNPOUR,
    EAMSGD,
    EASGD,
    LONG_PERIODS,
    MDOWNPOUR,
    MSGD,
    PERIOD,
    RATES,
    SEQUENTIAL,
    WORKERS,
    family,
    of_workers,
)

Panel = tuple[str, dict[str, list[Run]]]  # title, and label to runs
VIRTUAL = "virtual seconds: a core for each worker, clock calibrated on two"
TICKS = [0.01, 0.02, 0.03, 0.05, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 0.9]
SECONDS = [0.2, 0.5, 1, 2, 5, 10, 20]
ERRORS = {"test_error": "test error", "train_error": "training error"}


def drawn(
    title: str, panels: list[Panel], metric: str = "test_error", columns: int = 4,
    top: float = 0.35, **axes: Any,
) -> Drawn:  # fmt: skip
    """Small multiples of a center's error against virtual seconds, mean and range over seeds."""
    shown = {name: [_curve(label, runs, metric) for label, runs in mine.items()]
             for name, mine in panels}  # fmt: skip
    first = next(iter(panels[0][1].values()))
    columns = min(columns, len(panels))
    width = {1: 6.4, 2: 4.2, 3: 3.9, 4: 2.9}[columns]
    words = textwrap.fill(_statement(first), int(13 * width * columns))
    figure = figures.panels(
        shown, f"{VIRTUAL}\n{words}", f"{ERRORS[metric]} of the center",
        columns=columns, size=(width, 3.0), **axes,
    )  # fmt: skip
    lowest = min(min(curve.low) for curves in shown.values() for curve in curves if len(curve.x))
    for axis in figure.axes:
        axis.set(yscale="log", ylim=(0.93 * lowest, top))
        figures.in_percent(axis, TICKS)
        if axis.get_xscale() == "log":
            axis.set_xticks(SECONDS, labels=[f"{each:g}" for each in SECONDS])
            axis.minorticks_off()
    return Drawn(figure, _words(title, first, panels, metric), _points(panels, metric))


def _errors(run: Run, metric: str) -> pd.Series:
    """Second to error, the first snapshot, of the start, left out."""
    rows = curve(run, metric.replace("error", "accuracy"))[1:]
    return pd.Series(1 - rows[:, 1], index=rows[:, 0])


def _curve(label: str, runs: list[Run], metric: str) -> Curve:
    """Mean, least and largest of the k-th snapshots of all seeds, at their mean second."""
    ended = [_errors(run, metric) for run in runs if not run.diverged]
    lost = len(runs) - len(ended)
    note = f"{lost} of {len(runs)} diverged" if lost else ""
    if not ended:
        return Curve(label, [], [], note=note)
    table = pd.concat(ended, keys=range(len(ended)), names=["seed", "seconds"])
    points = over_seeds(table.rename("value").reset_index())
    return Curve(label, points.x, points["mean"], False, points["min"], points["max"], note)


def _statement(runs: list[Run]) -> str:
    settings, data = runs[0].settings, runs[0].environment["data"]
    return (
        f"{data}; batches of {settings.batch_size}, {settings.steps} steps of each worker; "
        f"mean and range of {len(runs)} seed{'s' * (len(runs) > 1)}"
    )


def _words(title: str, first: list[Run], panels: list[Panel], metric: str) -> str:
    """The figure for those who cannot see it: how every curve ends."""
    lines = [title, _statement(first), f"Final {ERRORS[metric]} of the center, and its spread:", ""]
    for name, mine in panels:
        lines.append(name)
        for label, runs in mine.items():
            if any(run.diverged for run in runs):
                lines.append(f"  {label:28}  diverged")
                continue
            end = sample(runs, lambda run: _errors(run, metric).iloc[-1])
            lines.append(f"  {label:28}{end.mean:8.2%} ± {end.spread:.2%}   {_rate(runs[0])}")
    return "\n".join(lines) + "\n"


def _rate(run: Run) -> str:
    """η, and whether the best of those tried was the first or the last of them."""
    eta, tried = run.settings.eta, RATES[family(run.settings.method)]
    end = " (the end of those tried)" if eta in (min(tried), max(tried)) else ""
    return f"η = {eta:g}{end}"


def _points(panels: list[Panel], metric: str) -> pd.DataFrame:
    rows = [
        (title, label, run.settings.seed, seconds, error)
        for title, mine in panels
        for label, runs in mine.items()
        for run in runs
        if not run.diverged
        for seconds, error in _errors(run, metric).items()
    ]
    return pd.DataFrame(rows, columns=["panel", "curve", "seed", "seconds", metric])


def _methods(records: Records) -> Drawn:
    """Paper Fig. 2: every method at four periods."""
    names = {"EASGD": "easgd", "EAMSGD": "eamsgd", "DOWNPOUR": "downpour",
             "ADOWNPOUR": "adownpour", "MVADOWNPOUR": "mvadownpour"}  # fmt: skip
    panels: list[Panel] = []
    for tau in PERIODS:
        mine = {"MSGD, one worker": records(BY_PERIOD, MSGD)}
        mine |= {
            label: records(BY_PERIOD, Case(method, tau))
            for label, method in names.items()
            if records.has(BY_PERIOD, Case(method, tau))
        }
        if tau == 1:
            mine["MDOWNPOUR"] = records(BY_PERIOD, MDOWNPOUR)
        panels.append((f"τ = {tau}", mine))
    return drawn(
        "The paper's Figure 2, scaled down: four workers, four periods, each method at its best "
        "rate.",
        panels, top=1.0,
    )  # fmt: skip


def _by_workers(records: Records) -> Drawn:
    """Paper Fig. 3: more workers."""
    cases = {"EASGD": EASGD, "EAMSGD": EAMSGD,
             "DOWNPOUR, τ = 1": DOWNPOUR, "MDOWNPOUR, τ = 1": MDOWNPOUR}  # fmt: skip
    large = {4: (BY_PERIOD, MSGD._replace(batch=4)), 16: (BY_WORKERS, MSGD._replace(batch=16))}
    panels: list[Panel] = []
    for p in WORKERS:
        mine = {"MSGD, one worker": records(BY_PERIOD, MSGD)}
        for label, case in cases.items():
            mine[label] = of_workers(records, case, p)
        if p in large:
            mine["MSGD, p times the batch"] = records(*large[p])
        panels.append((f"p = {p}", mine))
    return drawn(
        f"The paper's Figure 3, scaled down: 4, 8, 16 workers; elastic methods at τ = {PERIOD}.",
        panels, columns=3, top=0.3, xscale="log",
    )  # fmt: skip


def _sequential(records: Records) -> Drawn:
    """Paper Fig. 6: one worker."""
    methods = ("sgd", "asgd", "mvasgd", "msgd")
    curves = {method.upper(): records(SEQUENTIAL, Case(method)) for method in methods}
    return drawn(
        "The paper's Figure 6, scaled down: the sequential methods, each at its best rate.",
        [("one worker", curves)],
    )


def _rates(records: Records) -> Drawn:
    """Paper Fig. 8: the effect of the learning rate."""
    return drawn(
        f"The paper's Figure 8, scaled down: three learning rates, p = 4, τ = {PERIOD}.",
        [
            (
                case.method.upper(),
                {
                    f"{size} η ({case.method}: {eta:g})": records(BY_RATE, case._replace(eta=eta))
                    for size, eta in zip(
                        ("small", "middle", "large"), RATES[case.method], strict=True
                    )
                },
            )
            for case in (EASGD, EAMSGD)
        ],
        columns=2,
    )


def _long_periods(records: Records) -> Drawn:
    """Paper Fig. 9: very long periods, and the trap."""
    easgd = {f"τ = {tau}": Case("easgd", tau) for tau in (1, 10, 100, 1000)}
    eamsgd = {f"τ = {tau}": Case("eamsgd", tau) for tau in (10, 100)}
    eamsgd["τ = 100, decaying η"] = Case("eamsgd", 100, decay=True)
    return drawn(
        "The paper's Figure 9, scaled down: EASGD to τ = 1000; EAMSGD at τ = 10, 100, and with "
        "decay.",
        [
            (title, {label: records(LONG_PERIODS, case) for label, case in cases.items()})
            for title, cases in (("EASGD", easgd), ("EAMSGD, δ = .99", eamsgd))
        ],
        columns=2,
        top=1.0,
    )


def _times(records: Records) -> Drawn:
    """Paper Fig. 10: time to accuracy."""
    target, found = target_of(records), times_to_target(records)
    table = pd.DataFrame(
        [
            (case.method.upper(), case.p, each.mean, each.spread)
            for case, each in found.items()
            if case.p
        ],
        columns=["method", "p", "seconds", "spread"],
    )
    alone = {label_of(case): each for case, each in found.items() if not case.p}
    title = (
        f"The paper's Figure 10, scaled down: virtual seconds to a test accuracy of {target:.0%}."
    )
    lines = [title, _statement(records(BY_PERIOD, MSGD)), ""]
    lines += [
        f"  {row['method']:12} p = {row['p']:<3} {_time(row['seconds'])}"
        for row in table.to_dict("records")
    ]
    lines += [f"  {name:24} {_time(each.mean)}" for name, each in alone.items()]
    return Drawn(times(table, alone, target), "\n".join(lines) + "\n", table)


def _time(seconds: float) -> str:
    return f"{seconds:6.2f} s" if seconds < float("inf") else "  never in this run"


def times(table: pd.DataFrame, alone: dict, target: float) -> Figure:
    """Seconds to the target accuracy against p, a line a method; MSGD alone as level lines."""
    style()
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    axis = figure.subplots()
    for look, (method, mine) in zip(
        figures.LOOKS[1:], table.groupby("method", sort=False), strict=False
    ):
        reached = mine[mine.seconds < float("inf")]
        axis.errorbar(reached.p, reached.seconds, reached.spread, label=method, capsize=2, **look)
    for dashes, (name, each) in zip(("-", "--", ":"), alone.items(), strict=True):
        if each.mean < float("inf"):
            axis.axhline(each.mean, color="black", ls=dashes, lw=1, label=name)
    axis.set(
        xscale="log", yscale="log", xticks=WORKERS, xticklabels=WORKERS, yticks=SECONDS,
        yticklabels=SECONDS, xlabel="workers p",
        ylabel=f"virtual seconds to {target:.0%} test accuracy",
    )  # fmt: skip
    axis.minorticks_off()
    axis.set_ylim(top=1.3 * table.seconds[table.seconds < float("inf")].max())
    axis.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


SHARES = {"compute": "0.85", "data": "0.55", "communication": "black"}


def _table_4(records: Records) -> Drawn:
    """Paper Table 4: where the time goes."""
    rows = []
    for case in (DOWNPOUR, EASGD):
        for p in WORKERS:
            runs = of_workers(records, case, p)
            split = pd.DataFrame([run.time_split for run in runs]).mean()
            label = f"{case.method.upper()}, τ = {case.tau}, p = {p}"
            rows.append({"run": label} | (split / split.sum()).to_dict())
    table = pd.DataFrame(rows)
    lines = [
        "The paper's Table 4, scaled down: shares of the workers' time, one parameter server.",
        "",
    ]
    lines += [
        f"  {row['run']:24}" + "".join(f"  {each} {row[each]:6.1%}" for each in SHARES)
        for row in table.to_dict("records")
    ]
    return Drawn(shares(table), "\n".join(lines) + "\n", table)


def shares(table: pd.DataFrame) -> Figure:
    """Stacked bars: computing, data, exchanging."""
    style()
    figure = Figure(figsize=(7, 2.9), layout="constrained")
    axis = figure.subplots()
    left = pd.Series(0.0, index=table.index)
    for activity, face in SHARES.items():
        axis.barh(
            table["run"], table[activity], left=left, color=face, edgecolor="black",
            linewidth=0.6, label="exchanging, or waiting to" if face == "black" else activity,
        )  # fmt: skip
        left += table[activity]
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set(xlim=(0, 1), xlabel="fraction of the workers' time (virtual clock)")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


ALL: dict[str, Callable[[Records], Drawn]] = {
    "paper-figure2": _methods,
    "paper-figure3": _by_workers,
    "paper-figure6": _sequential,
    "paper-figure8": _rates,
    "paper-figure9": _long_periods,
    "paper-figure10": _times,
    "paper-table4": _table_4,
}
