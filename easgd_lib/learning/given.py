"""A task that a notebook gave as a function: kept here, under a name that settings know."""

from collections.abc import Callable

from easgd_lib.errors import SettingsError
from easgd_lib.learning.task import Task

NAME = f"{__name__}:task"
task: Task | None = None


def give(factory: Callable[[], Task]) -> None:
    """Make the task, and keep it: `Settings(data=NAME)` means it from now on, in this process.

    >>> give(lambda: None)
    Traceback (most recent call last):
    ...
    easgd_lib.errors.SettingsError: the function made a NoneType: it must return a Task
    """
    global task
    made = factory()
    if not isinstance(made, Task):
        raise SettingsError(f"the function made a {type(made).__name__}", "it must return a Task")
    task = made
