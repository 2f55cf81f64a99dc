"""One engine, which is MPI rank i: what mpiexec starts, and what the client has it do.

`python -m easgd_lib.parallel.engine` is ipyparallel's own engine. Before it looks for its
controller, which starts at the same time, it loads torch, starts MPI, and so on.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from easgd_lib.learning.checkpoint import Checkpoint
from easgd_lib.method.settings import Settings

TRIES, PAUSE = 50, 0.1  # to read a file that the controller is just writing; seconds


def world(folder: str) -> list[int]:
    """This engine's rank and the world's size; `folder` is where a user's own modules may lie."""
    from mpi4py import MPI  # starts MPI: only on an engine

    if folder not in sys.path:
        sys.path.append(folder)  # at the end: none of them stands in for another module
    return [MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size]


def take_part(
    settings: dict, data_root: str | None, asked: dict | None, checked_on: str
) -> dict | None:
    """One rank's part of a run, its live numbers published to the client."""
    # They start MPI, or work there alone: only on an engine.
    from ipyparallel.datapub import publish_data

    from easgd_lib.learning.records import rounded
    from easgd_lib.parallel import rank

    os.environ.pop("EASGD_DATA", None)
    if data_root:
        os.environ["EASGD_DATA"] = data_root
    checkpoint = Checkpoint.asked(asked.pop("checkpoint"), **asked) if asked else None
    record = rank.run(Settings.from_dict(settings), publish_data, checkpoint, checked_on)
    return record and rounded(record)


def give(factory: Callable[[], Any]):
    """Make a task that a notebook has sent."""
    from easgd_lib.learning import given  # loads torch: only on an engine

    given.give(factory)


def main():
    """Load what a run needs, then be an engine."""
    import_module("easgd_lib.parallel.rank")
    from ipyparallel.engine.app import IPEngine  # slow to load, and the client does without

    class Engine(IPEngine):
        def load_connection_file(self):
            for _ in range(TRIES):
                try:
                    return super().load_connection_file()
                except json.JSONDecodeError:
                    time.sleep(PAUSE)
            return super().load_connection_file()

    Engine.launch_instance()


if __name__ == "__main__":
    main()
