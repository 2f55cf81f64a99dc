"""What many workers on many computers would do: a plan, by the time model. Nothing is measured.

The step and a node's memory are this machine's as calibrated; the network is what one says it is.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from easgd_lib.learning import models
from easgd_lib.method.settings import Settings
from easgd_lib.simulation import simulate
from easgd_lib.simulation.clock import TimeModel

TAUS = (1, 4, 10, 40, 100, 400)
NODE_TAU = 10  # of a tree's workers and their node, or τ if that is less
BATCH = 64
ROUNDS = 3  # exchanges of every worker that are counted, after one that is not
KINDS: dict[str, dict[str, Any]] = {
    "tree": {"center": "tree"},
    "one server": {"center": "server"},
    "one server, in the background": {"center": "server", "variant": "background"},
    "all-reduce": {"center": "allreduce"},
}


class Network(NamedTuple):
    """A message between two computers takes latency + bytes/bandwidth."""

    latency: float  # seconds
    bandwidth: float  # bytes a second


NETWORKS = {
    "1 Gbit/s, 1 ms": Network(1e-3, 1.25e8),
    "25 Gbit/s, 0.05 ms": Network(5e-5, 3.125e9),
}


class Plan(NamedTuple):
    """One case. `relative`: its images per second over those of workers that never exchange."""

    network: str
    kind: str
    tau: int
    relative: float
    communication: float


def plans(workers: int, hosts: int, networks: dict[str, Network]) -> Iterator[Plan]:
    """Every kind at every period on every network."""
    for name, network in networks.items():
        for kind in KINDS:
            for tau in TAUS:
                yield plan(name, network, kind, tau, workers, hosts)


def plan(name: str, network: Network, kind: str, tau: int, workers: int, hosts: int) -> Plan:
    """What the clock says of one case."""
    settings = settings_of(kind, tau, workers, hosts)
    times = times_of(kind, network, workers, hosts)
    step = times.step + BATCH * (times.per_image + times.data_per_image)
    message = network.latency + 4 * models.CONVNET_PARAMETERS / network.bandwidth
    served = {"tree": hosts, "all-reduce": 1}.get(kind, workers)  # one after the other
    period = max(tau * step, served * 2 * message)
    found = simulate.predict(settings, times, seconds=ROUNDS * period, after=period)
    never = workers * BATCH / step
    return Plan(name, kind, tau, found.images_per_second / never, found.communication)


def settings_of(kind: str, tau: int, workers: int, hosts: int) -> Settings:
    """EASGD with this center; a tree's period is that of its nodes and the root."""
    own: dict[str, Any] = {"tau": tau}
    if kind == "tree":
        own = {"tau": min(tau, NODE_TAU), "tau_root": tau, "nodes": hosts}
    return Settings("easgd", workers=workers, batch_size=BATCH, **KINDS[kind] | own)


def times_of(kind: str, network: Network, workers: int, hosts: int) -> TimeModel:
    """The calibrated step, and this network between the computers."""
    center = "tree" if kind == "tree" else "server"
    here, per_host = TimeModel.calibrated(center), workers // hosts
    if kind == "tree":
        root = {"root_latency": network.latency, "root_bandwidth": network.bandwidth}
        return here.but(near=1, **root)
    return here.but(near=per_host, per_host=per_host, **network._asdict())


def record(made: list[Plan], workers: int, hosts: int, networks: dict[str, Network]) -> dict:
    """What is stored: the plans, and what they assume."""
    return {
        "workers": workers,
        "hosts": hosts,
        "batch": BATCH,
        "networks": {name: network._asdict() for name, network in networks.items()},
        "plans": [each._asdict() for each in made],
    }
