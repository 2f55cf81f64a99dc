"""Runs that cannot show what they are for: said before they start."""

import warnings

from easgd_lib.learning.data_files import resolve
from easgd_lib.learning.sources import source_of, steps_of
from easgd_lib.method.algorithms import method_of
from easgd_lib.method.settings import Settings


class PointlessRun(UserWarning):
    """A run whose settings make it pointless."""


def warn_if_pointless(settings: Settings):
    """Warn of settings with which the run cannot show what it is for.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warn_if_pointless(Settings("easgd", workers=2, tau=100, steps=63))
    >>> print(said[0].message)
    the center never moves: of 63 steps only the first one exchanges (τ = 100): lower tau
    """
    method = method_of(settings)
    steps = steps_of(settings, source_of(resolve(settings.data)).train_images)
    said = ""
    if settings.eta == 0:
        said = "nothing is learned: η = 0"
    elif method.exchange and settings.alpha == 0:
        said = "the center never moves: α = 0"
    elif method.exchange and steps is not None and steps <= settings.tau:
        said = (
            f"the center never moves: of {steps} steps only the first one exchanges "
            f"(τ = {settings.tau}): lower tau"
        )
    if said:
        warnings.warn(said, PointlessRun, stacklevel=3)
    if settings.precision == "bfloat16":
        _warn_if_slower(settings)


def _warn_if_slower(settings: Settings):
    """A precision that was chosen for its speed, and has none here."""
    from easgd_lib.learning.precision import times_float32  # loads torch: only for this

    factor = times_float32(settings.replace(data=resolve(settings.data)))
    if factor > 1:
        warnings.warn(
            f"a step in {settings.precision} takes {factor:.1f} times as long as in float32 on "
            "this processor",
            PointlessRun,
            stacklevel=4,
        )
