"""Loss and accuracy of a snapshot, outside the timed region and away from every worker."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from easgd_lib.learning.datasets import Dataset
from easgd_lib.learning.flat import Flat
from easgd_lib.learning.records import CENTER
from easgd_lib.learning.sources import TRAIN_SUBSET, source_of
from easgd_lib.learning.worker import Snapshot

STATISTICS_SUBSET = 1_000  # BatchNorm's statistics are those of these first training images
CHUNK = 250


class Evaluator:
    """Evaluates parameter vectors on fixed images.

    BatchNorm's running statistics belong to no vector: a center never saw a batch, and those
    of a worker, which stay with it, belong to another x. So they are recomputed for each
    vector on fixed training images, averaged over chunks. (`with_statistics_of` shows what
    borrowing them costs.)
    """

    def __init__(self, data: Dataset):
        self.data, self.network = data, data.build(seed=0).eval()
        self.flat = Flat(self.network)
        self.train = data.pixels(data.train_images[:TRAIN_SUBSET])
        self.train_labels = data.labels(data.train_labels[:TRAIN_SUBSET])
        self.test, self.test_labels = data.pixels(data.test_images), data.labels(data.test_labels)
        modules = self.network.modules()
        self.norms = [module for module in modules if isinstance(module, _BatchNorm)]
        for norm in self.norms:
            norm.momentum = None  # a plain average over the chunks

    @torch.inference_mode()
    def __call__(self, vector: Tensor) -> dict[str, float]:
        """`train_accuracy`, `test_accuracy` (fractions) and `train_loss` of `vector`."""
        self.flat.vector.copy_(vector)
        self._recompute_statistics()
        train = self._predict(self.train)
        test = self._predict(self.test)
        return {
            "train_accuracy": self.data.metric(train, self.train_labels),
            "test_accuracy": self.data.metric(test, self.test_labels),
            "train_loss": self.data.loss(train, self.train_labels).item(),
        }

    @torch.inference_mode()
    def with_statistics_of(self, network: torch.nn.Module, vector: Tensor) -> float:
        """Test accuracy of `vector` with BatchNorm's statistics taken from another network.

        For comparison: it is what one gets who sends the parameters and forgets the buffers.
        """
        self.flat.vector.copy_(vector)
        for ours, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            ours.copy_(theirs)
        return self.data.metric(self._predict(self.test), self.test_labels)

    def _recompute_statistics(self):
        if not self.norms:
            return  # the paper's network has none
        for norm in self.norms:
            norm.reset_running_stats()
        self.network.train()
        self._predict(self.train[:STATISTICS_SUBSET])
        self.network.eval()

    def _predict(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(chunk) for chunk in images.split(CHUNK)])


def images_per_vector(data: str) -> int:
    """How many images evaluating one vector looks at."""
    return source_of(data).test_images + TRAIN_SUBSET + STATISTICS_SUBSET


def jobs(snapshots: list[Snapshot], *, with_worker: bool, worker: int = 0) -> list[tuple]:
    """What there is to evaluate: (seconds, step, worker, vector), center first, then the worker."""
    centers = [(s.seconds, s.step, CENTER, s.center) for s in snapshots]
    return centers + [(s.seconds, s.step, worker, s.x) for s in snapshots if with_worker]


def carry_out(data: Dataset, jobs: list[tuple]) -> list[dict]:
    """Evaluate these, in their order; each result keeps its seconds, step and worker.

    A worker's `train_loss` is what it met on its batches, logged while it trained.
    """
    evaluator = Evaluator(data)
    results = []
    for seconds, step, worker, vector in jobs:
        metrics = evaluator(vector)
        if worker != CENTER:
            del metrics["train_loss"]
        results.append({"seconds": seconds, "step": step, "worker": worker, "metrics": metrics})
    return results
