"""The examples in docstrings run, and none of a formula's functions lacks one."""

import doctest
import inspect
from importlib import import_module

import pytest

FORMULAS = (
    "method.rules", "method.settings", "method.extension",
    "theory.arrays", "theory.double_well", "theory.moments", "theory.speed_up", "theory.stability",
)  # fmt: skip
OTHERS = (
    "errors", "metrics", "method.algorithms", "method.center", "learning.sources",
    "reproduction.experiments", "reproduction.kth",
)  # fmt: skip


def module(name: str):
    return import_module(f"easgd_lib.{name}")


@pytest.mark.parametrize("name", FORMULAS + OTHERS)
def test_examples_run(name):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    found = doctest.testmod(module(name), optionflags=flags)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", FORMULAS)
def test_every_public_function_has_an_example(name):
    functions = inspect.getmembers(module(name), inspect.isfunction)
    own = {key: f for key, f in functions if f.__module__ == module(name).__name__}
    lacking = [key for key, f in own.items() if key[0] != "_" and ">>>" not in (f.__doc__ or "")]
    assert not lacking
