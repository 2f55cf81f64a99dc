"""`Averaging`: any method of this library as a `torch.optim.Optimizer`, on MPI ranks.

It computes no update. It drives the method as every driver does (`method.sequential`): the gradient
that a step asks for is the one that `backward` has left, for between two steps the model stands at
the very point where the method wants it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from easgd_lib.errors import MPIError, SettingsError
from easgd_lib.learning.driving import Beside, answering
from easgd_lib.learning.worker import state_of_method
from easgd_lib.method.algorithms import Gradient, Request, Step, method_of, protocol_of
from easgd_lib.method.tree import tie_of, tied
from easgd_lib.optim import vector
from easgd_lib.optim.inner import with_inner
from easgd_lib.optim.meeting import Meeting
from easgd_lib.optim.watch import watch

NAMES = {"momentum": "delta"}  # torch's words, and ours


class Averaging(torch.optim.Optimizer):
    """Trains a network together with the other ranks of an MPI world, by one method of `METHODS`.

    Each rank is a worker with a copy of the model, and draws its own part of the data. All start
    where the first of them does. The center variable x̃ is what is to be evaluated.

    - `step` makes one step of the method, exchanging with the center when τ divides t, in the
      paper's order. Learning rates are those of the parameter groups at that moment.
    - Between two steps the model holds the point at which the method takes its gradient: for
      `EAMSGD` x + δv, not x. The velocity is kept apart, so δv follows a schedule of the rate.
    - Buffers (BatchNorm's statistics) are never exchanged: see `evaluating`.
    - A rank that leaves ``with`` by an exception, or ends by one, ends the others too.

    Parameters
    ----------
    params : nn.Module, or parameters, or parameter groups
        Frozen parameters are left alone. Groups may differ in `lr` and `weight_decay`.
    model : nn.Module, optional
        Beside parameters or groups: the network that they are of. Then what is not trained
        (frozen layers, buffers) starts equal too, and `evaluating` can compute statistics.
    lr : float
        η.
    weight_decay : float
        λ: λ times the model's values is added to the gradient, as in torch's SGD.
    comm : mpi4py.MPI.Comm, optional
        Default: all ranks. Without mpiexec this is one worker.
    inner : callable, optional
        Of `local_sgd` and its kin: makes the torch optimizer for the local steps, for example
        ``partial(torch.optim.AdamW, lr=1e-3)``; `lr` is not used then.
    center, order, tau, alpha, beta, rho, momentum, … : as in `Settings`
        ``center="server"`` needs a rank that does not train: see `serve`.

    Raises
    ------
    SettingsError
        Options that are wrong, or not the same on all ranks.

    >>> model = nn.Linear(2, 1)
    >>> optimizer = Averaging(model, lr=0.1, method="easgd", tau=1)
    >>> model(torch.ones(2)).backward()
    >>> optimizer.step()
    >>> optimizer.close()
    """

    method: ClassVar[str] = ""
    model: nn.Module | None
    inner: torch.optim.Optimizer | None

    def __init__(
        self,
        params: nn.Module | Iterable,
        lr: float = 0.02,
        *,
        weight_decay: float = 0.0,
        model: nn.Module | None = None,
        comm: Any = None,
        inner: Callable[[Iterable], torch.optim.Optimizer] | None = None,
        **options: Any,
    ):
        self.closed = True  # nothing to close yet
        self.model = params if isinstance(params, nn.Module) else model
        groups = list(params.parameters() if isinstance(params, nn.Module) else params)
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self.parameters = vector.trained(self.param_groups)
        options = {NAMES.get(name, name): value for name, value in options.items()}
        self.meeting = Meeting(comm, {"method": self.method, "eta": lr} | options)
        self.settings = self.meeting.settings
        cls = with_inner(method_of(self.settings)) if inner else method_of(self.settings)
        self.inner = inner(self.parameters) if inner else None
        self.meeting.same_start(self._everything())
        self.worker = cls(vector.values(self.parameters), self.settings)
        self.tie = tie_of(protocol_of(self.settings), self.index, self.workers)
        self.beside = Beside()
        self.center: Any = None if self.serves else self.meeting.connect(self.worker.x)
        self._step: Step | None = None  # one that stands where it asks for its gradient
        self._looked_at_data = self.settings.workers == 1
        self.closed = False
        watch(self)

    def _everything(self) -> list[Tensor]:
        parameters = self.model.parameters() if self.model else self.parameters
        return [*(p.data for p in parameters), *self._buffers()]

    def _buffers(self) -> list[Tensor]:
        return list(self.model.buffers()) if self.model else []

    @property
    def serves(self) -> bool:
        """Whether this rank owns x̃ and does not train."""
        return self.index < 0

    @property
    def index(self) -> int:
        """Which worker this is, 0 … p − 1; a server is −1."""
        return self.meeting.worker

    @property
    def workers(self) -> int:
        """p, how many there are."""
        return self.settings.workers

    @property
    def t(self) -> int:
        """Steps so far; one that `GradScaler` skipped is none."""
        return self.worker.t

    def serve(self) -> bool:
        """On the rank of a server: serve until all workers are done, and return True. Else False.

        ::

            if not optimizer.serve():
                train(...)
        """
        if not self.serves:
            return False
        self.final = self.meeting.serve(self.worker.x)
        self.closed = True
        vector.put(self.final, self.parameters)
        return True

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. With a closure, which computes the loss and calls backward: its result."""
        self._must_train()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.meeting.world.check_for_failures()
        gradient = self._gradient()
        step = self._step or self._begin()
        self._finish(step, self._inner_step() if self.inner else gradient)
        self._step = self._begin() if self.worker.moves_first else None
        point = self.worker.point
        if self._step is None:
            self.worker.seen = point  # it costs as much as the step
        vector.put(point, self.parameters)
        return loss

    def _begin(self) -> Step:
        """The next step, up to where it asks for its gradient."""
        self.worker.own_eta = vector.of_groups(self.param_groups, "lr")
        step = tied(self.worker.step(), self.tie)
        request = next(step)
        while not isinstance(request, Gradient):
            request = step.send(self._answer(request))
        self.worker.exchanged_at = self.worker.t
        return step

    def _finish(self, step: Step, gradient: Tensor):
        self.worker.own_eta = vector.of_groups(self.param_groups, "lr")
        try:
            request = step.send(gradient)
            while True:
                request = step.send(self._answer(request))
        except StopIteration:
            return

    def _answer(self, request: Request) -> Any:
        """What the center has to say."""
        root = self.center.root if self.tie else self.center
        return answering(self.center, _no_gradient, self.beside, root)(request)

    def _gradient(self) -> Tensor:
        gradient = vector.gradients(self.parameters)
        if not self._looked_at_data:
            self.meeting.different_data(gradient)
            self._looked_at_data = True
        decay = vector.of_groups(self.param_groups, "weight_decay")
        if isinstance(decay, Tensor) or decay:
            gradient += decay * vector.values(self.parameters)
        return gradient

    def _inner_step(self) -> Tensor:
        """Where the inner optimizer takes x."""
        assert self.inner
        self.inner.step()
        return vector.values(self.parameters)

    def _must_train(self):
        if self.serves:
            raise MPIError("this rank owns the center", "if not optimizer.serve(): train(...)")
        if self.closed:
            raise MPIError("the optimizer is closed", "make a new one")

    @contextmanager
    def evaluating(self, what: str = "center", loader: Iterable | None = None) -> Iterator[None]:
        """Within it the model holds x̃ ("center"), or this worker's x ("worker").

        Not collective. Afterwards the model is as it was, buffers included.

        loader : iterable of batches, optional
            BatchNorm's statistics are computed anew from it, by `torch.optim.swa_utils.update_bn`:
            those that the model has are of the worker's own path. Needs the model itself.
        """
        if what not in ("center", "worker"):
            raise SettingsError(f"cannot evaluate {what!r}", "choose center or worker")
        if loader is not None and self.model is None:
            raise SettingsError("statistics need the model", "give the model, not its parameters")
        held = vector.values(self.parameters)
        buffers = [buffer.clone() for buffer in self._buffers()]
        vector.put(self.evaluated() if what == "center" else self.worker.x, self.parameters)
        try:
            if loader is not None and self.model:
                update_bn(loader, self.model)
            yield
        finally:
            vector.put(held, self.parameters)
            for buffer, kept in zip(self._buffers(), buffers, strict=True):
                buffer.copy_(kept)

    def evaluated(self) -> Tensor:
        """What is evaluated, a copy: x̃, its average, or x of a method without a center. (d,)."""
        if self.closed:
            return self.final
        if self.center is None:
            return self.worker.evaluated.clone()
        self.beside.end()  # a center answers one question at a time
        return self.center.snapshot().to(self.worker.x.device)

    def state_dict(self) -> dict:
        """All of it: the groups, the worker, the center. Plain tensors and numbers.

        Where exchanges wait for one another it is collective over the workers: call it on all of
        them at the same step. The model's own state (its buffers) is the model's.
        """
        self._must_train()
        if self.settings.kind.nodes:
            raise SettingsError("center tree has no checkpoints", "use server or window")
        self.meeting.rest()
        center, pushes = self.center.state() if self.center else ((), 0)
        return super().state_dict() | {
            "easgd": {
                "settings": self.settings.to_dict(),
                "beside": self.beside.end(),
                "worker": state_of_method(self.worker),
                "inner": self.inner.state_dict() if self.inner else None,
                "center": [each.clone() for each in center],
                "pushes": pushes,
            }
        }

    def load_state_dict(self, state: dict):
        """Go on from such a state. Collective: every rank loads its own; x̃ is the first one's."""
        self._must_train()
        ours = state.get("easgd")
        if ours is None:
            raise SettingsError("this is no state of an easgd_lib optimizer")
        changed = [
            name
            for name, value in self.settings.to_dict().items()
            if ours["settings"].get(name) != value
        ]
        if changed:
            raise SettingsError(
                f"the state was saved with another {', '.join(changed)}", "use the same options"
            )
        super().load_state_dict({name: value for name, value in state.items() if name != "easgd"})
        device = self.worker.x.device
        for name, value in ours["worker"].items():
            here = value.to(device) if isinstance(value, Tensor) else value
            setattr(self.worker, name, here)
        if self.inner:
            self.inner.load_state_dict(ours["inner"])
        self.beside.end()
        self.beside.result = ours["beside"]
        if self.center:
            self.center = self.meeting.connect_again(ours["center"], ours["pushes"])
        self._step = self._begin() if self.worker.moves_first and self.worker.t else None
        vector.put(self.worker.point, self.parameters)

    def close(self):
        """This worker is done. Collective; afterwards the model holds what is evaluated.

        The rank of a server that has not served yet serves.
        """
        if self.closed or self.serve():
            return
        self.closed = True
        self.beside.close()
        self.final = self.meeting.close(self.worker.evaluated)
        vector.put(self.final, self.parameters)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.close()
        else:
            self.fail(error)

    def fail(self, error: BaseException):
        """Tell the other ranks that this one ends by an error."""
        if not self.closed:
            self.closed = True
            self.meeting.fail(error)


def _no_gradient(at: Any):
    raise AssertionError("a step asks for one gradient")
