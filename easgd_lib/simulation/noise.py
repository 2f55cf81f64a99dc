"""The noise of p workers that step together, as one NumPy generator would give it."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from easgd_lib.learning import datasets

BLOCK = 2_000_000  # normal deviates drawn at a time, all workers together
LARGEST = 16_000_000  # or so many, where there are so many workers that a block is a step or two
FEW = 16  # steps


class Noise:
    """All workers' generators as one: row i of what it draws is worker i's own stream.

    It has every method of a NumPy generator that takes a shape: asked for (p, …), it asks each
    worker's generator for (…).
    """

    def __init__(self, seed: int, p: int):
        self.generators = [datasets.generator(seed, worker) for worker in range(p)]

    def __getattr__(self, name: str) -> Callable[..., np.ndarray]:
        return partial(self._draw, name)

    def _draw(self, name: str, *arguments, **named) -> np.ndarray:
        """A row from each worker's generator. An argument with a row for each is dealt out too."""
        p = len(self.generators)

        def row(i: int, value):
            if isinstance(value, np.ndarray) and value.ndim > 1 and len(value) == p:
                return value[i]
            return value[1:] if isinstance(value, tuple) else value

        shapes = [value for value in (*arguments, *named.values()) if isinstance(value, tuple)]
        if not any(shape[:1] == (p,) for shape in shapes):
            raise TypeError(f"generator.{name} must be asked for a shape (p, …), such as x.shape")
        rows = [
            getattr(generator, name)(
                *(row(i, value) for value in arguments),
                **{key: row(i, value) for key, value in named.items()},
            )
            for i, generator in enumerate(self.generators)
        ]
        return np.array(rows)


class NormalNoise(Noise):
    """The same for an objective that draws standard normal deviates alone, in blocks of steps.

    That changes no number: a generator that draws many at once draws the same ones.
    """

    def __init__(self, seed: int, p: int, steps: int):
        super().__init__(seed, p)
        self.steps = steps
        self._normal: Iterator[np.ndarray] | None = None

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        """(p, d), as every worker would draw (d,)."""
        self._normal = self._normal or self._normals(shape[1])
        return next(self._normal)

    def _normals(self, d: int) -> Iterator[np.ndarray]:
        p = len(self.generators)
        n = max(BLOCK // (p * d), min(FEW, LARGEST // (p * d)))
        n = max(1, min(self.steps, n))
        block = np.empty((p, n, d))
        while True:
            for mine, generator in zip(block, self.generators, strict=True):
                generator.standard_normal(out=mine)
            yield from np.ascontiguousarray(block.swapaxes(0, 1))
