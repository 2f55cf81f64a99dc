"""ipyparallel engines under MPI: really started, really killed, nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

import easgd_lib
from easgd_lib import Settings, progress
from easgd_lib.errors import DataError, MPIError, NotFinite, SettingsError
from easgd_lib.method.center import kind_of
from easgd_lib.parallel import watchdog
from easgd_lib.parallel.launcher import ENGINE
from helpers import assert_one_line, cluster_processes, easgd, leaving_nothing

pytestmark = pytest.mark.engines
SHORT = {"workers": 2, "data": "sample", "steps": 12, "snapshots": 1, "tau": 4}


@pytest.fixture(scope="class")
def engines():
    with leaving_nothing(), easgd_lib.cluster(2) as running:
        yield running


class TestOneCluster:
    """Everything that can share one set of engines, in an order in which each survives the last."""

    def test_engine_ids_are_ranks(self, engines):
        assert engines.client.ids == [0, 1]
        assert ranks_and_sizes(engines) == [(0, 2), (1, 2)]

    def test_training_makes_a_whole_record(self, engines, tmp_path):
        run = engines.train(Settings("eamsgd", **SHORT))
        assert run.exchanges == 2 * 3
        assert run.final_test_accuracy > 0.5
        assert set(run.time_split) == {"compute", "data", "communication"}
        assert run.images_per_second > 0
        assert set(run.table.metric) == {"train_loss", "train_accuracy", "test_accuracy"}
        again = easgd_lib.Run.load(run.save(tmp_path / "deep" / "run.json"))
        assert again.settings == run.settings
        assert again.table.value.round(5).equals(run.table.value.round(5))

    def test_a_sequential_method_uses_one_engine(self, engines):
        run = engines.train(Settings("msgd", data="sample", steps=5, snapshots=1))
        assert (run.exchanges, run.environment["ranks"]) == (0, 1)

    def test_an_exploding_loss_is_an_error_here_and_the_engines_live_on(self, engines):
        with pytest.raises(NotFinite, match=r"worker [01] is nan at step \d+ \(easgd, p = 2"):
            engines.train(Settings("easgd", eta=1e6, alpha=0.1, **SHORT))
        assert engines.train(Settings("easgd", **SHORT)).exchanges == 6

    def test_no_data_is_an_error_before_anything_runs(self, engines, no_data):
        with pytest.raises(DataError, match="make data"):
            engines.train(Settings("easgd", **SHORT | {"data": "mnist"}))

    def test_the_simulator_needs_no_engines(self, engines):
        with pytest.raises(SettingsError, match="one process"):
            engines.train(Settings("easgd", center="local", **SHORT))

    def test_a_server_is_one_engine_more_and_is_provided(self, engines):
        run = engines.train(Settings("easgd", center="server", **SHORT))
        assert run.environment["ranks"] == 3
        assert run.exchanges == 6

    def test_a_killed_engine_costs_its_own_work_only(self, engines, monkeypatch):
        center = "server"  # page 14 kills one with a window
        unharmed = engines.train(Settings("easgd", **LONG, center=center))
        extra = kind_of(center).extra_ranks
        kill_when_it_trains(1, engines, monkeypatch, rank=1 + extra)
        run = engines.train(Settings("easgd", **LONG, center=center))
        assert [(loss["worker"], loss["why"]) for loss in run.workers_lost] == [(1, "died")]
        assert 0 <= run.workers_lost[0]["step"] < LONG["steps"]
        assert set(run.table.worker) == {-1, 0, 2}
        assert run.exchanges == 2 * LONG["steps"] // LONG["tau"]
        assert run.final_test_accuracy > unharmed.final_test_accuracy - 0.05

    def test_a_killed_engine_ends_the_run_where_it_is_told_to(self, engines, monkeypatch):
        kill_when_it_trains(1, engines, monkeypatch)
        with pytest.raises(MPIError, match="an engine died"):
            engines.train(Settings("easgd", **LONG | {"steps": 10**6}, if_worker_dies="stop"))
        monkeypatch.undo()
        assert engines.train(Settings("easgd", **SHORT)).exchanges == 6, "on fresh engines"

    def test_a_part_of_the_controller_that_dies_ends_the_run(self, engines, monkeypatch):
        """What it was for nobody asks: its parent never looks after it, and others may go on."""

        def kill():  # a run on more engines than there were has begun with a controller of its own
            psutil.Process(engines.cluster.controller.pid).children()[1].kill()

        when_they_train(monkeypatch, 1, kill)
        with pytest.raises(MPIError, match="the controller died"):
            engines.train(Settings("easgd", **LONG | {"steps": 10**6}))
        monkeypatch.undo()
        assert engines.train(Settings("easgd", **SHORT)).exchanges == 6, "on fresh engines"


LONG = {"workers": 3, "data": "sample", "steps": 120, "snapshots": 4, "tau": 4, "threads": 1}


def kill_when_it_trains(worker: int, engines, monkeypatch, rank: int | None = None):
    """SIGKILL the engine of this worker as soon as it tells from the middle of its training."""
    rank = worker if rank is None else rank

    def kill():
        for process in engine_processes(engines, rank):
            process.kill()

    when_they_train(monkeypatch, worker, kill)


def when_they_train(monkeypatch, worker: int, act):
    """Act as soon as this worker tells from the middle of its training."""
    update = progress.Live.update

    def acting(self, reports):
        update(self, reports)
        if any(report["worker"] == worker for report in reports):
            act()

    monkeypatch.setattr(progress.Live, "update", acting)


def engine_processes(engines, rank: int) -> list[psutil.Process]:
    return [
        process
        for process in watchdog.processes(engines.cluster.cluster_id)
        if ENGINE in process.cmdline()
        and process.environ().get("OMPI_COMM_WORLD_RANK") == str(rank)
    ]


def ranks_and_sizes(engines) -> list[tuple[int, int]]:
    engines.view.execute("from mpi4py.MPI import COMM_WORLD as world")
    return list(zip(engines.view["world.rank"], engines.view["world.size"], strict=True))


def test_workers_must_be_positive():
    with pytest.raises(SettingsError):
        easgd_lib.cluster(0)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


TRAIN_FOREVER = script("""
    import signal
    import easgd_lib
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    with easgd_lib.cluster(2) as engines:
        print("up", flush=True)
        engines.train(easgd_lib.Settings("easgd", workers=2, data="sample", seconds=600))
