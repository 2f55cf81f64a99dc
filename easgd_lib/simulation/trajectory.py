"""Where workers and center go on an objective, exactly: float64, and every number repeats.

Three orders. *Synchronous*: all workers step together; what all of them ask for is answered
before any goes on, so every pull of one step sees the same x̃. *Round robin*: one worker at a
time takes a whole step, in rank order. *Asynchronous*: under the virtual clock.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from easgd_lib.errors import SettingsError
from easgd_lib.learning import datasets
from easgd_lib.learning.driving import answering, carry_out
from easgd_lib.method import rules
from easgd_lib.method.algorithms import SGD, evaluates_x, method_of, protocol_of
from easgd_lib.method.center import ORDERS, LocalCenter
from easgd_lib.method.settings import Settings
from easgd_lib.method.tree import Tie, tie_of, tied
from easgd_lib.simulation.centers import VirtualCenters
from easgd_lib.simulation.clock import Clock, Process, Requests, Span, TimeModel
from easgd_lib.simulation.noise import Noise, NormalNoise


class Trajectory(NamedTuple):
    """Where the workers and the center were, in float64.

    Attributes
    ----------
    workers : (steps + 1, p, d) array, or with ``keep="center"`` (1, p, d), the last
    center : (steps + 1, d) array
        x̃; of a sequential method its x.
    average : (steps + 1, d) array or None
        z, where the method averages.
    seconds : (steps + 1,) array or None
        Asynchronous order: when each step ended, in virtual seconds.
    spans : list of Span or None
        Asynchronous order: who did what, when.
    """

    workers: np.ndarray
    center: np.ndarray
    average: np.ndarray | None = None
    seconds: np.ndarray | None = None
    spans: list[Span] | None = None


def trajectory(
    settings: Settings,
    objective,
    start,
    steps: int,
    order: str | None = None,
    *,
    keep: str = "all",
    method: type[SGD] | None = None,
    times: TimeModel | None = None,
) -> Trajectory:
    """Follow p workers and the center on `objective`, exactly.

    Parameters
    ----------
    settings : Settings
        Method, p, η, α, τ, δ, γ and the seed of the noise.
    objective
        Has ``gradient(x, generator)``, such as `objectives.Quadratic`. Where workers step
        together x is (p, d); the generator has every method of NumPy's that takes a shape.
    start : scalar, (d,) or (p, d) array
        Where the workers start; the center starts at their mean.
    steps : int
        Synchronous: one step moves every worker once. Round robin: one step is one
        worker's turn, worker t mod p. Asynchronous: one step is one worker's, in the order
        in which they end.
    order : {"synchronous", "round_robin", "asynchronous"}, optional
        Overrides ``settings.order``.
    keep : {"all", "center"}
        "center" keeps the center's history, and of the workers' only the end.
    method : type, optional
        A class like those in `methods`, in place of the one that the settings name.
    times : TimeModel, optional
        How long things take (asynchronous order only).

    Raises
    ------
    SettingsError
        An asynchronous order without `times`, or `times` without it.
    """
    order = order or settings.order or "synchronous"
    if order not in ORDERS:
        raise SettingsError(f"unknown order {order!r}", f"choose from {', '.join(ORDERS)}")
    if (order == "asynchronous") != (times is not None):
        raise SettingsError(
            "give `times` for the asynchronous order, and only for it",
            "a time model decides which worker comes first",
        )
    follow = _Followed(settings, objective, start, steps, order, keep, method)
    if times is not None:
        follow.in_virtual_time(times)
    elif order == "synchronous":
        follow.together()
    else:
        follow.in_turn()
    return follow.trajectory()


class _Together:
    """The center as p workers see it that ask together: one pull, and p changes in one push."""

    def __init__(self, center: LocalCenter):
        self.pull = center.pull
        self.center = center

    def push(self, changes: np.ndarray):
        if self.center.optimizer:
            for each in changes:
                self.center.push(each)
        else:
            self.center.push(changes.sum(0))


class _TogetherOnNodes:
    """The nodes' centers of a tree, as its workers see them that ask together."""

    def __init__(self, centers: list[LocalCenter], groups: list[list[int]]):
        self.centers, self.groups = centers, groups

    def pull(self) -> np.ndarray:
        each = [
            [center.pull()] * len(group)
            for center, group in zip(self.centers, self.groups, strict=True)
        ]
        return np.concatenate(each)

    def push(self, changes: np.ndarray):
        for center, group in zip(self.centers, self.groups, strict=True):
            center.push(changes[group].sum(0))


