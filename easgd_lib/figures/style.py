"""One look for every figure, readable in color and in gray."""

import matplotlib as mpl
import seaborn as sns
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

PALETTE = sns.color_palette("colorblind")


def style():
    """One look for every figure: readable at half a page, in color and in gray."""
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


LOOKS = [
    {"color": "black", "ls": "-", "marker": "o"},
    {"color": PALETTE[3], "ls": "--", "marker": "s"},
    {"color": PALETTE[0], "ls": (0, (5, 1, 1, 1)), "marker": "^"},
    {"color": PALETTE[1], "ls": ":", "marker": "D"},
    {"color": "0.55", "ls": "-", "marker": "v"},
    {"color": PALETTE[2], "ls": (0, (8, 2)), "marker": "P"},
    {"color": PALETTE[4], "ls": (0, (1, 1)), "marker": "X"},
]


def in_percent(axis, ticks: list[float]):
    """A logarithmic axis of errors, readable: 10 %, 20 %, not powers."""
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axis.yaxis.set_minor_locator(NullLocator())
