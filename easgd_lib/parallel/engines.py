"""`cluster(workers)`: ipyparallel engines under MPI. Start, attach, check, train, stop."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import psutil
from ipyparallel.error import RemoteError

from easgd_lib import errors, progress
from easgd_lib.errors import DEAD, MPIError, PeerFailed, SettingsError
from easgd_lib.learning import datasets
from easgd_lib.learning.records import Run
from easgd_lib.method.center import kind_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import mpiexec, watchdog

START_LIMIT = 120  # seconds for controller and engines to appear
RELEASE_LIMIT = 15.0  # seconds for the others to end after one engine failed


def cluster(workers: int, *, attach: str | None = None, center: str = "window") -> "Engines":
    """MPI engines for a run: started by ``with``, stopped on exit, on error and on interrupt.

    In a notebook, where ``with`` cannot span cells: ``engines = cluster(2).start()``, and
    ``engines.stop()`` in the last cell.

    Parameters
    ----------
    workers : int
        How many workers will train. For a center with a rank of its own one more engine starts.
    attach : str, optional
        The cluster id of a running ``ipcluster`` ("" is the default one): its engines
        are used, and left running.

    Raises
    ------
    MPIError
        On starting: engines that do not start, are too few, or do not form one MPI world.
    """
    if workers < 1:
        raise SettingsError(f"workers must be at least 1: {workers}")
    return Engines(workers + kind_of(center).extra_ranks, attach)


class Engines:
    """A running set of engines; engine i is MPI rank i.

    Attributes
    ----------
    client : ipyparallel.Client
    view : ipyparallel.DirectView
        Of all engines, blocking, active for ``%px``.
    """

    def __init__(self, ranks: int, attach: str | None = None):
        self.ranks, self.attach = ranks, attach
        self.cluster: Any = None  # ours to stop; None where we attached
        self.client: Any = None
        self.view: Any = None
        self.size = 0
        self._pids: list[int] = []

    def start(self) -> "Engines":
        """Start the engines, or attach to running ones, and check them."""
        try:
            self._launch() if self.attach is None else self._attach()
            self._check()
        except BaseException:
            self.stop()
            raise
        return self

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def _launch(self):
        self.cluster = ipp.Cluster(
            engines="MPIEngineSetLauncher",
            n=self.ranks,
            cluster_id=f"easgd-{os.getpid()}-{time.time_ns() % 10**9}",
            engine_timeout=START_LIMIT,
            log_level=40,
        )
        try:
            self.client = self.cluster.start_and_connect_sync()
        except Exception as error:
            why = str(error).split(" while waiting")[0]
            raise MPIError(
                f"the engines did not start ({why})",
                "run `easgd doctor`; if your ipyparallel profile names ports, one may be taken",
            ) from error
        self._guard()

    def _attach(self):
        try:
            running = ipp.Cluster.from_file(cluster_id=self.attach, log_level=40)
            self.client = running.connect_client_sync(timeout=30)
        except (OSError, TimeoutError) as error:
            name = f"cluster {self.attach!r}" if self.attach else "cluster"
            raise MPIError(
                f"no running {name} was found",
                "start one with `ipcluster start --engines=MPIEngineSetLauncher`",
            ) from error

    def _check(self):
        """Enough engines, in one MPI world, engine i being rank i."""
        found = self.size = len(self.client)
        if found < self.ranks:
            raise MPIError(
                f"the run takes {self.ranks} engines, the cluster has {found}",
                f"start it with `ipcluster start -n {self.ranks} --engines=MPIEngineSetLauncher`",
            )
        self.view = self.client[:]
        self.view.block = True
        if progress.in_ipython():
            self.view.activate()
        worlds = self.view.apply_async(_world).get(timeout=START_LIMIT)
        self._pids += [pid for _, _, pid in worlds if _is_engine_here(pid)]
        expected = [[i, found] for i in range(found)]
        if [world[:2] for world in worlds] != expected:
            seen = ", ".join(f"engine {i} is rank {r} of {n}" for i, (r, n, _) in enumerate(worlds))
            raise MPIError(
                f"the engines are not one MPI world ({seen}): mpiexec belongs to another MPI than "
                f"mpi4py's {mpiexec.library_version()}",
                f"start with {mpiexec.find()} (see `easgd doctor`)",
            )

    def _guard(self):
        """Should this process be killed, another one ends the engines."""
        launchers = [self.cluster.controller, *self.cluster.engines.values()]
        self._pids = [launcher.pid for launcher in launchers]
        subprocess.Popen(
            [sys.executable, watchdog.__file__, str(os.getpid()), *map(str, self._pids)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self):
        """Close the client; stop controller and engines, if they are ours. Leaves none behind."""
        if self.client is not None:
            with suppress(Exception):
                self.client.close()
            self.client = None
        if self.cluster is not None:
            with suppress(Exception):
                self.cluster.stop_cluster_sync()
            watchdog.end(self._pids)
            self.cluster = None
        self._pids = []

    def _provide(self, ranks: int):
        """Engines enough for a run, all alive; our own set is started anew where they are not."""
        if ranks <= len(self.client) == self.size:
            return
        self.ranks = max(ranks, self.ranks)
        if self.attach is None:
            self.stop()
            self.start()
        else:
            self._check()

    def train(self, settings: Settings) -> Run:
        """Train on the first ``settings.ranks`` engines, with live progress.

        Raises
        ------
        DataError, MPIError, NotFinite
            What stopped the first engine that failed; the others have been released.
        """
        if settings.kind.connect is None:
            raise SettingsError(
                f"center {settings.center} runs in one process", "use easgd_lib.simulate.train"
            )
        settings = settings.replace(data=datasets.resolve(settings.data))
        datasets.check(settings.data)
        self._provide(settings.ranks)
        data_root = os.environ.get("EASGD_DATA")
        job = settings.to_dict(), data_root and str(Path(data_root).expanduser().resolve())
        calls = [self.client[i].apply_async(_take_part, *job) for i in range(settings.ranks)]
        display = progress.Live(settings.method)
        try:
            self._follow(calls, display)
        except BaseException:
            self._release(calls)
            raise
        finally:
            display.close()
        return Run.from_dict(calls[0].get())

    def _follow(self, calls: list, display: progress.Live):
        """Watch until all engines are done; raise the first failure."""
        while not all(call.ready() for call in calls):
            calls[0].wait(0.2)
            display.update([report for call in calls if (report := _latest(call))])
            if any(call.ready() and not call.successful() for call in calls):
                self._release(calls)
                break
        failures = [_failure(call) for call in calls if not (call.ready() and call.successful())]
        own = [failure for failure in failures if not isinstance(failure, PeerFailed)]
        if failures:
            raise (own or failures)[0]

    def _release(self, calls: list):
        """End what still runs: first by the failed rank's own notification, then by interrupt."""
        if _all_ready(calls, RELEASE_LIMIT if any(call.ready() for call in calls) else 0):
            return
        running = [i for i, call in enumerate(calls) if not call.ready()]
        with suppress(Exception):
            self.client.send_signal(signal.SIGINT, targets=running, block=False)
        if not _all_ready(calls, RELEASE_LIMIT) and self.cluster is not None:
            self.stop()


