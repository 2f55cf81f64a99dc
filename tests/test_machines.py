"""Machines other than ours: what their owners have set, forbidden or broken."""

import http.server
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
import torchvision

from easgd_lib import Settings, data_files, doctor, paths, resources
from easgd_lib.errors import DataError, MPIError
from easgd_lib.learning import models
from easgd_lib.learning.pointless import PointlessRun, warn_if_pointless
from easgd_lib.parallel import mpiexec
from helpers import assert_one_line, easgd, leaving_nothing


def test_a_network_is_built_without_a_look_at_gpus(monkeypatch):
    def touched(*_):
        raise RuntimeError("The NVIDIA driver on your system is too old")

    for name in ("is_available", "device_count", "current_device", "get_rng_state", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, touched)
    models.build(seed=0)


class Silent(http.server.BaseHTTPRequestHandler):
    """Takes a request, and never answers."""

    def do_GET(self):
        self.server.asked.set()
        self.server.over.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.asked, server.over = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def test_a_mirror_that_never_answers_is_given_up(mirror, no_data, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror.url])
    monkeypatch.setattr(data_files, "SILENCE", 0.5)
    with pytest.raises(DataError, match="mnist could not be downloaded"):
        data_files.download("mnist")
    assert mirror.asked.is_set()
    assert list(paths.DATA.iterdir()) == []
    assert data_files.find("mnist") is None


DOWNLOAD = """
import sys, pathlib, torchvision
from easgd_lib import data_files, paths
torchvision.datasets.MNIST.mirrors = [sys.argv[1]]
paths.DATA = pathlib.Path(sys.argv[2])
data_files.download("mnist")
"""


@pytest.mark.slow
def test_a_killed_download_leaves_no_data_set(mirror, no_data):
    words = [sys.executable, "-c", DOWNLOAD, mirror.url, str(paths.DATA)]
    with subprocess.Popen(words) as download:
        assert mirror.asked.wait(60)
        download.send_signal(signal.SIGKILL)
    assert data_files.find("mnist") is None
    assert data_files.resolve(None) == "sample"
    (paths.DATA / "MNIST" / "raw").mkdir(parents=True)  # as older versions left it
    assert data_files.find("mnist") is None
    [check] = [check for check in [doctor._data("mnist")] if check.name == "mnist"]
    assert not check.fix


@pytest.mark.parametrize("made", [True, False])
def test_a_wrong_place_for_data_is_said(made, tmp_path, monkeypatch):
    wrong = tmp_path / "MNIST"
    if made:
        wrong.mkdir()
    monkeypatch.setenv("EASGD_DATA", str(wrong))
    with pytest.raises(DataError, match=r"EASGD_DATA=.* (holds no data set|is no folder): name"):
        data_files.resolve(None)
    assert data_files.resolve("sample") == "sample"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tau": 63, "steps": 63}, "of 63 steps only the first"),
        ({"tau": 100, "epochs": 1}, "of 63 steps only the first"),
        ({"eta": 0, "steps": 9, "alpha": 0.1}, "nothing is learned"),
        ({"alpha": 0, "steps": 63}, "center never moves"),
        ({"tau": 62, "steps": 63}, ""),
        ({"tau": 10**6, "seconds": 5}, ""),  # how many steps that is, nobody knows
    ],
)
def test_a_pointless_run_is_said_before_it_starts(given, words):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn_if_pointless(Settings("easgd", workers=2, data="sample", **given))
    assert [word.category for word in said] == [PointlessRun] * bool(words)
    assert all(words in str(word.message) for word in said)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_knows_no_greek_letters(encoding):
    for words in (["--help"], ["train", "--help"]):
        ran = easgd(*words, PYTHONIOENCODING=encoding)
        assert ran.returncode == 0, ran.stderr
        assert "train" in ran.stdout
    assert_one_line(
        easgd("train", "--method", "sgd", "--tau", "3", PYTHONIOENCODING=encoding), "use tau"
    )


def control_group(root: Path, monkeypatch, files: dict[str, str]):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(resources, "CGROUPS", root)
    monkeypatch.setattr(resources, "affinity", lambda: list(range(8)))


def test_the_quota_of_a_container_counts_in_both_versions(tmp_path, monkeypatch):
    control_group(tmp_path / "2", monkeypatch, {"cpu.max": "250000 100000"})
    assert (resources.quota(), resources.cores()) == (2.5, 3)
    control_group(tmp_path / "none", monkeypatch, {"cpu.max": "max 100000"})
    assert resources.cores() == 8
    old = {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}
    control_group(tmp_path / "1", monkeypatch, old)
    assert (resources.quota(), resources.cores()) == (1.5, 2)
    assert resources.cores([3]) == 1, "bound to one core"


