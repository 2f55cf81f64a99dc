"""A tree of centers: every node's center is tied elastically to a root, as workers are to it.

The idea is that of Zhang's thesis (arXiv:1605.02216, chapter 6): links within a computer are fast
and those between computers slow, so each level has a period of its own. The root is x̃: it is
what is evaluated. Nothing here knows a transport.
"""

from functools import partial
from typing import Any

from easgd_lib.method import rules
from easgd_lib.method.algorithms import Step
from easgd_lib.method.center import Begin, End, ExchangeProtocol, Nodes, Pull, Push


class Tie:
    """What ties a node's center c to the root x̃: kept by the first worker of the node.

    The node is to the root what a worker with the variant `background` is to its center; what its
    workers push is its gradient step. At every period-th exchange of its carrier the force of the
    exchange before is subtracted, c ← c − f, and the next one is begun at this c: f = α(c − x̃),
    which the root gains when it arrives. Both sides move by the same force, from the same pair.

    >>> tie = Tie(Nodes(2, 0.5, 1))
    >>> def worker():
    ...     center = yield Pull()
    ...     yield Push(3.0 - center)
    >>> step = tie.carried(worker())
    >>> next(step), step.send(1.0).change(0.0), step.send(None)  # pull c = 1; begin; push
    (Pull(), 0.5, Push(change=2.0))
    """

    def __init__(self, nodes: Nodes):
        self.nodes = nodes
        self.exchanges = 0
        self.force: Any = None  # of the exchange before, not subtracted yet

    @property
    def is_due(self) -> bool:
        """Whether the exchange that comes next is followed by one with the root."""
        return self.exchanges % self.nodes.period == 0

    def carried(self, step: Step) -> Step:
        """The carrier's own requests, and among them those of its node: `Begin` and `End`.

        What it pulls is c as it is. The node's force goes with the carrier's push: one message.
        """
        pulls, answer = 0, None
        while True:
            try:
                request = step.send(answer)
            except StopIteration:
                return
            if isinstance(request, Push) and self.force is not None:
                request, self.force = Push(request.change - self.force), None
            answer = yield request
            if isinstance(request, Pull):
                pulls += 1
                if pulls == 1:
                    yield from self._exchange(answer)

    def _exchange(self, center: Any) -> Step:
        if self.is_due:
            if self.exchanges:
                self.force = yield End()
            moved = center - (0.0 if self.force is None else self.force)
            yield Begin(partial(rules.elastic_force, moved, alpha=self.nodes.alpha))
        self.exchanges += 1


def tie_of(protocol: ExchangeProtocol, worker: int, workers: int) -> Tie | None:
    """The tie that this worker carries; None: no tree, or another one does.

    >>> protocol = ExchangeProtocol(nodes=Nodes(2, 0.5, 1))
    >>> [tie_of(protocol, worker, 4) is not None for worker in range(4)]
    [True, False, True, False]
    """
    if protocol.nodes is None:
        return None
    carriers = [members[0] for members in protocol.nodes.members(workers)]
    return Tie(protocol.nodes) if worker in carriers else None


def tied(step: Step, tie: Tie | None) -> Step:
    """The requests of a worker's step, and those of the tie that it carries, if any."""
    return tie.carried(step) if tie else step


def root_protocol(protocol: ExchangeProtocol) -> ExchangeProtocol:
    """What the nodes ask of the root: one pull, one push, in the order of the workers' exchanges.

    >>> root_protocol(ExchangeProtocol("round_robin")).order
    'round_robin'
    """
    return ExchangeProtocol(protocol.order)
