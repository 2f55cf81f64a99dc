"""The center `tree`: two levels of springs, in the simulator. MPI agrees: see test_mpi.py."""

import numpy as np
import pytest

from easgd_lib import Settings, simulate
from easgd_lib.errors import SettingsError
from easgd_lib.learning.objectives import Quadratic
from easgd_lib.method import limits
from easgd_lib.method.center import CENTERS
from easgd_lib.simulation.clock import TimeModel

BASE = {"workers": 5, "center": "tree", "nodes": 2, "eta": 0.1, "tau": 2, "tau_root": 4}
GROUPS = [[0, 1, 2], [3, 4]]
START = np.linspace(1, 3, 5)


def in_plain_loops(s: Settings, start: np.ndarray, steps: int, h: float, turns: bool):
    """The workers, the nodes and the root, with no code of the library's; the root's history."""
    x, root = list(start), float(np.mean(start))
    nodes, owed, clock = [root, root], [0.0, 0.0], [0] * len(x)
    history = [root]
    for t in range(steps):
        active = [t % len(x)] if turns else range(len(x))
        seen = list(nodes)
        above = root
        for k, group in enumerate(GROUPS):
            first = group[0]
            if first in active and clock[first] % s.tau_root == 0:
                seen_root = root if turns else above
                nodes[k] -= owed[k]
                owed[k] = s.alpha_root * (nodes[k] - seen_root)
                root += owed[k]
        for k, group in enumerate(GROUPS):
            for i in group:
                if i not in active:
                    continue
                force = s.alpha * (x[i] - seen[k]) if clock[i] % s.tau == 0 else 0.0
                nodes[k] += force
                x[i] -= s.eta * h * x[i] + force
                clock[i] += 1
        history.append(root)
    return np.array(x), np.array(history)


@pytest.mark.parametrize("order", ["synchronous", "round_robin"])
def test_the_tree_against_plain_loops(order):
    settings = Settings("easgd", order=order, **BASE)
    path = simulate.trajectory(settings, Quadratic(0.7), START[:, None], 60)
    x, root = in_plain_loops(settings, START, 60, 0.7, order == "round_robin")
    assert np.allclose(path.center[:, 0], root, rtol=0, atol=1e-13)
    assert np.allclose(path.workers[-1, :, 0], x, rtol=0, atol=1e-13)


def test_without_gradients_all_meet_at_one_point():
    """What is conserved is x̃ + Σ c + Σ x, nodes included: at the end all are at its mean."""
    settings = Settings("easgd", order="synchronous", **BASE)
    path = simulate.trajectory(settings, Quadratic(0.0), START[:, None], 4_000)
    meeting = (START.sum() + 3 * START.mean()) / 8
    assert np.allclose(path.workers[-1], meeting, atol=1e-9)
    assert np.allclose(path.center[-1], meeting, atol=1e-9)


@pytest.mark.parametrize(("n", "nodes"), [(2, 2), (3, 2), (4, 4), (2, 8)])
def test_the_tree_s_limit_is_that_of_the_worst_order(n, nodes):
    """All of a node's workers push, of one pull, then the node exchanges with the root."""
    limit = limits.tree(n, nodes, n / nodes)

    def radius(alpha: float) -> float:
        """Of the map of (x, c, f, x̃), f the force that a node has not felt yet."""
        root_alpha, p = alpha * n / nodes, n * nodes
        columns = []
        for state in np.eye(p + 2 * nodes + 1):
            x, c, f, root = np.split(state, [p, p + nodes, p + 2 * nodes])
            force = alpha * (x.reshape(nodes, n) - c[:, None])
            c = c + force.sum(1) - f
            f = root_alpha * (c - root)
            columns.append(np.concatenate([x - force.ravel(), c, f, root + f.sum()]))
        return max(abs(np.linalg.eigvals(np.transpose(columns))))

    assert radius(0.99 * limit) < 1 + 1e-9
    assert radius(1.01 * limit) > 1.001


@pytest.mark.parametrize("order", ["synchronous", "round_robin"])
@pytest.mark.parametrize(("n", "nodes"), [(2, 2), (3, 2), (2, 8)])
def test_below_its_limit_the_tree_settles(n, nodes, order):
    alpha, p = 0.97 * limits.tree(n, nodes, n / nodes), n * nodes
    settings = Settings(
        "easgd", workers=p, center="tree", nodes=nodes, eta=0.0, tau=1, alpha=alpha, order=order
    )
    path = simulate.trajectory(settings, Quadratic(), np.linspace(1, 2, p)[:, None], 500 * p)
    assert np.ptp(path.workers[-1]) < 1e-6


def test_under_the_clock_a_carrier_waits_for_its_exchange_and_the_others_do_not():
    """A message to the root takes 3 steps, an exchange 6, and one is due every 4."""
    settings = Settings("easgd", **BASE)
    times = TimeModel(step=1.0, root_latency=3.0)
    path = simulate.trajectory(settings, Quadratic(), START[:, None], 400, times=times)
    waited = [0.0] * 5
    for span in path.spans:
        waited[span.worker] += (span.activity == "communication") * (span.end - span.start)
    # Two nodes share the root: in the long run each exchange takes 12 steps for both.
    assert waited[1] == waited[2] == waited[4] == 0
    assert min(waited[0], waited[3]) > 0.3 * path.seconds[-1]


def test_under_the_clock_a_tree_repeats_to_the_bit():
    settings = Settings("eamsgd", **BASE)
    times = TimeModel(step=1.0, spread=0.3, latency=0.01, root_latency=0.5)
    paths = [
        simulate.trajectory(settings, Quadratic(1.0, 0.1), START[:, None], 300, times=times)
        for _ in range(2)
    ]
    assert np.array_equal(paths[0].center, paths[1].center)
    assert abs(paths[0].center[-1, 0]) < 1


def test_an_exchange_whose_pull_is_on_its_way_is_waited_for():
    """Latency of 4 steps, τ = 1: each worker's time is its exchanges', not its steps'."""
    settings = Settings("easgd", workers=1, center="server", tau=1, variant="background")
    path = simulate.trajectory(
        settings, Quadratic(), 1.0, 20, times=TimeModel(step=1.0, latency=4.0)
    )
    assert path.seconds[-1] == pytest.approx(19 * 8 + 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 3}, "2 nodes need 4 workers"),
        ({"tau_root": 3}, "no multiple of tau"),
        ({"variant": "background"}, "leave variant out"),
        ({"method": "downpour"}, "easgd or eamsgd"),
        ({"center": "window"}, "does not use nodes"),
        ({"alpha": 0.4}, "is unstable"),
        ({"nodes": 1}, "nodes"),
    ],
)
def test_bad_trees_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        Settings(**{"method": "easgd"} | BASE | options)


def test_settings_of_a_tree_change_to_those_of_another_center_and_back():
    tree = Settings("easgd", **BASE)
    assert (tree.workers_per_node, tree.alpha, tree.alpha_root) == (3, 0.9 / 3, 0.45)
    assert tree.replace(center="server").nodes is None
    assert tree.replace(tau=4).tau_root == 4
    assert Settings("easgd", workers=4, center="tree").replace(tau=5).tau_root == 5
    assert Settings.from_dict(tree.to_dict()) == tree
    assert CENTERS["tree"].extra_ranks == 1
