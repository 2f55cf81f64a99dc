"""`cluster(workers)`: ipyparallel engines under MPI. Start, attach, check, train, stop."""

import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipyparallel as ipp
import psutil
from traitlets.config import Config

from easgd_lib import progress
from easgd_lib.errors import MPIError, PeerFailed, SettingsError
from easgd_lib.learning import data_files
from easgd_lib.learning.checkpoint import EVERY, Checkpoint
from easgd_lib.learning.pointless import warn_if_pointless
from easgd_lib.learning.records import Run
from easgd_lib.method.center import kind_of
from easgd_lib.method.settings import Settings
from easgd_lib.parallel import allocation, engine, mpiexec, watchdog
from easgd_lib.parallel.calls import EngineDied, all_ready, failed, failure_of, latest, record_of
from easgd_lib.parallel.launcher import ENGINE, START_LIMIT, Controller, MPIEngineSetLauncher

CONTROLLER = "ipyparallel.controller"
ALL_THERE = 5.0  # seconds in which mpiexec has made all its processes
ANSWER_LIMIT = 30  # seconds for engines that are there to say who they are
TASK_LIMIT = 300.0  # seconds for engines to make a task, which may read its data
RELEASE_LIMIT = 15.0  # seconds for the others to end after one engine failed


def cluster(
    workers: int,
    *,
    attach: str | None = None,
    center: str = "window",
    hostfile: str | Path | None = None,
) -> "Engines":
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
    center : str
        Where x̃ is to live.
    hostfile : str or Path, optional
        For mpiexec: the computers on which engines start. Without one those of the Slurm or PBS
        job in which this process is, or else this one alone.

    Raises
    ------
    MPIError
        On starting: engines that do not start, are too few, or do not form one MPI world.
    """
    if workers < 1:
        raise SettingsError(f"workers must be at least 1: {workers}")
    return Engines(workers + kind_of(center).extra_ranks, attach, hostfile)


class Engines:
    """A running set of engines; engine i is MPI rank i.

    In a notebook a second set takes the place of the first: a cell that starts engines may be
    run again.

    Attributes
    ----------
    client : ipyparallel.Client
    view : ipyparallel.DirectView
        Of all engines, blocking, active for ``%px``.
    """

    def __init__(
        self, ranks: int, attach: str | None = None, hostfile: str | Path | None = None
    ):  # fmt: skip
        self.ranks, self.attach = ranks, attach
        self.hostfile = str(Path(hostfile).expanduser().resolve()) if hostfile else ""
        self.cluster: Any = None  # ours to stop; None where we attached
        self.client: Any = None
        self.view: Any = None
        self.size = 0
        self.broken = False  # an engine has died: the MPI world is not whole any more
        self._guard: subprocess.Popen | None = None
        self._started: set[psutil.Process] = set()
        # While they start: those of the last look, and those that have been seen twice.
        self._before: set[psutil.Process] = set()
        self._steady: set[psutil.Process] = set()

    def start(self) -> "Engines":
        """Start the engines, or attach to running ones, and check them."""
        if self.attach is None:
            for other in list(_RUNNING if progress.in_ipython() else _RUNNING & {self}):
                other.stop()
        try:
            with warnings.catch_warnings():
                # A host name that does not resolve: nothing of ours listens on it.
                warnings.filterwarnings("ignore", "IPython could not determine IPs")
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
        self.broken = False
        self._before, self._steady = set(), set()
        # Beyond loopback the controller listens only where engines on other computers reach it.
        several = allocation.several(self.hostfile)
        ip = allocation.address(allocation.nodes(self.hostfile)) if several else ""
        self.cluster = ipp.Cluster(
            config=Config({"MPIEngineSetLauncher": {"hostfile": self.hostfile}}),
            controller_ip=ip,
            engines=MPIEngineSetLauncher,
            controller=Controller,
            n=self.ranks,
            cluster_id=watchdog.new_id(),
            engine_timeout=START_LIMIT,
            delay=0,  # engines start while the controller does, and wait for its word
            send_engines_connection_env=False,
            log_level=40,
        )
        watchdog.make_folders(self.cluster.cluster_id)
        self._guard = subprocess.Popen(
            [sys.executable, watchdog.__file__, self.cluster.cluster_id, str(os.getpid()),
             self.cluster.profile_dir],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        _RUNNING.add(self)
        try:
            with progress.stage(f"starting {self.ranks} engines"):
                self.cluster.start_cluster_sync()
                files = self.cluster.controller.connection_files.values()
                self._wait_until(lambda: all(map(os.path.exists, files)), "the controller")
                self.client = self.cluster.connect_client_sync()
                self._wait_until(lambda: len(self.client) >= self.ranks, "all engines")
        except Exception as error:
            why = self._last_words(isinstance(error, EngineDied)) or error
            raise MPIError(f"the engines did not start ({why})", "run `easgd doctor`") from error

    def _wait_until(self, ready: Callable[[], bool], what: str):
        """Wait for what starting processes will say; one that dies before never will."""
        began = time.monotonic()
        while not ready():
            self._check_parts()
            now = self._processes(CONTROLLER, ENGINE)
            # What is seen once only was about to be another.
            self._steady |= now & self._before
            waited = time.monotonic() - began
            if self._steady - now or (
                waited > ALL_THERE and self._engines_here(now) < self._local_ranks
            ):
                raise EngineDied("a process died while it started")
            self._before = now
            if waited > START_LIMIT:
                raise TimeoutError(f"waited {START_LIMIT} s for {what}")
            time.sleep(0.05)

    @property
    def _local_ranks(self) -> int:
        """How many engines must be on this computer; 0 where some may be on others."""
        [engines] = self.cluster.engines.values()
        return self.ranks if engines.one_computer else 0

    @staticmethod
    def _engines_here(processes: set[psutil.Process]) -> int:
        found = 0
        for process in processes:
            with suppress(psutil.Error):
                found += process.cmdline()[1:3] == ["-m", ENGINE]
        return found

    def _processes(self, *parts: str) -> set[psutil.Process]:
        """Those of our controller, of our engines and what started them, or both."""
        found = set()
        for process in watchdog.processes(self.cluster.cluster_id):
            with suppress(psutil.Error):
                if not set(parts).isdisjoint(process.cmdline()):
                    found.add(process)
        return found

    def _last_words(self, killed: bool) -> str:
        """The last line of the log of the part that did not start.

        killed : bool
            It may have been killed, without a word: then only a line that names an error counts.
        """
        parts = [*self.cluster.engines.values(), self.cluster.controller]
        for part in parts:
            with suppress(Exception):  # a part that was never made
                lines = [line for line in part.get_output().split("\n") if line.strip()]
                lines = [line for line in lines if "rror" in line or not killed]
                if lines:
                    return lines[-1].strip()
        return ""

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
        """Enough engines, idle, in one MPI world, engine i being rank i."""
        found = self.size = len(self.client)
        if self.cluster is not None:
            self._started = self._processes(CONTROLLER, ENGINE)
        if found < self.ranks:
            raise MPIError(
                f"the run takes {self.ranks} engines, the cluster has {found}",
                f"start it with `ipcluster start -n {self.ranks} --engines=MPIEngineSetLauncher`",
            )
        self._check_idle()
        self.view = self.client[:]
        self.view.block = True
        if progress.in_ipython():
            self.view.activate()
        try:
            worlds = self.view.apply_async(engine.world, os.getcwd()).get(timeout=ANSWER_LIMIT)
        except TimeoutError as error:
            raise MPIError(
                f"the engines did not answer within {ANSWER_LIMIT} s", "start them anew"
            ) from error
        if worlds != [[i, found] for i in range(found)]:
            seen = ", ".join(f"engine {i} is rank {r} of {n}" for i, (r, n) in enumerate(worlds))
            raise MPIError(
                f"the engines are not one MPI world ({seen}): mpiexec belongs to another MPI than "
                f"mpi4py's, or an engine died",
                f"start with {mpiexec.find()} (see `easgd doctor`)",
            )

    def _check_idle(self):
        """Another notebook may be using the same engines; ours would wait for it, silently."""
        status = self.client.queue_status()
        busy = [i for i in self.client.ids if status[i]["queue"]]
        if busy:
            raise MPIError(
                f"the engines are busy: {len(busy)} of {self.size} work for another notebook",
                "wait until it is done, or start engines of your own: cluster(2).start()",
            )

    def stop(self):
        """Close the client; stop controller and engines, if they are ours. Leaves none behind."""
        client, cluster, guard = self.client, self.cluster, self._guard
        self.client = self.cluster = self._guard = None
        self._started = set()
        _RUNNING.discard(self)
        try:
            if client is not None:
                with suppress(Exception):
                    client.close()
            if cluster is not None:
                if not allocation.several(self.hostfile):
                    # They have nothing to save: a kind word to each would take a second.
                    watchdog.end(cluster.cluster_id, grace=0)
                with suppress(Exception):
                    cluster.stop_cluster_sync()  # it forgets them
                watchdog.clear(cluster.cluster_id, cluster.profile_dir)
        finally:
            if guard is not None and guard.stdin:
                guard.stdin.close()  # interrupted above: then the watchdog does the rest

    def _provide(self, ranks: int):
        """Engines enough for a run, all alive; our own set is started anew where they are not."""
        self.broken |= self._some_died()
        if self.client and not self.broken and ranks <= len(self.client) == self.size:
            if self.attach is not None:
                self._check_idle()
            return
        self.ranks = max(ranks, self.ranks)
        if self.attach is None:
            self.stop()
            self.start()
        elif self.broken or not self.client:
            raise MPIError("an engine of this cluster died", "start the cluster anew")
        else:
            self._check()

    def _some_died(self) -> bool:
        """Whether a process of our set is gone: the controller learns of it late."""
        return self.cluster is not None and not all(map(watchdog.alive, self._started))

    def train(
        self,
        settings: Settings,
        *,
        checkpoint: str | Path | None = None,
        every: float = EVERY,
        resume: bool = False,
        task: Callable[[], Any] | None = None,
    ) -> Run:
        """Train on the first ``settings.ranks`` engines, with live progress.

        Parameters
        ----------
        settings : Settings
        checkpoint : str or Path, optional
            A folder, which all engines must see, to write checkpoints into, `every` so many
            seconds; with `resume` the run goes on from the newest one in it.
        task : callable, optional
            A function that makes a `Task`: a network, data and a loss of your own. It is sent to
            the engines as ipyparallel sends functions, so all that it uses it must import or
            define itself. (A task in a module goes by its name: ``data="my_task:task"``.)

        Raises
        ------
        DataError, MPIError, NotFinite
            What stopped the first engine that failed; the others have been released.
        """
        if settings.kind.connect is None:
            raise SettingsError(
                f"center {settings.center} runs in one process", "use easgd_lib.simulate.train"
            )
        if task:
            from easgd_lib.learning import given  # loads torch: only for this

            given.give(task)
            settings = settings.replace(data=given.NAME)
        settings = settings.replace(data=data_files.resolve(settings.data))
        data_files.check(settings.data)
        warn_if_pointless(settings)
        asked = Checkpoint.asked(checkpoint, every, resume)
        if asked:
            asked.prepare(settings)
        self._provide(settings.ranks)
        if task:
            self._give(task, settings.ranks)
        data_root = os.environ.get("EASGD_DATA")
        job = (
            settings.to_dict(),
            data_root and os.path.abspath(os.path.expanduser(data_root)),
            asked.to_arguments() if asked else None,
            platform.node(),
        )
        calls = [self.client[i].apply_async(engine.take_part, *job) for i in range(settings.ranks)]
        display = progress.Live(settings.method)
        try:
            run = self._follow(calls, display)
        except BaseException:
            self._release(calls)
            raise
        finally:
            display.close()
        self.broken = any(loss["why"] == "died" for loss in run.workers_lost)
        return run

    def _give(self, task: Callable[[], Any], ranks: int):
        """Every engine makes the task for itself."""
        calls = [self.client[i].apply_async(engine.give, task) for i in range(ranks)]
        if not all_ready(calls, TASK_LIMIT):
            raise MPIError(f"the engines have not made the task in {TASK_LIMIT:.0f} s")
        for call in calls:
            if failed(call):
                raise failure_of(call)

    def _follow(self, calls: list, display: progress.Live) -> Run:
        """Watch until the record is there; raise the first failure.

        An engine that died ends the run only where the others say so: they may go on.
        """
        while not all(call.ready() for call in calls):
            calls[0].wait(0.2)
            display.update([report for call in calls if (report := latest(call))])
            failures = [failure_of(call) for call in calls if failed(call)]
            if causes := [failure for failure in failures if not isinstance(failure, PeerFailed)]:
                raise causes[0]
            if any(not isinstance(failure, EngineDied) for failure in failures):
                self._release(calls)
                break
            if (record := record_of(calls)) is not None:
                return Run.from_dict(record)
            self._check_parts()
        if (record := record_of(calls)) is not None:
            return Run.from_dict(record)
        failures = [failure_of(call) for call in calls if not (call.ready() and call.successful())]
        self.broken |= any(isinstance(failure, EngineDied) for failure in failures)
        own = [failure for failure in failures if not isinstance(failure, PeerFailed)]
        raise (own or failures)[0]

    def _check_parts(self):
        """Without its controller or its mpiexec a cluster never answers."""
        if self.cluster is None:
            return
        controller = self.cluster.controller
        parts = [("the controller", controller.state == "after" or _lost_a_child(controller.pid))]
        parts += [("mpiexec", part.state == "after") for part in self.cluster.engines.values()]
        for name, died in parts:
            if died:
                self.broken = True
                raise MPIError(f"{name} died (killed, or out of memory)", "start the run again")

    def _release(self, calls: list):
        """End what still runs: first by the failed rank's own notification, then by interrupt."""
        if self.client is None:
            return
        if all_ready(calls, RELEASE_LIMIT if any(call.ready() for call in calls) else 0):
            return
        running = [i for i, call in enumerate(calls) if not call.ready()]
        with suppress(Exception):
            self.client.send_signal(signal.SIGINT, targets=running, block=False)
        if not all_ready(calls, RELEASE_LIMIT) and self.cluster is not None:
            self.stop()


def _lost_a_child(pid: int) -> bool:
    """Whether one of this process's children has ended: the controller never asks after its own."""
    with suppress(psutil.Error):
        children = psutil.Process(pid).children()
        return any(child.status() == psutil.STATUS_ZOMBIE for child in children)
    return False


_RUNNING: set[Engines] = set()  # started by this process, and not stopped
