"""The ledger of the reproduction: what is drawn, what was claimed, what was found."""

import textwrap
from collections import Counter
from pathlib import Path

from easgd_lib import paths
from easgd_lib.learning.records import write_atomically
from easgd_lib.reproduction.claims import VERDICTS
from easgd_lib.reproduction.experiments import Size

HEAD = Path(__file__).with_name("ledger.md")


def file(size: Size) -> Path:
    """It lies beside the figures it speaks of."""
    return paths.figures(quick=size.quick) / "README.md"


def save(size: Size, judged: list[dict]) -> Path:
    """Write the ledger, and say where."""
    return write_atomically(file(size), page(judged).encode())


def summary(judged: list[dict]) -> str:
    """How many claims, and of each verdict how many."""
    count = Counter(claim["verdict"] for claim in judged)
    verdicts = ", ".join(f"{count[verdict]} {verdict}" for verdict in VERDICTS if count[verdict])
    return f"{len(judged)} claims: {verdicts}"


def page(judged: list[dict]) -> str:
    """The ledger in Markdown: the head, a count of verdicts, a table, and the reasons."""
    lines = [HEAD.read_text("utf-8"), f"{summary(judged)}.", "", *_table(judged), ""]
    lines += ["## What was measured, and why", ""]
    for claim in judged:
        lines += [*_entry(claim), ""]
    return "\n".join(lines)


def to_text(judged: list[dict]) -> str:
    """Claims and verdicts as plain text, for a notebook's page."""
    parts = []
    for claim in judged:
        parts += [f"{claim['verdict'].upper()}: {claim['claim']} ({claim['source']})"]
        parts += textwrap.wrap(claim["why"], 96, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(parts)


def _table(judged: list[dict]) -> list[str]:
    rows = ["| claim | where | verdict |", "|---|---|---|"]
    return rows + [
        f"| [{claim['claim']}](#{claim['id']}) | {claim['source']} | {claim['verdict']} |"
        for claim in judged
    ]


def _entry(claim: dict) -> list[str]:
    holding, all_of_them = sum(each > 0 for each in claim["comparisons"]), len(claim["comparisons"])
    lines = [
        f"### {claim['id']}",
        "",
        f"*{claim['claim']}* ({claim['source']}; `{claim['command']}`)",
        "",
        f"**{claim['verdict']}**"
        + (f" ({holding} of {all_of_them} comparisons hold)" if all_of_them > 1 else "")
        + f". Expected: {claim['expected']} {claim['why']}",
    ]
    measured = claim["measured"]
    if measured["value"]:
        lines += ["", "; ".join(
            f"{name}: {value}" + (f" ± {spread}" if (spread := measured["spread"][name]) else "")
            for name, value in measured["value"].items()
        ) + (f" ({measured['seeds']} seeds)." if measured["seeds"] > 1 else ".")]  # fmt: skip
    return lines