class _Followed:
    """The workers of one trajectory, and what was seen of them."""

    def __init__(self, settings: Settings, objective, start, steps, order, keep, method):
        self.settings, self.objective, self.steps, self.keep = settings, objective, steps, keep
        self.method = method or method_of(settings)
        self.protocol = protocol_of(settings, self.method)._replace(order=order)
        self.p = settings.workers
        start = np.atleast_1d(np.asarray(start, dtype=np.float64))
        self.start = np.array(np.broadcast_to(start, (self.p, start.shape[-1])))
        self.center = LocalCenter(self.start.mean(0), self.protocol)
        self.nodes = self.protocol.nodes
        self.groups = self.nodes.members(self.p) if self.nodes else [list(range(self.p))]
        self.centers: list[np.ndarray] = []
        self.workers: list[np.ndarray] = []
        self.averages: list[np.ndarray] = []
        self.seconds: list[float] = []
        self.spans: list[Span] = []

    def together(self):
        """All workers are one method whose x is (p, d): the rules broadcast."""
        one = self.method(self.start, self.settings)
        seed, normal = self.settings.seed, getattr(self.objective, "only_normal", False)
        noise: Any = NormalNoise(seed, self.p, self.steps) if normal else Noise(seed, self.p)

        def gradient(at: np.ndarray) -> np.ndarray:
            return self.objective.gradient(at, noise)

        root, tie = _Together(self.center), None
        center: Any = root
        if self.nodes:
            carries = np.zeros((self.p, 1))
            carries[[group[0] for group in self.groups]] = 1  # a force of the others is 0
            tie = Tie(self.nodes._replace(alpha=self.nodes.alpha * carries))
            center = _TogetherOnNodes(self._node_centers(), self.groups)
        answer = answering(center, gradient, root=root)
        self._see([one])
        for _ in range(self.steps):
            carry_out(tied(one.step(), tie), answer)
            self._see([one])

    def _node_centers(self) -> list[LocalCenter]:
        """One a group; without nodes x̃ itself."""
        if not self.nodes:
            return [self.center]
        return [LocalCenter(self.center.pull(), self.protocol) for _ in self.groups]

    def _each(self) -> tuple[list[SGD], list[Callable]]:
        """The workers one by one, and the gradient that each of them sees."""
        methods = [self.method(x, self.settings) for x in self.start]
        noises = [datasets.generator(self.settings.seed, i) for i in range(self.p)]
        return methods, [partial(_gradient, self.objective, noise) for noise in noises]

    def in_turn(self):
        methods, gradients = self._each()
        centers = [
            center
            for center, group in zip(self._node_centers(), self.groups, strict=True)
            for _ in group
        ]
        answers = [
            answering(center, gradient, root=self.center)
            for center, gradient in zip(centers, gradients, strict=True)
        ]
        ties = self._ties()
        self._see(methods)
        for t in range(self.steps):
            i = t % self.p
            carry_out(tied(methods[i].step(), ties[i]), answers[i])
            self._see(methods)

    def _ties(self) -> list[Tie | None]:
        return [tie_of(self.protocol, worker, self.p) for worker in range(self.p)]

    def in_virtual_time(self, times: TimeModel):
        methods, gradients = self._each()
        clock, size = Clock(), self.start[0].nbytes
        virtual = VirtualCenters(
            clock, self.settings, self.protocol, times, self.center.pull(), size
        )
        self.center = virtual.evaluated

        def requests(method: SGD, tie: Tie | None) -> Requests:
            while len(self.centers) <= self.steps:
                yield from tied(method.step(), tie)
                if len(self.centers) <= self.steps:
                    self._see(methods)
                    self.seconds.append(clock.now)

        processes = [
            Process(
                i, clock, requests(method, tie), gradient, times.data_per_image,
                times.compute_times(self.settings.seed, i, self.p, images=1), self.spans.append,
            )
            for i, (method, gradient, tie) in enumerate(
                zip(methods, gradients, self._ties(), strict=True)
            )
        ]  # fmt: skip
        self._see(methods)
        self.seconds.append(0.0)
        virtual.run(processes)

    def _see(self, methods: list[SGD]):
        if self.keep == "all" or len(self.centers) == self.steps:
            self.workers.append(np.concatenate([np.atleast_2d(method.x) for method in methods]))
        alone = not self.method.exchange
        self.centers.append(np.atleast_2d(methods[0].x)[0] if alone else self.center.pull())
        evaluated = methods[0].evaluated if alone else self.center.snapshot()
        self.averages.append(np.atleast_2d(evaluated)[0])

    def trajectory(self) -> Trajectory:
        alone = not self.method.exchange
        averages = not evaluates_x(self.settings) if alone else self.protocol.shows > 0
        return Trajectory(
            np.array(self.workers),
            np.array(self.centers),
            np.array(self.averages) if averages else None,
            np.array(self.seconds) if self.seconds else None,
            self.spans or None,
        )


def _gradient(objective, noise: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return objective.gradient(x, noise)


def admm_round_robin(
    p: int, eta: float, rho: float, start, steps: int, objective, seed: int = 0
) -> Trajectory:
    """Asynchronous ADMM in round robin, paper (8)-(11): EASGD's foil in the paper's section 4.

    Parameters
    ----------
    p, eta, rho : int, float, float
        Workers, learning rate, penalty.
    start : scalar, (d,) or (p, d) array
        Where the workers start, multipliers 0; the center starts at the workers' mean.
    steps : int
        One step is one worker's turn, worker t mod p.
    objective
        Has ``gradient(x, generator)``.
    """
    start = np.atleast_1d(np.asarray(start, dtype=np.float64))
    x = np.array(np.broadcast_to(start, (p, start.shape[-1])))
    multipliers, center = np.zeros_like(x), x.mean(0)
    noises = [datasets.generator(seed, worker) for worker in range(p)]
    workers, centers = [x.copy()], [center]
    for t in range(steps):
        i = t % p
        multipliers[i] = rules.admm_multiplier(multipliers[i], x[i], center)
        gradient = objective.gradient(x[i], noises[i])
        x[i] = rules.admm_step(x[i], gradient, multipliers[i], center, eta, rho)
        center = rules.admm_center(x, multipliers)
        workers.append(x.copy())
        centers.append(center)
    return Trajectory(np.array(workers), np.array(centers))