""")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_client_leaves_no_process(how):
    client = subprocess.Popen(
        TRAIN_FOREVER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert client.stdout.readline() == "up\n"
        assert cluster_processes()
        time.sleep(6)  # into the training
        client.send_signal(how)
        assert client.wait(timeout=60) != 0
    finally:
        client.kill()
    # `nothing_left` looks for what remains, for 15 seconds.


@pytest.fixture
def ipcluster(tmp_path, nothing_left):
    """`ipcluster start --engines=MPIEngineSetLauncher`, word for word, from another directory."""
    environment = dict(os.environ) | {"IPYTHONDIR": str(tmp_path / "ipython")}
    os.environ["IPYTHONDIR"] = environment["IPYTHONDIR"]
    started = []

    def start(*more: str):
        command = [os.path.join(os.path.dirname(sys.executable), "ipcluster"), "start"]
        words = [*command, "--engines=MPIEngineSetLauncher", *more]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(words, cwd=tmp_path, env=environment, **quiet))

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    del os.environ["IPYTHONDIR"]


def attached(workers: int):
    """Attach as soon as all engines have registered."""
    deadline = time.monotonic() + 90
    while True:
        try:
            return easgd_lib.cluster(workers, attach="").start()
        except MPIError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def test_ipcluster_word_for_word_more_engines_than_cores(ipcluster):
    ipcluster("-n", "4")
    engines = attached(4)
    try:
        assert ranks_and_sizes(engines) == [(i, 4) for i in range(4)]
        assert engines.train(Settings("easgd", **SHORT)).exchanges == 6  # 2 of the 4
    finally:
        engines.stop()
    with pytest.raises(MPIError, match="takes 5 engines, the cluster has 4"):
        easgd_lib.cluster(5, attach="").start()


def test_ipcluster_without_a_number_starts_too(ipcluster):
    ipcluster()
    engines = attached(1)
    assert len(engines.client) == (psutil.cpu_count() or 1)
    engines.stop()


def test_nothing_to_attach_to_says_how_to_start_it():
    with pytest.raises(MPIError, match="ipcluster start --engines=MPIEngineSetLauncher"):
        easgd_lib.cluster(2, attach="nobody").start()


def test_a_taken_port_is_one_line(tmp_path):
    """A controller told to use ports of which one is taken."""
    profile = tmp_path / "profile_default"
    profile.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = f"c = get_config()\nc.IPController.ports = list(range({port}, {port + 20}))\n"
        (profile / "ipcontroller_config.py").write_text(config)
        arguments = ("train", "--method", "easgd", "--data", "sample", "--steps", "3")
        ran = easgd(*arguments, IPYTHONDIR=str(tmp_path))
    assert_one_line(ran, "did not start", "Address already in use")


MINE = """
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.sources import Source, read_sample
from easgd_lib.method.algorithms import EASGD
from easgd_lib.method.center import CENTERS


class HalfForce(EASGD):
    def force(self):
        return 0.5 * (yield from super().force())


class Halved(ImageClassification):
    def gradient(self, x, batch):
        return 0.5 * super().gradient(x, batch)


CENTER = CENTERS["server"]._replace(orders=("round_robin",))
FEW = Source(100, 100, 0.13, 0.31, read=lambda: tuple(part[:100] for part in read_sample()))
"""
OWN = [f"--{what}=mine:{name}" for what, name in (
    ("method", "HalfForce"), ("center", "CENTER"), ("objective", "Halved"), ("data", "FEW"),
)]  # fmt: skip


def test_four_parts_of_ones_own_from_the_folder_one_stands_in(tmp_path, monkeypatch, nothing_left):
    """A method, a center, an objective and a data set, by name, on engines that `easgd` starts."""
    (tmp_path / "mine.py").write_text(MINE)
    command = str(Path(sys.executable).with_name("easgd"))
    ran = subprocess.run(
        [command, "train", *OWN, "--steps=8", "--tau=2", "--snapshots=1", "--out=run.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    monkeypatch.syspath_prepend(tmp_path)  # a record names its parts: reading it imports them
    run = easgd_lib.Run.load(tmp_path / "run.json")
    assert (run.exchanges, run.settings.order) == (2 * 4, "round_robin")
    assert run.environment["data"].startswith("mine:FEW, 100 training")
