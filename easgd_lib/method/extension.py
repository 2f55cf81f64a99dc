"""A name in a table, or "module:attribute": how settings name a user's own part.

Settings travel to engines and into records as plain words, so a method, a center or an
objective of your own is named by where it can be imported from, on every rank.
"""

from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any

from easgd_lib.errors import SettingsError


def find(what: str, name: str, table: Mapping[str, Any]) -> Any:
    """The row of this name, or what "module:attribute" names.

    Raises
    ------
    SettingsError
        Neither a row nor something that can be imported.

    >>> find("size", "small", {"small": 1, "large": 2})
    1
    >>> find("function", "math:sqrt", {})(4.0)
    2.0
    """
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        choices = [*table, "one of your own, as module:attribute"]
        raise SettingsError(f"unknown {what} {name!r}", f"choose from {', '.join(choices)}")
    try:
        return attrgetter(attribute)(import_module(module))
    except Exception as error:  # whatever the module does when it is imported
        raise SettingsError(
            f"{what} {name} cannot be imported ({type(error).__name__}: {error})",
            "name it module:attribute, in a module that every rank can import",
        ) from error
