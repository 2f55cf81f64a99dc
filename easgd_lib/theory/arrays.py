"""What the closed forms share: checks of their domain, matrices that broadcast, spectral radii."""

from typing import Any

import numpy as np

Number = Any  # a float, or an array that broadcasts with the others


def require(condition: Number, message: str):
    """Refuse numbers, or an array (…) of them, of which any is outside its domain.

    >>> require(np.array([1, -1]) > 0, "p must be positive")
    Traceback (most recent call last):
    ValueError: p must be positive
    """
    if not np.all(condition):
        raise ValueError(message)


def matrices(rows: list[list[Number]]) -> np.ndarray:
    """Matrices (…, m, n) of m rows of n entries that broadcast to the shape (…).

    >>> matrices([[1, np.zeros(3)], [0, 1]]).shape
    (3, 2, 2)
    """
    entries = np.broadcast_arrays(*[np.asarray(entry, float) for row in rows for entry in row])
    return np.stack(entries, -1).reshape(*entries[0].shape, len(rows), len(rows[0]))


def identities(size: int, *numbers: Number) -> np.ndarray:
    """A writable identity matrix (…, size, size) for each of the broadcast `numbers`.

    >>> identities(2, 0.1, np.zeros(3)).shape
    (3, 2, 2)
    """
    shape = np.broadcast_shapes(*[np.shape(number) for number in numbers])
    return np.tile(np.eye(size), (*shape, 1, 1))


def spectral_radius(matrix: np.ndarray) -> Number:
    """max |eigenvalue| of matrices (…, n, n): the factor per application, in the long run.

    >>> float(spectral_radius(np.diag([0.5, -2.0])))
    2.0
    """
    return np.abs(np.linalg.eigvals(matrix)).max(-1)
