"""What several commands need: options as `Settings` knows them, tables in a terminal."""

from collections.abc import Mapping
from typing import Any

import click

from easgd_lib.method.settings import Settings


def option(name: str, kind, help: str, **more):
    """An option whose default, where there is one, is that of `Settings`."""
    default = getattr(Settings, name.strip("-").replace("-", "_"), None)
    if default is not None:
        more |= {"default": default, "show_default": True}
    kind = click.Choice(kind) if isinstance(kind, tuple) else kind
    return click.option(name, type=kind, help=help, **more)


class Name(click.ParamType):
    """A name in a table, or a user's own "module:attribute", as `Settings` takes them."""

    name = "module:attribute"

    def __init__(self, table: Mapping[str, Any]):
        self.table = table

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join([*self.table, self.name])}]"


def new_console():
    """The terminal: its width is respected, and nothing in a text is colored."""
    from rich.console import Console

    return Console(highlight=False)


def new_table(*headings: str):
    """A table of columns, without lines."""
    from rich.table import Table

    return Table(*headings, box=None, pad_edge=False)
