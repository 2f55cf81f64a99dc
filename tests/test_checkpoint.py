"""Checkpoints: a run that was stopped at any step and resumed is the run that was never stopped."""

import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest
import torch

import stopping
from easgd_lib import Run, Settings, simulate
from easgd_lib.__main__ import app
from easgd_lib.errors import DataError, EasgdError, NotFinite, SettingsError
from easgd_lib.learning.checkpoint import CENTER, Checkpoint, numbers
from easgd_lib.learning.saver import Saver, pack, read, unpack
from easgd_lib.simulation.clock import TimeModel
from helpers import assert_one_line, easgd, run_ranks, start_ranks

SMALL = {"data": "sample", "snapshots": 2, "worker_curve": False, "batch_size": 8, "eta": 0.05}
UNEVEN = TimeModel(step=0.004, spread=0.3, latency=0.001, data_per_image=1e-4)


def test_what_is_packed_comes_out_bit_for_bit():
    tree = {
        "x": torch.randn(5), "n": [1, 2.5, None, True], "rng": np.arange(3), "text": "x̃",
        "big": np.random.default_rng(1).bit_generator.state,
    }  # fmt: skip
    about, arrays = pack(tree)
    again = unpack(about, arrays)
    assert torch.equal(again.pop("x"), tree.pop("x"))
    assert np.array_equal(again.pop("rng"), tree.pop("rng"))
    assert again == tree


def test_what_cannot_be_written_down_is_named():
    with pytest.raises(SettingsError, match=r"method\.schedule is a function"):
        pack({"method": {"schedule": test_what_cannot_be_written_down_is_named}})


def written(folder, settings: Settings):
    saver = Saver(Checkpoint(folder, every=0))
    tree = {"settings": settings.to_dict(), "step": 3, "lost": [], "x": torch.ones(4)}
    saver.save({"center": (3, tree), "worker-0": (3, tree)})
    saver.close()


def test_a_folder_in_use_is_not_written_over_and_a_missing_one_not_resumed(tmp_path):
    settings = Settings("easgd", data="sample")
    with pytest.raises(SettingsError, match="missing"):
        Checkpoint(tmp_path / "typo", resume=True).prepare(settings)
    Checkpoint(tmp_path / "new").prepare(settings)
    Checkpoint(tmp_path / "new", resume=True).prepare(settings)  # killed before its first one
    written(tmp_path / "new", settings)
    with pytest.raises(SettingsError, match="resume it, or name another"):
        Checkpoint(tmp_path / "new").prepare(settings)
    Checkpoint(tmp_path / "new", resume=True).prepare(settings)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Checkpoint(tmp_path / "file").prepare(settings)
    with pytest.raises(SettingsError, match="name the folder"):
        Checkpoint.asked(None, resume=True)


@pytest.mark.parametrize("changed", [{"eta": 0.3}, {"tau": 4}, {"workers": 2}, {"seed": 1}])
def test_other_settings_are_refused_by_name(tmp_path, changed):
    settings = Settings("easgd", data="sample")
    written(tmp_path, settings)
    [name] = changed
    with pytest.raises(SettingsError, match=f"made with {name} "):
        Checkpoint(tmp_path, resume=True).prepare(settings.replace(**changed))


def test_any_damage_is_found_and_the_one_before_serves(tmp_path):
    settings = Settings("easgd", data="sample")
    written(tmp_path, settings)
    path = tmp_path / "center.3.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(DataError):  # else a byte that means nothing, such as a date in the archive
            tree = read(tmp_path, "center", 3)
            assert torch.equal(tree["x"], torch.ones(4))
            assert tree["settings"] == settings.to_dict()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"{path}.*remove this file"):
        Checkpoint(tmp_path, resume=True).prepare(settings)


