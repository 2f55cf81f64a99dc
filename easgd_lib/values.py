"""Values from outside (files, command line, notebooks): what they must be, said by name."""

import math
import sys
from numbers import Real
from typing import Any

from easgd_lib.errors import SettingsError

LARGEST = 2**53  # beyond it floats skip whole numbers


def number(
    name: str, value: Any, least: float = -math.inf, most: float = math.inf, *, whole: bool = False
):
    """Raise unless this is a finite number in these bounds; of a whole one, unless it is whole.

    Raises
    ------
    SettingsError
        It names the value.

    >>> number("tau", 10, 1, whole=True)
    >>> number("tau", 0.5, 1, whole=True)
    Traceback (most recent call last):
    easgd_lib.errors.SettingsError: tau must be a whole number of at least 1: 0.5
    """
    fine = isinstance(value, Real) and not isinstance(value, bool)
    fine = fine and abs(value) <= sys.float_info.max and least <= float(value) <= most
    if whole:
        fine = fine and abs(value) <= LARGEST and value == int(value)
    if not fine:
        kind = "a whole number" if whole else "finite"
        bounds = f" {'of' if whole else 'and'} at least {least:g}" if least > -math.inf else ""
        bounds += f", at most {most:g}" if most < math.inf else ""
        raise SettingsError(f"{name} must be {kind}{bounds}: {value!r}")


def kind(name: str, value: Any, of: type):
    """Raise unless this is a text, a list, a table, or whatever is asked for.

    >>> kind("series", {}, list)
    Traceback (most recent call last):
    easgd_lib.errors.SettingsError: series must be a list, not a dict
    """
    if not isinstance(value, of):
        raise SettingsError(
            f"{name} must be a {of.__name__}, not a {type(value).__name__}",
        )


def no_constant(token: str):
    """What `json.loads(parse_constant=…)` is given: NaN and Infinity are no JSON."""
    raise ValueError(f"{token} is no number")
