"""What the KTH program's workers start from, and what they draw."""

from easgd_lib.learning.objectives import ImageClassification


class OwnStart(ImageClassification):
    """Every process draws its own initial weights. (The paper, footnote 7: all start together.)"""

    same_start = False

    @staticmethod
    def start_seed(seed: int, worker: int) -> int:
        return seed + 1_000 * (worker + 1)


class SameBatches(ImageClassification):
    """All workers draw worker 0's batches."""

    same_batches = True

    @staticmethod
    def drawn_by(worker: int) -> int:
        return 0


class OwnStartSameBatches(OwnStart, SameBatches):
    """Both at once, as in the program."""