def test_numbers_that_are_not_finite_replace_no_checkpoint(tmp_path):
    saver = Saver(Checkpoint(tmp_path, every=0))
    for number, x in enumerate((1.0, 2.0, float("nan"))):
        saver.save({"worker-0": (number, {"x": torch.tensor([x])})})
    saver.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-0.0.npz", "worker-0.1.npz"]


def test_a_full_disk_ends_no_training(tmp_path):
    saver = Saver(Checkpoint(tmp_path / "gone", every=0))
    (tmp_path / "gone").write_text("in the way")
    saver.save({"worker-0": (0, {"x": torch.ones(1)})})
    saver.close()
    assert "no checkpoint written" in saver.failure


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"method": "eamsgd", "workers": 3, "order": "synchronous", "tau": 2},
        {"method": "eamsgd", "workers": 3, "order": "round_robin", "tau": 3},
        {"method": "eamsgd", "workers": 2, "tau": 2, "center": "server"},
        {"method": "mvadownpour", "workers": 2, "tau": 2},
        {"method": "mdownpour", "workers": 2},
        {"method": "easgd", "workers": 2, "variant": "step_first", "tau": 2},
        {"method": "easgd", "workers": 2, "seconds": 0.06, "order": "synchronous", "tau": 2},
        {"method": "mvasgd"},
    ],
    ids=lambda given: " ".join(map(str, given.values())),
)
def test_a_simulated_run_interrupted_twice_is_the_uninterrupted_one(given, tmp_path):
    budget = {} if "seconds" in given else {"steps": 12}
    settings = Settings(**SMALL, **given, **budget, objective="stopping:Stopping")
    expected = simulate.train(settings, times=UNEVEN)
    for gradients in (5, 3):
        stopping.left[:] = [gradients]
        with pytest.raises(KeyboardInterrupt):
            simulate.train(
                settings, times=UNEVEN, checkpoint=tmp_path / "c", every=0,
                resume=(tmp_path / "c").exists(),
            )  # fmt: skip
    run = simulate.train(settings, times=UNEVEN, checkpoint=tmp_path / "c", resume=True)
    assert run.series.equals(expected.series)
    assert run.final_test_accuracy == expected.final_test_accuracy
    assert (run.time_split, run.exchanges) == (expected.time_split, expected.exchanges)


@pytest.mark.slow
def test_another_network_is_refused_and_an_explosion_names_what_was_kept(tmp_path, monkeypatch):
    settings = Settings("sgd", **SMALL, steps=6, objective="stopping:Stopping")
    simulate.train(settings, checkpoint=tmp_path / "c", every=0)
    monkeypatch.setattr(
        stopping.Stopping, "start_seed", staticmethod(lambda seed, worker: seed + 1)
    )
    with pytest.raises(SettingsError, match="another network"):
        simulate.train(settings, checkpoint=tmp_path / "c", resume=True)
    wild = Settings("sgd", **SMALL | {"eta": 1e4}, steps=50)
    with pytest.raises(NotFinite, match=f"last good checkpoint is in {tmp_path / 'w'}"):
        simulate.train(wild, checkpoint=tmp_path / "w", every=0)
    stateless = settings.replace(objective="stopping:Stateless")
    with pytest.raises(SettingsError, match="Stateless cannot be checkpointed"):
        simulate.train(stateless, checkpoint=tmp_path / "s")


@pytest.mark.slow
def test_the_command_line_refuses_before_it_trains(tmp_path):
    def refused(*more: str) -> str:
        with pytest.raises(EasgdError) as refusal:
            app([*train, *more], standalone_mode=False)
        return str(refusal.value)

    train = ["train", "--method", "sgd", "--data", "sample", "--steps", "4", "--simulate"]
    folder = ["--checkpoint", str(tmp_path / "c")]
    app([*train, *folder], standalone_mode=False)
    assert "resume it" in refused(*folder)
    assert "made with eta 0.02" in refused(*folder, "--resume", "--eta", "0.3")
    assert "nothing to resume" in refused("--resume")
    app([*train, *folder, "--resume"], standalone_mode=False)
    (tmp_path / "file").write_text("")
    assert_one_line(easgd(*train, "--out", str(tmp_path / "file" / "a.json")), "cannot be written")


