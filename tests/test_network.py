"""The KTH report's network, flat: sizes as printed, views not copies, the right gradient."""

import pytest
import torch
from torch import nn

from easgd_lib import Settings, datasets, models, simulate
from easgd_lib.learning.evaluate import Evaluator
from easgd_lib.learning.flat import Flat, digest
from easgd_lib.learning.objectives import ImageClassification, objective_of
from easgd_lib.method.algorithms import METHODS
from easgd_lib.reproduction import kth
from easgd_lib.simulation.clock import TimeModel


def test_the_report_s_sizes():
    network = models.build(seed=0)
    sizes = {}
    for name, parameter in network.named_parameters():
        layer = name.rsplit(".", 1)[0]
        sizes[layer] = sizes.get(layer, 0) + parameter.numel()
    assert list(sizes.values()) == [780, 30_040, 80, 448_700, 7_010]
    assert sum(sizes.values()) == 486_610
    assert sum(buffer.numel() for buffer in network.buffers()) == 81


def test_the_kth_program_s_start_and_batches_do_what_they_say():
    data = datasets.load("sample")

    def seen(objective: str | None = None) -> tuple[int, int]:
        """How many different starts, and how many different first batches, three workers have."""
        settings = Settings("easgd", workers=3, data="sample", objective=objective)
        workers = [objective_of(settings)(data, settings, worker) for worker in range(3)]
        starts = {digest(each.start) for each in workers}
        batches = {digest(each.first_batch()) for each in workers}
        assert {digest(each.stream.draw()) for each in workers} == batches
        return len(starts), len(batches)

    assert seen() == (1, 3)
    assert seen(kth.OWN_START) == (3, 3)
    assert seen(kth.SAME_BATCHES) == (1, 1)
    assert seen(kth.OWN_START_SAME_BATCHES) == (3, 1)


def test_pooling_first_is_the_report_s_network():
    """Conv, pool, ReLU gives what the report's conv, ReLU, pool gives, gradients included."""
    ours = models.build(seed=3)
    theirs = models.build(seed=3)
    conv, pool, relu = theirs.conv1
    theirs.conv1 = nn.Sequential(conv, relu, pool)
    images = torch.rand(20, 1, 28, 28)
    for network in (ours, theirs):
        network(images).square().sum().backward()
    assert torch.equal(ours(images), theirs(images))
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    for one, other in pairs:
        assert torch.allclose(one.grad, other.grad, atol=1e-5)


def test_flat_is_views_both_ways():
    network = models.build(seed=1)
    before = [parameter.clone() for parameter in network.parameters()]
    flat = Flat(network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(old, new)
    flat.vector.zero_()
    assert all(not parameter.any() for parameter in network.parameters())
    network(torch.rand(2, 1, 28, 28)).sum().backward()
    assert flat.gradient.abs().sum() > 0


def test_gradient_agrees_with_a_difference_quotient():
    settings = Settings("sgd", data="sample", precision="float64", batch_size=16)
    objective = ImageClassification(datasets.load("sample"), settings, worker=0)
    batch, x = objective.draw(), objective.start.clone()
    gradient = objective.gradient(x, batch).clone()
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    losses = []
    for side in (1e-6, -1e-6):
        objective.gradient(x + side * direction, batch)
        losses.append(objective.loss)
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(float(gradient @ direction), rel=1e-4)


def test_same_start_and_different_batches():
    settings = Settings("easgd", workers=3, data="sample", seed=5)
    workers = [
        ImageClassification(datasets.load("sample"), settings, worker) for worker in range(3)
    ]
    assert len({digest(w.start) for w in workers}) == 1
    assert len({digest(w.first_batch()) for w in workers}) == 3
    other = ImageClassification(datasets.load("sample"), settings.replace(seed=6), 0)
    assert digest(other.start) != digest(workers[0].start)


@pytest.mark.slow
def test_evaluating_does_not_depend_on_what_was_evaluated_before():
    evaluator = Evaluator(datasets.load("sample"))
    one, two = (Flat(models.build(seed)).vector for seed in (1, 2))
    first = evaluator(one)
    evaluator(two)
    assert evaluator(one) == first


def test_bfloat16_keeps_parameters_and_gradients_in_float32():
    settings = Settings("sgd", data="sample", precision="bfloat16")
    objective = ImageClassification(datasets.load("sample"), settings, 0)
    exact = ImageClassification(datasets.load("sample"), settings.replace(precision="float32"), 0)
    batch = objective.draw()
    rough, fine = (d.gradient(d.start, batch) for d in (objective, exact))
    assert rough.dtype == torch.float32
    assert float((rough - fine).norm() / fine.norm()) == pytest.approx(0, abs=0.15)
    assert not torch.equal(rough, fine)


@pytest.mark.slow
def test_a_center_needs_batchnorm_statistics_of_its_own():
    """With β/(pτ), as in the report, the center is far from every worker: theirs mislead."""
    settings = Settings(
        "easgd", workers=4, tau=16, eta=0.05, beta_per="step", batch_size=32, steps=200,
        data="sample", threads=1,
    )  # fmt: skip
    data = datasets.load("sample")
    workers = simulate.run_workers(settings, data, METHODS["easgd"], TimeModel())
    center = workers[0].center.snapshot()
    buffers = [[b.clone() for b in w.objective.network.buffers()] for w in workers[:2]]
    assert not torch.equal(buffers[0][0], buffers[1][0]), "statistics stay with each worker"
    evaluator = Evaluator(data)
    own = evaluator(center)["test_accuracy"]
    borrowed = evaluator.with_statistics_of(workers[0].objective.network, center)
    assert own > 0.85
    assert own - borrowed > 0.2
