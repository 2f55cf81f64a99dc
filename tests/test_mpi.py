"""Centers and methods on real ranks, against the simulator wherever the order is fixed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from easgd_lib import Run
from easgd_lib.method.center import CENTERS, kind_of
from easgd_lib.parallel import mpiexec
from easgd_lib.reproduction import kth
from helpers import assert_one_line, run_ranks

pytestmark = pytest.mark.mpi
ON_MPI = [name for name, kind in CENTERS.items() if kind.connect]
SINGLE = [name for name in ON_MPI if not CENTERS[name].nodes]  # one center, not a tree
PROGRAMS = str(Path(__file__).with_name("mpi_programs.py"))


def run_program(workers: int, center: str, name: str, *arguments: str):
    ran = run_ranks(workers + kind_of(center).extra_ranks, PROGRAMS, name, center, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("center", SINGLE)
def test_pushes_from_four_ranks_lose_nothing(center):
    """4 ranks hammer one center; x̃ + Σ x^i is unchanged to rounding, at awkward sizes too."""
    said = run_program(4, center, "hammers", "486610x10", "1x1000", "7x1000", "1000003x3")
    assert said.count("fine") == 4 + kind_of(center).extra_ranks


@pytest.mark.parametrize("center", ["window", "server", "allreduce"])
def test_a_copy_of_the_center_holds_all_pushes_of_an_exchange(center):
    said = run_program(3, center, "copies")
    assert said.count("fine") == 3 + kind_of(center).extra_ranks


@pytest.mark.parametrize(
    ("workers", "center"),
    [(workers, center) for workers in (1, 3) for center in SINGLE] + [(4, "tree"), (5, "tree")],
)
def test_mpi_is_the_simulator_on_a_quadratic(workers, center):
    run_program(workers, center, "quadratics")


@pytest.mark.parametrize("workers", [1, 3])
def test_the_report_s_center_is_the_simulator_layer_by_layer(workers):
    run_program(workers, kth.SCHEME, "layers")


def test_layers_and_copied_floats_carry_the_same_bytes():
    assert run_program(2, "window", "channels").count("fine") == 2


def test_a_worker_that_starts_elsewhere_or_draws_the_same_is_refused():
    """Unless the objective says so: see `test_the_report_s_program_ends_when_time_is_up`."""
    assert run_program(2, "server", "misled").count("fine") == 3


NETWORKS = [(2, "window"), (3, "server"), (4, "allreduce"), (4, "tree")]


@pytest.mark.parametrize(("workers", "center"), NETWORKS)
def test_mpi_is_the_simulator_on_the_network(workers, center):
    run_program(workers, center, "networks")


def test_a_server_that_mixes_exchanges_blows_up_and_one_that_serves_them_whole_does_not():
    run_program(4, "server", "overlapping")


def test_replicas_that_drift_apart_are_found():
    assert run_program(3, "allreduce", "replicas").count("fine") == 3


def test_a_vote_does_not_wait_for_one_who_waits_for_us():
    ran = run_ranks(3, PROGRAMS, "votes", "allreduce")
    assert ran.stdout.split().count("fine") == 2, ran.stdout + ran.stderr


@pytest.mark.parametrize("center", ON_MPI)
def test_a_failing_rank_releases_all_others(center):
    said = run_program(3, center, "failures")
    kind = kind_of(center)
    failures = len(kind.orders)
    assert said.count("failed") == failures
    assert said.count("released") == failures * (2 + kind.extra_ranks)


TRAIN = ["-m", "easgd_lib", "train", "--data", "sample", "--snapshots", "1", "--steps", "12"]


def test_training_under_plain_mpiexec(tmp_path):
    """The same training without ipyparallel: 3 ranks are a server and two workers."""
    out = tmp_path / "run.json"
    ran = run_ranks(
        3, *TRAIN, "--method", "easgd", "--center", "server", "--tau", "4", "--out", str(out)
    )
    assert ran.returncode == 0, ran.stderr
    run = Run.load(out)
    assert (run.settings.workers, run.environment["ranks"]) == (2, 3)
    assert run.exchanges == 2 * 3
    assert run.time_split["communication"] > 0
    assert run.table["worker"].isin([-1, 0, 1]).all()


def test_a_root_that_computes_serves_as_many_exchanges(tmp_path):
    """Asynchronous, so that some workers are done while the root is still computing."""
    out = tmp_path / "run.json"
    ran = run_ranks(
        3, *TRAIN, "--method", "easgd", "--center", kth.COMPUTING_ROOT, "--tau", "4",
        "--out", str(out),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    run = Run.load(out)
    assert run.settings.center == kth.COMPUTING_ROOT
    assert run.exchanges == 2 * 3


def test_the_report_s_program_ends_when_time_is_up(tmp_path):
    """All of it at once, and workers that vote: one exchange takes longer than the run."""
    out = tmp_path / "run.json"
    ran = run_ranks(
        3, *TRAIN[:-2], "--seconds", "1", "--method", "easgd", "--tau", "2",
        "--center", kth.PROGRAM, "--objective", kth.OWN_START_SAME_BATCHES, "--out", str(out),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    run = Run.load(out)
    assert run.settings.objective == kth.OWN_START_SAME_BATCHES
    assert (run.settings.order, run.environment["ranks"]) == ("round_robin", 3)
    assert run.exchanges >= 2
    assert run.exchanges % 2 == 0, "everybody stopped after the same exchange"


def test_ordered_seconds_end_together(tmp_path):
    """Where workers wait for one another, a clock must not leave one of them waiting."""
    out = tmp_path / "run.json"
    ran = run_ranks(
        2, *TRAIN[:-2], "--seconds", "1", "--method", "easgd", "--order", "synchronous",
        "--tau", "3", "--out", str(out),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert 0.9 < Run.load(out).seconds < 30


def test_workers_that_disagree_with_the_world_are_refused():
    ran = run_ranks(2, *TRAIN, "--method", "easgd", "--workers", "5")
    assert ran.returncode == 2
    assert "mpiexec started 2: use mpiexec -n 5" in ran.stderr


def test_a_loss_that_explodes_ends_every_rank():
    ran = run_ranks(2, *TRAIN, "--method", "easgd", "--eta", "1e6", "--alpha", "0.1", "--tau", "1")
    assert ran.returncode == 2
    assert "the loss of worker" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_mpiexec_of_another_mpi_is_named():
    """What a foreign launcher gives each process: its own word for the size, and no world."""
    environment = dict(os.environ) | {"PMI_SIZE": "3", "PMI_RANK": "0"}
    ran = subprocess.run(
        [sys.executable, *TRAIN, "--method", "easgd"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_one_line(ran, "started 3 ranks", "belongs to another MPI", str(mpiexec.find()))


def test_no_shared_memory_left_says_so(tmp_path):
    """A real file system with no room: the center's folder is a full tmpfs."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        ran = run_ranks(
            2, *TRAIN, "--method", "easgd", OMPI_MCA_osc_sm_backing_directory=str(small)
        )
    finally:
        subprocess.run(["umount", str(small)], check=False)
    assert ran.returncode == 2
    assert "no shared memory left" in ran.stderr
    assert "--center server" in ran.stderr
