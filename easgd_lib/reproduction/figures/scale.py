"""Many workers on many computers, by the time model: what `easgd benchmark scale` found, drawn."""

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from easgd_lib import paths
from easgd_lib.figures import Drawn, style

RECORD = paths.DATA / "scale.json"
STYLES = {  # readable in grey
    "tree": {"color": "black", "marker": "o"},
    "one server": {"color": "0.45", "marker": "s", "ls": "--"},
    "one server, in the background": {"color": "0.45", "marker": "s", "mfc": "white", "ls": ":"},
    "all-reduce": {"color": "0.3", "marker": "^", "mfc": "white", "ls": "-."},
}


def scale(record: Path = RECORD) -> Drawn:
    """Images per second over those of workers that never exchange, by period: a panel a network."""
    planned = json.loads(record.read_text())
    points = pd.DataFrame(planned["plans"])
    return Drawn(draw(points), describe(planned, points), points)


def draw(points: pd.DataFrame) -> Figure:
    """A line a kind of center."""
    style()
    networks = points.network.unique()
    figure = Figure(figsize=(3.7 * len(networks), 3.3), layout="constrained")
    axes = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axis, network in zip(axes, networks, strict=True):
        for kind, rows in points[points.network == network].groupby("kind", sort=False):
            axis.plot(rows.tau, rows.relative, ms=4, label=kind, **STYLES[str(kind)])
        axis.set(xscale="log", xlabel="τ, steps between exchanges", title=network, ylim=(0, 1.05))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes[0].set_ylabel("speed, of workers\nthat never exchange")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def describe(planned: dict, points: pd.DataFrame) -> str:
    """The same as a table."""
    lines = [
        f"A plan by the time model, nothing of it is measured: {planned['workers']:,} workers on "
        f"{planned['hosts']} computers,",
        f"batch {planned['batch']}, the report's network, the step as calibrated.",
        "Images per second over those of workers that never exchange.",
        "tree: τ is that of the nodes and the root; on a node τ = 10, or τ if that is less.",
        "all-reduce: a ring over the computers; inside one it takes no time.",
    ]
    for network, rows in points.groupby("network", sort=False):
        table = rows.pivot_table(index="kind", columns="tau", values="relative", sort=False)
        lines += ["", f"{network:30}" + "".join(f"  τ = {tau:<4}" for tau in table.columns)]
        for kind, values in table.iterrows():
            lines.append(f"{kind!s:30}" + "".join(f"{value:10.1%}" for value in values))
    return "\n".join([*lines, ""])
