"""Data: the sample, where sets are looked for, what a broken one says, and the streams."""

import shutil
from collections import Counter

import numpy as np
import pytest
import torch

from easgd_lib import datasets
from easgd_lib.errors import DataError


def test_the_sample_is_real_stratified_and_fixed():
    data = datasets.load("sample")
    assert data.train_images.shape == (4000, 28, 28)
    assert Counter(data.test_labels.tolist()) == dict.fromkeys(range(10), 100)
    together = torch.cat([data.train_images, data.test_images]).reshape(5000, -1)
    assert len(np.unique(together.numpy(), axis=0)) == 5000, "no digit in both parts"


def test_without_mnist_the_sample_is_used(no_data):
    assert datasets.resolve(None) == "sample"
    with pytest.raises(DataError, match="make data"):
        datasets.load("mnist")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A folder that looks like MNIST, all four files there, none of them sound."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in datasets.FILES:
        (raw / file).write_bytes(b"\0" * 1000)
    monkeypatch.setenv("EASGD_DATA", str(tmp_path))
    return raw


def test_a_corrupt_file_is_named_with_its_cure(broken):
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte is truncated or corrupt: replace"
    ):
        datasets.check("mnist")


def test_a_missing_file_is_named(broken):
    (broken / datasets.FILES[0]).unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte is missing"):
        datasets.check("mnist")


def test_full_sets_where_they_are_at_hand(tmp_path, monkeypatch):
    for name in datasets.MAKE_DATA:
        root = datasets.find(name)
        if root is None:
            pytest.skip(f"{name} is not on this machine")
        data = datasets.load(name)
        assert (len(data.train_labels), len(data.test_labels)) == (60_000, 10_000)
        pixels = data.pixels(data.train_images)
        assert abs(float(pixels.mean())) < 0.01
        assert abs(float(pixels.std()) - 1) < 0.01
        copy = tmp_path / datasets.FOLDERS[name]
        shutil.copytree(root / datasets.FOLDERS[name], copy)
        copy.chmod(0o755)
        last = copy / datasets.FILES[-1]
        last.chmod(0o644)
        last.write_bytes(last.read_bytes()[:-1])
        monkeypatch.setenv("EASGD_DATA", str(tmp_path))
        with pytest.raises(DataError, match=datasets.FILES[-1]):
            datasets.check(name)
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
