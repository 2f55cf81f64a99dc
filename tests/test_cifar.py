"""CIFAR-10 and the paper's network, on a few images in torchvision's layout."""

import hashlib
import json
import pickle
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
import torchvision

from easgd_lib import Run, Settings, __main__, data_files, datasets, models, simulate
from easgd_lib.errors import DataError, SettingsError
from easgd_lib.learning.evaluate import Evaluator
from easgd_lib.learning.flat import Flat
from easgd_lib.learning.objectives import ImageClassification
from easgd_lib.learning.sources import DATASETS
from easgd_lib.method.algorithms import METHODS
from easgd_lib.simulation.clock import MEASURED_STEP, TimeModel

EACH = 20  # images in each of the six files
TIMES = TimeModel(per_image=1e-4)


def where_pixels_are(n: int) -> np.ndarray:
    """(n, 32, 32, 3): a pixel's color is its row, its column and its image."""
    return np.stack(np.broadcast_arrays(*np.ogrid[:n, :32, :32]), -1)[..., [1, 2, 0]]


def write(path, content) -> str:
    """Pickle it, and return its MD5."""
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """120 images as torchvision stores them, whose checksums it is given."""
    folder = tmp_path / DATASETS["cifar10"].folder
    folder.mkdir()
    images = where_pixels_are(EACH).astype(np.uint8).transpose(0, 3, 1, 2).reshape(EACH, -1)
    batch = {"data": images, "labels": [k % 10 for k in range(EACH)]}
    files = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    sums = [[file, write(folder / file, batch)] for file in files]
    meta = write(folder / "batches.meta", {"label_names": list("abcdefghij")})
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", sums[:5])
    monkeypatch.setattr(cls, "test_list", sums[5:])
    monkeypatch.setattr(cls, "meta", cls.meta | {"md5": meta})
    monkeypatch.setenv("EASGD_DATA", str(tmp_path))
    datasets._read.cache_clear()
    yield folder
    datasets._read.cache_clear()


@pytest.fixture
def data(folder):
    return datasets.load("cifar10")


def settings(method: str = "sgd", **more) -> Settings:
    return Settings(method, data="cifar10", batch_size=8, threads=1, snapshots=1, **more)


def test_every_image_with_its_label(data):
    assert data.train_images.shape == (5 * EACH, 32, 32, 3)
    assert np.array_equal(data.test_images, where_pixels_are(EACH))
    assert data.train_labels.tolist() == [k % 10 for k in range(EACH)] * 5
    assert data.description == "cifar10, 100 training and 20 test images"


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_corrupt_file_is_named_and_never_unpickled(folder, monkeypatch, file):
    path = folder / file
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("opened unchecked"))
    with pytest.raises(DataError, match=f"{file} is truncated or corrupt: replace .* cifar10`"):
        datasets.load("cifar10")
    path.unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        data_files.check("cifar10")


def test_not_there_says_what_downloads_it(no_data):
    with pytest.raises(DataError, match="`easgd data cifar10` downloads it"):
        data_files.check("cifar10")


def test_crops_are_windows_of_every_place_and_half_are_mirrored():
    images = torch.from_numpy(where_pixels_are(2_000))
    crops = datasets.random_crops(images, datasets.generator(0, 0))
    assert crops.shape == (2_000, 28, 28, 3)
    places, backwards = set(), 0
    for image, crop in zip(images, crops, strict=True):
        (row, left), right = crop[0, 0, :2].tolist(), int(crop[0, -1, 1])
        first = min(left, right)
        window = image[row : row + 28, first : first + 28]
        assert torch.equal(crop, window.flip(1) if left > right else window)
        places.add((row, first))
        backwards += left > right
    assert places == {(row, column) for row in range(5) for column in range(5)}
    assert 900 < backwards < 1_100


def test_evaluation_sees_the_center_in_zero_to_one(data):
    pixels = data.pixels(data.test_images)
    assert pixels.shape == (EACH, 3, 28, 28)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    expected = where_pixels_are(EACH)[:, 2:30, 2:30].transpose(0, 3, 1, 2) / 255
    assert np.allclose(pixels, expected, atol=1e-7)


def test_digits_are_neither_cropped_nor_mirrored():
    """And draw no more than their batches: the same numbers as without CIFAR-10."""
    data, ours = datasets.load("sample"), Settings("sgd", data="sample", batch_size=8)
    objective, stream = ImageClassification(data, ours, 0), datasets.Stream(4_000, 8, 0, 0)
    for _ in range(2):
        expected = data.pixels(data.train_images[stream.draw()])
        assert torch.equal(objective.draw()[0], expected)


