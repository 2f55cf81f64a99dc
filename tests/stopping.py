"""An objective whose training is interrupted, as by Ctrl-C, at a chosen gradient."""

from easgd_lib.learning.objectives import ImageClassification

left: list[int] = []  # gradients until the interrupt; empty: none


class Stopping(ImageClassification):
    """The images' classification, but for the interrupt."""

    def gradient(self, x, batch):
        if left:
            left[0] -= 1
            if left[0] < 0:
                left.clear()
                raise KeyboardInterrupt
        return super().gradient(x, batch)


class Stateless(ImageClassification):
    """An objective that cannot say where it stands."""

    state = property()
