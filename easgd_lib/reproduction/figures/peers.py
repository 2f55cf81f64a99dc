"""Two workers trained by us and by others: what `easgd benchmark peers` measured, drawn."""

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from easgd_lib import paths
from easgd_lib.figures import Drawn, style

RECORD = paths.DATA / "peers.json"
OURS = ("never", "window", "server", "allreduce")  # how the names of our own rows begin


def peers(record: Path = RECORD) -> Drawn:
    """Images per second of each row, relative to two processes that never exchange."""
    measured = json.loads(record.read_text())
    rows = [row for row in measured["rows"] if not row["missing"]]
    return Drawn(draw(rows), describe(measured, rows), pd.DataFrame(rows).drop(columns="missing"))


def draw(rows: list[dict]) -> Figure:
    """A row each: median and range."""
    style()
    figure = Figure(figsize=(7.4, 0.3 * len(rows) + 0.9), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(rows):
        face = "black" if row["case"].startswith(OURS) else "white"
        axis.plot([row["least"], row["most"]], [place, place], color="0.55", lw=1.2, zorder=1)
        axis.plot(row["relative"], place, "o", color="black", mfc=face, ms=6, zorder=2)
    axis.axvline(1, color="0.6", lw=0.8, ls=":")
    axis.set(
        yticks=range(len(rows)), yticklabels=[row["case"] for row in rows], xlim=(0, None),
        xlabel="images per second, relative to two workers that never exchange",
    )  # fmt: skip
    axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    return figure


def describe(measured: dict, rows: list[dict]) -> str:
    """The same as a table."""
    where, transfers = measured["environment"], measured["messages"]
    width = max(len(row["case"]) for row in rows)
    lines = [
        f"Two workers on {where['cores']} cores, a thread each, batch 64, the report's network;",
        f"{where['mpi']}, torch {where['versions']['torch']}.",
        f"Medians of {measured['rounds']} interleaved rounds; filled dots: ours.",
        "",
        f"{'':{width}}  images/s  relative  least   most  exchanging",
    ]
    for row in rows:
        share = "" if row["exchanging"] is None else f"{row['exchanging']:11.1%}"
        numbers = f"{row['relative']:9.2f} {row['least']:6.2f} {row['most']:6.2f} {share}"
        lines.append(f"{row['case']:{width}} {row['images_per_second']:9,.0f} {numbers}".rstrip())
    messages = ", ".join(f"{name} {1000 * took:.2f} ms" for name, took in transfers.items())
    return "\n".join([*lines, "", f"The network's vector: {messages}.", ""])
