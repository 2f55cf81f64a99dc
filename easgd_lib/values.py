"""Values from outside (files, command line, notebooks): what they must be, said by name."""

import json
import math
import sys
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from easgd_lib.errors import DataError, SettingsError

Result = TypeVar("Result")

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


def read_json(path: Path, parse: Callable[[Any], Result], what: str, fix: str) -> Result:
    """What `parse` makes of a JSON file.

    Raises
    ------
    DataError
        No such file, no JSON, or `parse` refuses it: "<path> is <what> (<why>)".
    """
    try:
        return parse(json.loads(path.read_text("utf-8"), parse_constant=no_constant))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path} is {what} ({said})", fix) from error


def no_constant(token: str):
    """What `json.loads(parse_constant=…)` is given: NaN and Infinity are no JSON."""
    raise ValueError(f"{token} is no number")