def test_the_paper_s_sizes():
    network = models.build(seed=0, data="cifar10")
    sizes = {}
    for name, parameter in network.named_parameters():
        layer = name.split(".")[0]
        sizes[layer] = sizes.get(layer, 0) + parameter.numel()
        assert "bias" not in name or not parameter.any(), "biases start at 0"
    assert list(sizes.values()) == [4_864, 204_928, 73_792, 65_792, 2_570]
    assert sum(sizes.values()) == models.PAPERNET_PARAMETERS == 351_946
    assert not list(network.buffers())
    shapes, x = [], torch.zeros(1, 3, 28, 28)
    for stage in (network.conv1, network.conv2, network.conv3):
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(64, 12, 12), (128, 4, 4), (64, 2, 2)]


def test_dropout_is_for_training_alone():
    network = models.build(seed=0, data="cifar10")
    images = torch.rand(4, 3, 28, 28)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
    dropout = models.Dropout()
    ones = dropout(torch.ones(100, 100))
    assert set(ones.unique().tolist()) == {0, 2}
    assert float(ones.mean()) == pytest.approx(1, abs=0.05)


def test_the_gradient_is_that_of_the_loss_and_half_lambda_x_squared(data):
    """Along x, on which the network has no kink: its biases are 0. And λx in every coordinate."""
    objective = ImageClassification(data, settings(precision="float64"), 0)
    batch, x = objective.draw(), objective.start
    rng = objective.stream.generator.bit_generator
    before = rng.state

    def gradient(at):
        rng.state = before  # the same units silenced each time
        return objective.gradient(at, batch).clone()

    losses = []
    for scale in (1 + 1e-6, 1 - 1e-6):
        gradient(scale * x)
        losses.append(objective.loss + 1e-4 / 2 * float((scale * x).square().sum()))
    with_l2 = gradient(x)
    assert float(with_l2 @ x) == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-6)
    objective.network.l2 = 0.0
    assert torch.allclose(with_l2 - gradient(x), 1e-4 * x, rtol=0, atol=1e-15)


def test_evaluating_depends_on_nothing_but_the_vector(data):
    evaluator = Evaluator(data)
    one, two = (Flat(models.build(seed, data="cifar10")).vector for seed in (1, 2))
    first = evaluator(one)
    evaluator(two)
    assert evaluator(one) == first


def test_crops_are_each_worker_s_own_and_repeat(data):
    one, again, other = (
        datasets.random_crops(data.train_images, datasets.generator(0, worker))
        for worker in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_workers_in_one_process_do_not_disturb_each_other(data):
    """With α = 0 worker 0 of two goes where it goes alone, dropout and all."""
    both = settings("easgd", workers=2, alpha=0.0, tau=1, steps=4)
    one, other = simulate.run_workers(both, data, METHODS["easgd"], TIMES)
    [alone] = simulate.run_workers(settings(steps=4), data, METHODS["sgd"], TIMES)
    assert torch.equal(one.method.x, alone.method.x)
    assert not torch.equal(one.method.x, other.method.x)


def run_main(monkeypatch, *arguments: str):
    monkeypatch.setattr(sys, "argv", ["easgd", *arguments])
    __main__.main()


@pytest.mark.slow
def test_the_command_line_trains_in_virtual_time_with_a_model_of_its_own(
    folder, monkeypatch, tmp_path, capsys
):
    out, model = tmp_path / "run.json", tmp_path / "times.json"
    words = ["train", "--method", "easgd", "--workers", "2", "--tau", "2", "--steps", "4"]
    words += [
        "--data",
        "cifar10",
        "--batch-size",
        "8",
        "--snapshots",
        "1",
        "--threads",
        "1",
        "--simulate",
    ]
    with pytest.raises(SystemExit):
        run_main(monkeypatch, *words)
    assert "report's network, not of cifar10's" in capsys.readouterr().err
    step = {name: asdict(TIMES)[name] for name in MEASURED_STEP}
    link = {"latency": 0.0, "bandwidth": 1e9}
    model.write_text(json.dumps({"step": step, "links": {"window": link}}))
    with pytest.raises(SystemExit) as end:
        run_main(monkeypatch, *words, "--time-model", str(model), "--out", str(out))
    assert end.value.code == 0
    run = Run.load(out)
    assert (run.settings.data, run.exchanges) == ("cifar10", 2 * 2)
    assert run.environment["time_model"]["per_image"] == 1e-4
    assert 0 <= run.final_test_accuracy <= 1
    assert np.isfinite(run.table.value).all()


def test_the_calibrated_times_are_not_this_network_s(data):
    with pytest.raises(SettingsError, match="give a time model"):
        simulate.train(settings(steps=1))
