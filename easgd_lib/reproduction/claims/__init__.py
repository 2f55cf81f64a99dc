"""Judge the papers' claims against the records, and keep the verdicts."""

import json
from pathlib import Path
from typing import Any

from easgd_lib import paths
from easgd_lib.errors import DataError
from easgd_lib.learning.records import write_atomically
from easgd_lib.reproduction.claims import kth, paper
from easgd_lib.reproduction.claims.claim import (
    CALM,
    IN_PART,
    NOT,
    REFUTED,
    REPRODUCED,
    UNTESTED,
    VERDICTS,
    Claim,
    Finding,
    verdict,
)
from easgd_lib.reproduction.experiments import FULL, Missing, Records, Size
from easgd_lib.values import kind, no_constant

__all__ = [
    "CALM", "IN_PART", "NOT", "REFUTED", "REPRODUCED", "UNTESTED", "VERDICTS", "Claim", "Finding",
    "all_claims", "file", "judge", "save", "stored", "verdict",
]  # fmt: skip


def all_claims() -> list[Claim]:
    """The KTH report's claims and the ablation, then the paper's, section by section."""
    return [*kth.CLAIMS, *paper.CLAIMS]


def judge(size: Size) -> list[dict[str, Any]]:
    """Every claim that the stored records of this size can judge."""
    records, judged = Records(size), []
    for claim in all_claims():
        try:
            judged.append(claim.judged(records))
        except Missing:
            continue
    return judged


def file(size: Size) -> Path:
    """Where the verdicts of a size lie."""
    return paths.figures(quick=size.quick) / "claims.json"


def stored(*ids: str, size: Size = FULL) -> list[dict[str, Any]]:
    """The stored verdicts on these claims, in the order asked for; on all of them without any.

    Raises
    ------
    DataError
        They were never judged, or one is unknown.
    """
    try:
        read = json.loads(file(size).read_text("utf-8"), parse_constant=no_constant)
        kind("claims", read, list)
        for i, claim in enumerate(read):
            kind(f"claim {i}", claim, dict)
            for name in ("id", "source", "claim", "verdict", "why"):
                kind(f"claim {i}, {name}", claim[name], str)
        judged = {claim["id"]: claim for claim in read}
        return [judged[each] for each in ids or judged]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{file(size)} has no verdict on {error}", "`easgd draw` judges all claims"
        ) from error


def save(size: Size) -> list[dict[str, Any]]:
    """Judge, and store the verdicts."""
    judged = judge(size)
    text = json.dumps(judged, indent=1, ensure_ascii=False)
    write_atomically(file(size), (text + "\n").encode())
    return judged
