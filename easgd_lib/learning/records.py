"""Run: what a run leaves behind. Settings, series, time split, environment, in a small file.

Ranks write plain rows; pandas is loaded where a `Run` is made of them.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from easgd_lib.method.settings import Settings
from easgd_lib.paths import cannot_write
from easgd_lib.resources import cores
from easgd_lib.values import kind, number, read_json

if TYPE_CHECKING:
    import pandas as pd

PARTS: dict[str, type] = {
    "settings": dict,
    "time_split": dict,
    "environment": dict,
    "series": list,
}
CENTER = -1  # stands for the center in a series' column `worker`
COLUMNS = ["seconds", "step", "samples", "worker", "metric", "value"]


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes
    ----------
    settings : Settings
    final_test_accuracy : float
        Of the center, a fraction of the whole test set.
    images_per_second : float
        All workers together, in the timed region.
    seconds : float
        The timed region, of the slowest worker.
    time_split : dict
        Seconds of `compute`, `data` and `communication`, summed over workers.
    exchanges : int
        Summed over workers.
    series : DataFrame
        Long form: seconds, step (a worker's own), samples (of all workers), worker
        (−1: the center), metric, value.
    environment : dict
        Where it ran: data, versions, cores, threads, MPI.
    diverged : str
        What became infinite, and when; empty for a run that ended well.
    workers_lost : list of dict
        `worker` (−1: the server), `step` (its last one that the others knew of, a second old
        at most), `seconds` since the workers began, and `why`. What a worker that died has
        logged is lost with it; β and p stay as set.
    """

    settings: Settings
    final_test_accuracy: float
    images_per_second: float
    seconds: float
    time_split: dict
    exchanges: int
    series: pd.DataFrame
    environment: dict
    diverged: str = ""
    workers_lost: list = field(default_factory=list)

    @classmethod
    def lost(cls, settings: Settings, why: str) -> Run:
        """A run that ended in numbers that are not finite: settings and cause are all there is."""
        return cls(settings, float("nan"), 0.0, 0.0, {}, 0, _table([]), {}, diverged=why)

    @property
    def table(self) -> pd.DataFrame:
        """The series as a tidy DataFrame."""
        return self.series

    @property
    def evaluated_worker(self) -> int:
        """Whose own curve stands beside the center's: worker 0, unless it died."""
        rows = self.series[self.series.metric == "test_accuracy"]
        return int(rows.worker.max())

    def final(self, metric: str, worker: int = CENTER) -> float:
        """The last value of a metric."""
        return _last(self.series, metric, worker)

    def to_dict(self) -> dict:
        """The record as plain numbers and words, rounded."""
        return rounded(
            {
                "settings": self.settings.to_dict(),
                "final_test_accuracy": None if self.diverged else self.final_test_accuracy,
                "images_per_second": self.images_per_second,
                "seconds": self.seconds,
                "time_split": self.time_split,
                "exchanges": self.exchanges,
                "diverged": self.diverged,
                "workers_lost": self.workers_lost,
                "environment": self.environment,
                "series": self.series.to_dict("records"),
            }
        )

    def save(self, path) -> Path:
        """Write the record as JSON, a row of the series a line: whole, or not at all."""
        record = self.to_dict()
        rows = ",\n  ".join(json.dumps(row) for row in record.pop("series"))
        head = json.dumps(record, indent=1).removesuffix("\n}")
        text = f'{head},\n "series": [\n  {rows}\n ]\n}}\n'
        return write_atomically(Path(path), text.encode())

    def brief(self) -> Run:
        """The center's series and worker 0's alone: what the figures draw."""
        kept = self.series["worker"].isin([CENTER, 0])
        return replace(self, series=self.series[kept].reset_index(drop=True))

    @classmethod
    def from_dict(cls, record: dict) -> Run:
        """The run that `to_dict` wrote down.

        Raises
        ------
        ValueError, KeyError, TypeError
            A part is missing, of a wrong kind, or no finite number: it is named.
        """
        _check_parts(record)
        settings = Settings.from_dict(record["settings"])
        table = _table(record["series"])
        _check_series(table)
        accuracy = record["final_test_accuracy"]
        return cls(
            **record
            | {"settings": settings, "series": table}
            | {"final_test_accuracy": float("nan") if accuracy is None else accuracy}
        )

    @classmethod
    def load(cls, path) -> Run:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            No record, or not one of ours.
        """
        return _read(Path(path), cls.from_dict)


def settings_of(path: Path) -> Settings:
    """The settings of a stored run, without its series."""
    return _read(path, lambda record: Settings.from_dict(record["settings"]))


def _read(path: Path, parse: Callable[[dict], Any]) -> Any:
    def checked(record: Any) -> Any:
        kind("a record", record, dict)
        return parse(record)

    return read_json(path, checked, "not a readable run record", "train anew")


def _check_parts(record: dict):
    """Every part there, and what it must be."""
    for name, part in PARTS.items():
        kind(name, record[name], part)
    for name in ("images_per_second", "seconds", "exchanges"):
        number(name, record[name], 0, whole=name == "exchanges")
    for name, spent in record["time_split"].items():
        number(f"time_split.{name}", spent, 0)
    diverged = record.get("diverged", "")
    kind("diverged", diverged, str)
    if record["final_test_accuracy"] is not None or not diverged:
        number("final_test_accuracy", record["final_test_accuracy"], 0, 1)
    if not (record["series"] or diverged):
        raise ValueError("series is empty")
    for i, row in enumerate(record["series"]):
        kind(f"series, row {i}", row, dict)
    for i, loss in enumerate(record.get("workers_lost", [])):
        kind(f"workers_lost, row {i}", loss, dict)


def _check_series(table: pd.DataFrame):
    """Every value a finite number, column by column; the first that is none is named."""
    for column in COLUMNS:
        values = table[column]
        if column != "metric" and values.dtype.kind in "iuf" and np.isfinite(values).all():
            continue
        for i, value in enumerate(values):
            if column == "metric":
                kind(f"series, row {i}: metric", value, str)
            else:
                number(f"series, row {i}: {column}", value)


def write_atomically(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises
    ------
    DataError
        The disk is full, or the place is not ours to write to.
    """
    try:
        _write(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _write(path: Path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def series(accounts: list[dict], evaluations: list[dict]) -> list[dict]:
    """All workers' logs and the evaluated snapshots, a row a value.

    Each worker knows its own clock and count. The samples of all workers at one
    moment are the sum of what each had then, interpolated between its log points.
    """
    rows = [
        (seconds, step, account["worker"], "train_loss", loss)
        for account in accounts
        for seconds, step, _, loss in account["log"]
    ]
    rows += [
        (e["seconds"], e["step"], e["worker"], metric, value)
        for e in sorted(evaluations, key=lambda e: (e["worker"], e["seconds"]))
        for metric, value in e["metrics"].items()
    ]
    clocks = [
        np.array([(0.0, 0), *((p[0], p[2]) for p in a["log"]), (a["seconds"], a["samples"])])
        for a in accounts
    ]
    moments = [row[0] for row in rows]
    samples = sum(np.interp(moments, clock[:, 0], clock[:, 1]) for clock in clocks)
    return [
        dict(zip(COLUMNS, (seconds, step, int(all_samples), *rest), strict=True))
        for (seconds, step, *rest), all_samples in zip(rows, np.rint(samples), strict=True)
    ]


def assemble(
    settings: Settings, accounts: list, evaluations: list, environment: dict, lost: Sequence = ()
) -> dict:
    """One record from what the workers noted and what was evaluated afterwards.

    It is what `Run.from_dict` takes.
    """
    rows = series(accounts, evaluations)
    activities = accounts[0]["time_split"]
    final = [r for r in rows if (r["metric"], r["worker"]) == ("test_accuracy", CENTER)][-1]
    return {
        "settings": settings.to_dict(),
        "final_test_accuracy": final["value"],
        "images_per_second": sum(a["samples"] / a["seconds"] for a in accounts),
        "seconds": max(a["seconds"] for a in accounts),
        "time_split": {name: sum(a["time_split"][name] for a in accounts) for name in activities},
        "exchanges": sum(a["exchanges"] for a in accounts),
        "series": rows,
        "environment": environment,
        "workers_lost": list(lost),
    }


def rounded(record: dict) -> dict:
    """A record with as many digits as anybody reads."""
    return record | {
        "images_per_second": round(record["images_per_second"], 1),
        "seconds": round(record["seconds"], 3),
        "time_split": {name: round(spent, 4) for name, spent in record["time_split"].items()},
        "series": [
            row | {"seconds": round(row["seconds"], 3), "value": round(row["value"], 5)}
            for row in record["series"]
        ],
    }


def _table(rows: list[dict]) -> pd.DataFrame:
    import pandas as pd  # slow to load, and ranks need it not

    return pd.DataFrame(rows, columns=COLUMNS)


def _last(table: pd.DataFrame, metric: str, worker: int) -> float:
    return float(table[(table.metric == metric) & (table.worker == worker)].value.iloc[-1])


def environment(
    data, threads: int, ranks: int, mpi: str | None, here: tuple[int, int] | None = None
) -> dict:
    """Where and with what a run was made; `here`: cores, and ranks that share them."""
    cores_here, ranks_here = here or (cores(), ranks)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": data.description,
        "data_from": data.where,
        "cores": cores_here,
        "threads_per_worker": threads,
        "ranks": ranks,
        "oversubscribed": threads * ranks_here > cores_here,
        "mpi": mpi,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in ("torch", "numpy", "mpi4py", "ipyparallel")},
    }
