"""A claim of a paper, what judging it found, and the word for that: every verdict is computed.

A claim is put as comparisons, each of which *holds* (1), is a *tie* (0), or comes out the other
way round (−1); `verdict` turns them into a word. What is a tie says `metrics.below`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np

from easgd_lib.metrics import Sample
from easgd_lib.reproduction.experiments import Records

REPRODUCED = "reproduced"
IN_PART = "reproduced in part"
NOT = "not reproduced"
REFUTED = "refuted"
UNTESTED = "cannot be tested here"
VERDICTS = (REPRODUCED, IN_PART, NOT, REFUTED, UNTESTED)

CALM = 0.02  # two points of error: what "calm" and "insensitive to τ" allow
SHORT = " (Our runs take hundreds of steps, the paper's hours.)"
Number = float | int


def verdict(comparisons: Sequence[int], long: bool = False) -> str:
    """All hold; some hold; none holds and one is the other way round; nothing but ties.

    A claim about `long` runs is not refuted by short ones.
    """
    if not comparisons:
        return UNTESTED
    if all(each > 0 for each in comparisons):
        return REPRODUCED
    if any(each > 0 for each in comparisons):
        return IN_PART
    return REFUTED if any(each < 0 for each in comparisons) and not long else NOT


@dataclass(frozen=True)
class Finding:
    """What judging found.

    Attributes
    ----------
    values : dict
        What was measured: name to one number per seed (or one where nothing is random).
    comparisons : list of int
        1, 0 or −1 each; empty: it cannot be tested.
    why : str
        What the numbers show, and what made them so.
    """

    values: Mapping[str, Sequence[Number]]
    comparisons: list[int]
    why: str


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, what would be seen if it were so, and how that is looked up."""

    id: str
    source: str
    claim: str
    expected: str
    judge: Callable[[Records], Finding]
    long: bool = False  # it speaks of runs of hours, ours take hundreds of steps

    def judged(self, records: Records) -> dict[str, Any]:
        """The claim with its verdict, as it is stored.

        Raises
        ------
        Missing
            A record that it needs is not there.
        """
        records.asked.clear()
        found = self.judge(records)
        values = {name: list(each) for name, each in found.values.items()}
        return {
            "id": self.id,
            "source": self.source,
            "claim": self.claim,
            "command": _command(records),
            "expected": self.expected,
            "measured": {
                "value": {name: _rounded(mean(each)) for name, each in values.items()},
                "spread": {name: _rounded(_spread(each)) for name, each in values.items()},
                "seeds": max((len(each) for each in values.values()), default=0),
                "n": sum(len(each) for each in values.values()),
            },
            "verdict": verdict(found.comparisons, self.long),
            "comparisons": found.comparisons,
            "why": found.why + (SHORT if self.long else ""),
        }


def _command(records: Records) -> str:
    """What makes the records that were asked for, and then judges again."""
    names = "".join(f" --only {name}" for name in sorted(records.asked))
    return f"easgd reproduce --full{names}" if names else "easgd draw"


def _spread(values: Sequence[Number]) -> float:
    finite = len(values) > 1 and all(map(np.isfinite, values))
    return stdev(values) if finite else 0.0


def _rounded(value: float) -> float | str:
    """Five digits, and no infinity, for which JSON has no word."""
    return float(f"{value:.5g}") if np.isfinite(value) else "never"


def worth(table: dict[str, Sample]) -> str:
    """Means, in words."""
    return ", ".join(f"{name} {each.mean:.1%}" for name, each in table.items())


def values(table: dict[str, Sample]) -> dict:
    """One number per seed, as a finding keeps them."""
    return {name: each.values for name, each in table.items()}