def test_the_memory_that_a_container_leaves(tmp_path, monkeypatch):
    gib = 2**30
    files = {"memory.max": str(2 * gib), "memory.current": str(gib), "memory.stat": "file 1\n"}
    control_group(tmp_path / "2", monkeypatch, files)
    assert resources.free_memory() == gib
    files["memory.stat"] = f"inactive_file {gib // 2}\n"
    control_group(tmp_path / "cached", monkeypatch, files)
    assert resources.free_memory() == 1.5 * gib, "cached files make room"
    old = {"memory/memory.limit_in_bytes": str(gib), "memory/memory.usage_in_bytes": str(gib)}
    control_group(tmp_path / "1", monkeypatch, old)
    assert resources.free_memory() == 0


@pytest.fixture
def no_launcher(monkeypatch):
    for name in (*mpiexec.LAUNCHER_SIZES, *mpiexec.LAUNCHER_RANKS, "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_launcher")
def test_a_world_of_one_is_no_launch_and_siblings_are_told_what_to_type(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "1")
    assert mpiexec.launched_size() is None
    monkeypatch.delenv("PMI_SIZE")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(MPIError, match=r"4 tasks.*srun --mpi=pmix"):
        mpiexec.launched_size()
    monkeypatch.setenv("PMIX_RANK", "2")
    assert (mpiexec.launched_size(), mpiexec.launched_rank()) == (4, 2)


def test_what_the_user_has_set_wins(monkeypatch):
    mine = {"OMP_NUM_THREADS": "3", "OMPI_MCA_plm_ssh_agent": "ssh"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    assert not set(mine) & set(mpiexec.environment())


@pytest.mark.mpi
def test_a_launcher_that_refuses_fault_tolerance_starts_without(tmp_path):
    """As newer releases of PRRTE do, and Open MPI 4.1."""
    real, fake = mpiexec.find(), tmp_path / "mpiexec"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *--with-ft*) echo unknown option >&2; exit 1;; esac\n'
        f'exec {real} "$@"\n'
    )
    fake.chmod(0o755)
    assert mpiexec.arguments(str(fake)) == mpiexec.FEW_CORES
    assert not mpiexec.tolerates_faults(str(fake))
    assert mpiexec.tolerates_faults(real)


@pytest.mark.mpi
def test_the_doctor_survives_a_wrong_setting_and_names_it():
    ran = easgd("doctor", OMPI_MCA_pml="nonsense", COLUMNS="200")
    assert ran.returncode == 2
    assert "OMPI_MCA_pml" in ran.stdout
    assert "unset" in ran.stdout
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's switch is for x86")
def test_a_precision_that_is_slower_here_is_told_with_its_factor():
    words = [
        "train",
        "--method",
        "sgd",
        "--data",
        "sample",
        "--steps",
        "1",
        "--simulate",
    ]
    old = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # as on a processor without units for bfloat16
    assert "as long as in float32" in easgd(*words, "--precision", "bfloat16", **old).stderr
    assert "as long as in float32" not in easgd(*words, "--precision", "float64", **old).stderr


@pytest.mark.engines
def test_modules_beside_the_notebook_do_not_stand_in_for_python_s(tmp_path):
    for name in ("random", "queue", "select", "logging", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine')\n")
    client = (
        "import easgd_lib; from easgd_lib import Settings\n"
        "with easgd_lib.cluster(2) as engines:\n"
        "    run = engines.train(Settings('easgd', workers=2, data='sample', steps=4, tau=2))\n"
        "print(run.exchanges)\n"
    )
    with leaving_nothing():
        ran = subprocess.run(
            [sys.executable, "-P", "-c", client], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONSAFEPATH": ""}, timeout=120, check=False,
        )  # fmt: skip
    assert ran.stdout.split()[-1:] == ["4"], ran.stderr


def test_a_home_that_cannot_be_written_to_gives_no_warning(monkeypatch):
    """Nor one that is not there, as for a user without an entry in passwd."""
    monkeypatch.setenv("HOME", "/proc/nowhere")
    for name in ("IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    words = [sys.executable, "-W", "error", "-c", "from easgd_lib import figures; print('fine')"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert (ran.stdout, ran.stderr) == ("fine\n", "")


@pytest.mark.engines
@pytest.mark.parametrize("mebibytes", [4, 64])
def test_the_doctor_s_word_on_shared_memory_is_what_training_meets(mebibytes):
    if not (hasattr(os, "getuid") and os.getuid() == 0 and shutil.which("unshare")):
        pytest.skip("a file system of one's own needs root and unshare")
    mount = f'mount -t tmpfs -o size={mebibytes}M tmpfs /dev/shm && exec "$@"'
    inside = ["unshare", "-m", "bash", "-c", mount, "in", sys.executable, "-m", "easgd_lib"]

    def status(*words: str) -> tuple[int, str]:
        ran = subprocess.run(
            [*inside, *words], env=dict(os.environ) | {"COLUMNS": "200"}, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    _, said = status("doctor")
    [verdict] = [line for line in said.splitlines() if "shared memory" in line[:20]]
    code, words = status("train", "--method", "easgd", "--data", "sample", "--steps", "12")
    assert verdict.startswith("ok") == (code == 0), (verdict, words)
    assert code == 0 or "Traceback" not in words
