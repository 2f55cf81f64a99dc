"""Whatever comes in: a clear error or a right result, never a traceback from deep inside."""

import copy
import json
import math
from contextlib import suppress

import click
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easgd_lib import Run, Settings, __main__
from easgd_lib.commands import train
from easgd_lib.errors import DataError, EasgdError, SettingsError
from easgd_lib.learning.checkpoint import Checkpoint
from easgd_lib.learning.saver import Saver, read
from easgd_lib.method.algorithms import METHODS, VARIANTS
from easgd_lib.method.center import CENTERS, ORDERS
from easgd_lib.paths import RUNS
from easgd_lib.simulation.clock import CALIBRATED, TimeModel

FEW, MANY = 100, 2_000  # cases of each of five tests: 500 by default, 10,000 with `-m slow`


def cases(examples: int):
    """So many, whatever the profile says."""
    return settings(
        max_examples=examples, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )  # fmt: skip


def clear(error: EasgdError, *words: str):
    """One line that says what is wrong."""
    assert len(str(error).splitlines()) == 1
    assert all(word in str(error) for word in words)


numbers = st.one_of(
    st.integers(-3, 70),
    st.floats(),
    st.integers(),
    st.sampled_from([0, 1, 0.5, 1e-300, 1e300, 10**400, math.nan, math.inf, True]),
)
odd = st.one_of(numbers, st.none(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
words = st.sampled_from(
    [*METHODS, *CENTERS, *ORDERS, *VARIANTS, "exchange", "step", "float32", "stop", "sample", "",
     "a:b", "math:pi", ":", "os:", "\0:x", "..:x"]
)  # fmt: skip
ANY = st.one_of(odd, words)
METHOD = st.one_of(st.sampled_from(list(METHODS)), ANY)
GIVEN = [name for name in Settings.__dataclass_fields__ if name not in ("method", "given")]


def check_settings(method, given):
    try:
        made = Settings(method, **given)
    except SettingsError as error:
        return clear(error)
    assert Settings.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    for value in (made.alpha, made.rho, made.beta, made.eta):
        assert value is None or math.isfinite(value)
    assert made.allow_unstable or made.alpha is None or 0 <= made.alpha <= made.alpha_limit


RECORD = json.loads(next(iter(sorted(RUNS.glob("*/*.json")))).read_text())
RECORD["series"] = RECORD["series"][:12] + RECORD["series"][-12:]
MODEL = json.loads(CALIBRATED.read_text())


@st.composite
def damaged(draw, whole):
    """A few values replaced, or missing, anywhere in it."""
    broken = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = broken
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = isinstance(place[key], dict | list) and draw(st.booleans())
            if not deeper:
                if draw(st.booleans()):
                    del place[key]
                else:
                    place[key] = draw(ANY)
                break
            place = place[key]
    return broken


def bytes_of(draw, content: bytes) -> bytes:
    """Some of them changed, or the end missing."""
    changed = bytearray(content[: draw(st.integers(0, len(content)))] or content)
    for _ in range(draw(st.integers(0, 3))):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def text_of(data, whole) -> bytes:
    """JSON with other values in it, or with bytes changed."""
    if data.draw(st.booleans()):
        return json.dumps(data.draw(damaged(whole))).encode()
    return bytes_of(data.draw, json.dumps(whole).encode())


def check_record(tmp_path, data):
    path = tmp_path / "run.json"
    path.write_bytes(text_of(data, RECORD))
    try:
        run = Run.load(path)
    except DataError as error:
        return clear(error, str(path))
    assert np.isfinite(run.table[["seconds", "step", "samples", "worker", "value"]]).all(axis=None)
    again = Run.load(run.save(tmp_path / "again.json"))
    assert again.settings == run.settings
    assert len(again.table) == len(run.table)


def check_time_model(tmp_path, data):
    path = tmp_path / "model.json"
    path.write_bytes(text_of(data, MODEL))
    try:
        times = TimeModel.calibrated(path=path)
    except DataError as error:
        return clear(error, str(path))
    assert 0 <= times.message(1000) < math.inf
    assert 0 < next(times.compute_times(0, 0, 1, 1)) < math.inf


def check_checkpoint(tmp_path, data):
    tree = {"settings": {"eta": 0.1}, "x": np.arange(50.0), "lost": []}
    saver = Saver(Checkpoint(tmp_path, every=0))
    saver.save({"worker-0": (1, tree)})
    saver.close()
    path = tmp_path / "worker-0.1.npz"
    path.write_bytes(bytes_of(data.draw, path.read_bytes()))
    try:
        found = read(tmp_path, "worker-0", 1)
    except DataError as error:
        return clear(error, str(path))
    assert np.array_equal(found["x"], tree["x"])
    assert found["settings"] == tree["settings"]


OPTIONS = [
    *(f"--{name.replace('_', '-')}" for name in GIVEN), "--method", "--out", "--checkpoint",
    "--resume", "--every", "--simulate", "--time-model", "--help", "train", "-x",
]  # fmt: skip
printable = st.one_of(words, numbers.map(str), st.text(max_size=4)).filter(lambda w: "\0" not in w)


def check_command_line(monkeypatch, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_train", lambda *_: None)  # what is right would begin here
    monkeypatch.setattr(train, "_simulate", lambda *_: None)
    monkeypatch.setattr(train, "_announce", lambda settings, checkpoint: settings)
    with suppress(EasgdError, click.ClickException):
        __main__.app(["train", "--method", "easgd", *line], standalone_mode=False)


ALL = st.data()
SETTINGS = METHOD, st.dictionaries(st.sampled_from(GIVEN), ANY, max_size=4)
LINE = st.lists(st.one_of(st.sampled_from(OPTIONS), printable), max_size=6)


@cases(FEW)
@given(*SETTINGS)
def test_settings(method, given):
    check_settings(method, given)


@cases(FEW)
@given(data=ALL)
@pytest.mark.parametrize("check", [check_record, check_time_model, check_checkpoint])
def test_files(check, tmp_path, data):
    check(tmp_path, data)


@cases(FEW)
@given(line=LINE)
def test_the_command_line(monkeypatch, tmp_path, line):
    check_command_line(monkeypatch, tmp_path, line)


@pytest.mark.slow
@cases(MANY)
@given(*SETTINGS)
def test_many_settings(method, given):
    check_settings(method, given)


@pytest.mark.slow
@cases(MANY)
@given(data=ALL)
@pytest.mark.parametrize("check", [check_record, check_time_model, check_checkpoint])
def test_many_files(check, tmp_path, data):
    check(tmp_path, data)


@pytest.mark.slow
@cases(MANY)
@given(line=LINE)
def test_many_command_lines(monkeypatch, tmp_path, line):
    check_command_line(monkeypatch, tmp_path, line)
