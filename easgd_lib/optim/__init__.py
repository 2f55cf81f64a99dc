"""Elastic averaging, its rivals and descendants in one's own PyTorch loop, on any `nn.Module`.

::

    from easgd_lib.optim import EAMSGD

    model = MyNet()
    with EAMSGD(model, lr=0.02, momentum=0.9, tau=10, beta=0.9) as optimizer:
        for images, labels in loader:              # any loader; each rank its own part
            optimizer.zero_grad()
            loss_of(model(images), labels).backward()
            optimizer.step()                       # exchanges when τ divides t
        with optimizer.evaluating("center"):
            ...

Started with `mpiexec -n 2 python train.py`, each rank is a worker. See `optimizer.Averaging`.
"""

import easgd_lib.parallel  # noqa: F401 (before MPI: it says what MPI need not look for)
from easgd_lib.optim.methods import (
    DOWNPOUR,
    EAMSGD,
    EASGD,
    AllreduceMSGD,
    AllreduceSGD,
    AsyncDiLoCo,
    DiLoCo,
    LocalSGD,
    Lookahead,
    SlowMo,
)
from easgd_lib.optim.optimizer import Averaging

__all__ = [
    "DOWNPOUR", "EAMSGD", "EASGD", "AllreduceMSGD", "AllreduceSGD", "AsyncDiLoCo", "Averaging",
    "DiLoCo", "LocalSGD", "Lookahead", "SlowMo",
]  # fmt: skip
