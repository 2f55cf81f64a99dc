"""What is read off a record, and when two numbers differ."""

import math

import pytest

from easgd_lib import Run, Settings, metrics
from easgd_lib.learning.sources import TRAIN_SUBSET
from easgd_lib.metrics import Sample, below, each_below, errors, sample
from helpers import made_up

MNIST = Settings("easgd", workers=2, data="mnist")
LOST = Run.lost(MNIST, "the loss of worker 0 is nan at step 7")
NEVER = math.inf


def test_time_to_accuracy_lies_between_two_snapshots():
    """Snapshots at 0, 1, 2, 3, 4 s."""
    run = made_up(MNIST, accuracies=(0.1, 0.5, 0.6, 0.4, 0.9))
    assert metrics.time_to_accuracy(run, 0.55) == pytest.approx(1.5), "the first time of two"
    assert metrics.time_to_accuracy(run, 0.65) == pytest.approx(3.5)
    assert metrics.time_to_accuracy(run, 0.6) == pytest.approx(2.0)
    assert metrics.time_to_accuracy(run, 0.9) == pytest.approx(4.0)
    assert metrics.time_to_accuracy(run, 0.91) == NEVER
    assert metrics.time_to_accuracy(run, 0.3) == 1.0, "from the start no line is straight"
    assert metrics.time_to_accuracy(run, 0.05) == 0.0, "there from the start"


def test_errors_at_the_end_and_on_the_way():
    run = made_up(MNIST, accuracies=(0.1, 0.5, 0.9))
    assert metrics.test_error(run) == pytest.approx(0.1)
    assert metrics.train_error(run) == metrics.train_error(run, 0) == pytest.approx(0.1)
    assert metrics.least_error(made_up(MNIST, (0.1, 0.9, 0.5))) == pytest.approx(0.1)
    assert metrics.error_at(run, 1.5) == pytest.approx(0.3)
    assert metrics.error_at(run, 99) == pytest.approx(0.1)


def test_roughness_is_the_largest_fall():
    assert metrics.roughness(made_up(MNIST, (0.1, 0.8, 0.5, 0.9, 0.7))) == pytest.approx(0.3)
    assert metrics.roughness(made_up(MNIST, (0.1, 0.8, 0.9))) == 0


def test_what_exchanging_takes():
    run = made_up(MNIST, exchanging=0.25)
    assert metrics.communication_fraction(run) == pytest.approx(0.25)
    assert metrics.exchange_seconds(run) == pytest.approx(0.25 / run.exchanges)
    assert metrics.images_per_second(run) == run.images_per_second


def test_a_run_that_diverged_knows_nothing_and_never_arrives():
    assert metrics.test_error(LOST) == metrics.train_error(LOST) == 0.9
    assert metrics.least_error(LOST) == 0.9
    assert metrics.error_at(LOST, 1.0) == metrics.roughness(LOST) == 0.9
    assert metrics.time_to_accuracy(LOST, 0.0) == NEVER
    assert math.isnan(metrics.communication_fraction(LOST))
    assert math.isnan(metrics.exchange_seconds(LOST))
    both = sample([made_up(MNIST, (0.1, 0.9)), LOST])
    assert both.values == pytest.approx((0.1, 0.9))
    assert both.mean == pytest.approx(0.5)


def test_a_gap_that_chance_explains_is_a_tie():
    """Two samples of three, t = 2.776 for four degrees of freedom: √(.02²/3) · t = 0.03206."""
    loose = Sample((0.10, 0.12, 0.14))  # 0.12 ± 0.02
    assert loose.spread == pytest.approx(0.02)
    near, far = (Sample((0.12 + gap,) * 3) for gap in (0.0320, 0.0321))
    assert below(loose, near) == below(near, loose) == 0
    assert (below(loose, far), below(far, loose)) == (1, -1)
    assert each_below([Sample((0.0,) * 3), loose, near, Sample((0.0,) * 3)]) == [1, 0, -1]
    assert below(Sample((0.1,)), Sample((0.1001,))) == 1, "one seed each has no interval"


def test_a_gap_that_a_test_set_cannot_resolve_is_a_tie():
    """√(e(1 − e)/n) of an error of a tenth: 0.003 on ten thousand images, 0.0095 on a thousand."""
    digits = Settings("easgd", workers=2, data="sample")
    for settings, least in ((MNIST, 0.003), (digits, 0.0095)):
        one = errors([made_up(settings, (0.1, 0.9))])
        assert one.resolution == pytest.approx(least, rel=0.01)
        near, far = (errors([made_up(settings, (0.1, 0.9 - f * least))]) for f in (0.9, 1.1))
        assert below(one, near) == below(near, one) == 0
        assert (below(one, far), below(far, one)) == (1, -1)
    few = metrics.train_errors([made_up(MNIST, (0.1, 0.9))])
    assert few.resolution == pytest.approx((0.09 / TRAIN_SUBSET) ** 0.5)
    assert sample([made_up(MNIST)], metrics.images_per_second).resolution == 0


def test_never_is_later_than_any_second_and_as_late_as_never():
    once, never = Sample((3.0,)), Sample((NEVER,))
    assert (below(once, never), below(never, once), below(never, never)) == (1, -1, 0)
    sometimes = Sample((3.0, NEVER, 3.0))
    assert sometimes.spread == 0
    assert (below(once, sometimes), below(sometimes, never)) == (1, 0)


def test_what_is_unknown_is_a_tie():
    unknown = sample([LOST], metrics.communication_fraction)
    assert below(unknown, Sample((0.1,))) == below(Sample((0.1,)), unknown) == 0