def _is_engine_here(pid: int) -> bool:
    """Whether this is an engine on this computer: with a hostfile it may be on another."""
    with suppress(psutil.Error):
        return "ipyparallel.engine" in psutil.Process(pid).cmdline()
    return False


def _all_ready(calls: list, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while not (done := all(call.ready() for call in calls)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return done


def _latest(call) -> dict | None:
    data = call.data
    return (data[0] if isinstance(data, list) else data) or None


def _failure(call) -> Exception:
    """The error of one call, in our own words where they were ours."""
    try:
        call.get(timeout=1)
    except RemoteError as error:
        if error.ename == "EngineError":
            return PeerFailed(DEAD)
        kind = getattr(errors, error.ename, None)
        return kind(error.evalue) if kind else error
    except Exception as error:
        return MPIError(f"an engine did not end when told to: it was stopped ({error})")
    raise AssertionError("only called for failures")


# Below: what runs on the engines.


def _world() -> list[int]:
    from mpi4py import MPI  # starts MPI: only on an engine

    return [MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size, os.getpid()]


def _take_part(settings: dict, data_root: str | None) -> dict | None:
    """One rank's part of a run, its live numbers published to the client."""
    # They start MPI, or work there alone: only on an engine.
    from ipyparallel.datapub import publish_data

    from easgd_lib.parallel import rank

    os.environ.pop("EASGD_DATA", None)
    if data_root:
        os.environ["EASGD_DATA"] = data_root
    run = rank.run(Settings.from_dict(settings), report=publish_data)
    return run.to_dict() if run else None
