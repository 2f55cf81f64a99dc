"""The command line: bad input gets one clear line and status 2, and starts nothing."""

import json

import pytest

from easgd_lib import doctor, paths
from easgd_lib.learning.sources import DATASETS
from easgd_lib.method.algorithms import METHODS
from easgd_lib.method.center import CENTERS
from easgd_lib.reproduction import kth
from helpers import assert_one_line, cluster_processes, easgd

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "easgdd"], ["easgdd", "eamsgd"]),
        (["--method", "easgd", "--data", "imagenet"], ["imagenet", "sample"]),
        (["--method", "easgd", "--workers", "2", "--alpha", "0.7"], ["0.6667", "unstable"]),
        (["--method", "easgd", "--alpha", "0.1", "--rho", "1"], ["alpha and rho"]),
        (["--method", "easgd", "--workers", "0"], ["workers", "at least 1"]),
        (["--method", "sgd", "--tau", "3"], ["does not use tau"]),
        (["--method", "easgd", "--elastic-lr", "3"], ["--elastic-lr"]),
        (["--method", "easgd", "--tau", "three"], ["three"]),
        (["--method", "easgd", "--center", "cloud"], ["cloud", "allreduce"]),
        (["--method", "easgd", "--center", "nowhere:CENTER"], ["nowhere", "every rank"]),
        (["--method", "easgd", "--center", "math:pi"], ["math:pi", "CenterKind"]),
        (["--method", "math:pi"], ["math:pi", "methods.SGD"]),
        (["--method", "easgd", "--objective", "speed"], ["speed", "module:attribute"]),
        (["--method", "easgd", "--center", kth.LAYERS, "--simulate"], ["sends no messages", "MPI"]),
        ([], ["--method"]),
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, words):
    before = set(cluster_processes())
    assert_one_line(easgd("train", *arguments), *words)
    assert set(cluster_processes()) <= before


def test_an_experiment_that_does_not_exist_is_one_line_with_those_that_do():
    assert_one_line(easgd("reproduce", "--only", "nonsense"), "nonsense", "figure3", "periods")


def test_data_named_and_not_there(tmp_path):
    ran = easgd("train", "--method", "sgd", "--data", "fashion-mnist", EASGD_DATA=str(tmp_path))
    if ran.returncode == 0:
        pytest.skip("this clone has its own data/FashionMNIST")
    assert_one_line(ran, "fashion-mnist was not found", "make data")


def test_truncated_data_is_named_before_training(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    files = [name for name, _ in DATASETS["mnist"].files]
    for file in files:
        (raw / file).write_bytes(b"\0" * 16)
    ran = easgd("train", "--method", "sgd", "--data", "mnist", EASGD_DATA=str(tmp_path))
    assert_one_line(ran, str(raw / files[0]), "truncated or corrupt")


def test_the_simulator_trains_and_writes_a_record(tmp_path):
    out = tmp_path / "run.json"
    ran = easgd(
        "train", "--method", "easgd", "--workers", "3", "--center", "local", "--order",
        "synchronous", "--steps", "8", "--tau", "2", "--snapshots", "1", "--data", "sample",
        "--out", str(out),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    record = json.loads(out.read_text())
    for key in (
        "settings", "final_test_accuracy", "images_per_second", "seconds", "time_split",
        "exchanges", "series", "diverged", "environment",
    ):  # fmt: skip
        assert key in record
    assert record["settings"]["alpha"] == pytest.approx(0.3)
    assert record["settings"]["rho"] == pytest.approx(0.3 / 0.02)
    assert record["exchanges"] == 3 * 4
    assert set(record["series"][0]) == {"seconds", "step", "samples", "worker", "metric", "value"}
    assert {row["worker"] for row in record["series"]} == {-1, 0, 1, 2}


def test_falling_back_to_the_sample_is_said_aloud():
    if (paths.DATA / "MNIST").exists():
        pytest.skip("this clone has its own data/MNIST")
    ran = easgd(
        "train", "--method", "sgd", "--steps", "1", "--snapshots", "1", "--center", "local",
        EASGD_DATA="",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "no MNIST found" in ran.stderr
    assert "shipped with easgd_lib" in " ".join(ran.stdout.split()), "and in the record's own words"


def test_doctor_finds_this_machine_well():
    ran = easgd("doctor")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "started, and they see each other" in " ".join(ran.stdout.split())


def test_doctor_says_what_to_fix(tmp_path, monkeypatch):
    """A foreign mpiexec that starts two strangers, as an mpiexec of another MPI does."""
    foreign = tmp_path / "mpiexec"
    foreign.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo other MPI\nshift 2\n"$@"; "$@"\n'
    )
    foreign.chmod(0o755)
    from easgd_lib.parallel import mpiexec

    monkeypatch.setattr(mpiexec, "find", lambda: str(foreign))
    check = next(check for check in doctor.examine() if check.name == "two ranks")
    assert "another MPI" in check.found
    assert "PATH" in check.fix


def test_help_teaches():
    train, reproduce = (easgd(name, "--help").stdout for name in ("train", "reproduce"))
    assert "mpiexec -n 3" in train
    assert "module:attribute" in train
    for name in (*METHODS, *CENTERS):
        assert name in train
    assert "figures/quick/" in reproduce
    for option in ("--full", "--complete", "--minutes", "--only"):
        assert option in reproduce