@pytest.mark.slow
def test_a_disk_that_fills_while_it_trains_is_one_line(tmp_path):
    words = ["train", "--method", "sgd", "--data", "sample", "--steps", "4", "--simulate"]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900)); "
    program = limit + "import easgd_lib.__main__ as cli; cli.main()"
    out = tmp_path / "run.json"
    ran = subprocess.run(
        [sys.executable, "-c", program, *words, "--out", str(out)], capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert_one_line(ran, str(out), "cannot be written")
    assert not list(tmp_path.iterdir()), "no part of a file"


TRAIN = ["-m", "easgd_lib", "train", "--method", "eamsgd", "--data", "sample", "--snapshots", "2",
         "--threads", "1", "--eta", "0.05"]  # fmt: skip


def ranks_of(run: subprocess.Popen) -> list[psutil.Process]:
    """The processes of a run that train, in rank order."""
    found = [
        process
        for process in psutil.Process(run.pid).children(recursive=True)
        if "easgd_lib" in process.cmdline() and "OMPI_COMM_WORLD_RANK" in process.environ()
    ]
    return sorted(found, key=lambda process: int(process.environ()["OMPI_COMM_WORLD_RANK"]))


def wait_for(what, limit: float = 90.0):
    deadline = time.monotonic() + limit
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def kill(run: subprocess.Popen):
    """Everything of it at once, as when the power goes."""
    for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
        process.kill()
    run.wait(30)


@pytest.mark.mpi
def test_an_ordered_run_on_mpi_killed_and_resumed_is_the_unharmed_one(tmp_path):
    workers = 3
    words = [*TRAIN, "--tau", "5", "--steps", "60", "--center", "window", "--order", "synchronous"]
    whole, out = tmp_path / "whole.json", tmp_path / "resumed.json"
    assert run_ranks(workers, *words, "--out", str(whole)).returncode == 0
    folder = tmp_path / "c"
    asked = ["--checkpoint", str(folder), "--every", "0"]
    run = start_ranks(workers, *words, *asked, output=subprocess.DEVNULL)
    wait_for(lambda: list(folder.glob(f"worker-{workers - 1}.20.npz")))
    kill(run)
    ran = run_ranks(workers, *words, "--checkpoint", str(folder), "--resume", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    expected, resumed = Run.load(whole), Run.load(out)
    [step] = resumed.environment["resumed"]
    assert 5 <= step < 60
    values = ["step", "worker", "metric", "value"]  # seconds are those of two other runs
    assert resumed.table[values].equals(expected.table[values])


@pytest.mark.mpi
def test_a_worker_that_was_lost_rejoins_from_the_center(tmp_path):
    words = [*TRAIN, "--tau", "5", "--center", "server", "--steps", "300"]
    folder, out = tmp_path / "c", tmp_path / "run.json"
    asked = ["--checkpoint", str(folder), "--every", "0.2"]
    run = start_ranks(4, *words, *asked, output=subprocess.DEVNULL)
    wait_for(lambda: list(folder.glob("worker-1.*.npz")))
    ranks_of(run)[2].kill()
    newest = max(numbers(folder, CENTER))
    wait_for(lambda: lost_in(folder, after=newest))
    kill(run)
    ran = run_ranks(4, *words, "--checkpoint", str(folder), "--resume", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    record = Run.load(out)
    assert [(loss["worker"], loss["why"]) for loss in record.workers_lost] == [(1, "died")]
    assert set(record.table.worker) == {-1, 0, 1, 2}, "all three end the run"
    assert record.final_test_accuracy > 0.9


def lost_in(folder, after: int) -> bool:
    later = [pushes for pushes in numbers(folder, CENTER) if pushes > after]
    return any(read(folder, CENTER, pushes)["lost"] for pushes in later)
