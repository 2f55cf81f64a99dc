"""What one sees while workers train: a bar in a terminal, a bar and a curve in a notebook."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm


def in_ipython():
    """The running IPython shell, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def in_notebook() -> bool:
    """Whether this is a kernel with a page in front of it."""
    return hasattr(in_ipython(), "kernel")


def wanted() -> bool:
    """Nothing live where pages are stored or checked, or where none is watching."""
    if any(os.environ.get(name) for name in ("IPP_NONINTERACTIVE", "CI")):
        return False
    return in_notebook() or sys.stderr.isatty()


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Say what is being waited for, until it is there."""
    with tqdm(total=1, desc=text, bar_format="{desc} …", leave=False, disable=not wanted()):
        yield


class Live:
    """Shows the workers' own reports: progress, loss, images/s. The center is not asked."""

    def __init__(self, title: str):
        self.title = title
        self.curve = _Curve() if wanted() and in_notebook() else None
        self.bar = tqdm(
            total=1.0,
            desc=f"{title}, loading",
            disable=not wanted(),
            leave=False,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )

    def update(self, reports: list[dict]):
        """The latest report of each worker that has spoken."""
        if self.bar.disable or not reports:
            return
        loss = sum(r["loss"] for r in reports) / len(reports)
        rates = "+".join(f"{r['images_per_second']:,.0f}" for r in reports)
        self.bar.set_postfix_str(f"loss {loss:.3f}, {rates} images/s", refresh=False)
        self.bar.n = min(r["progress"] for r in reports)
        over = self.bar.n >= 1
        self.bar.set_description_str(f"{self.title}, evaluating" if over else self.title, False)
        self.bar.refresh()
        if self.curve:
            self.curve.update(reports)

    def close(self):
        self.bar.close()
        if self.curve:
            self.curve.close()


class Lines:
    """The same where no terminal is: a line of one worker's numbers now and then."""

    EVERY = 10.0  # seconds

    def __init__(self, title: str):
        self.title, self.next = title, 0.0

    def update(self, reports: list[dict]):
        """The latest report."""
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + self.EVERY
            for r in reports:
                numbers = f"loss {r['loss']:.3f}, {r['images_per_second']:,.0f} images/s"
                print(f"{self.title}: {r['progress']:4.0%}, {numbers}", file=sys.stderr, flush=True)

    def close(self):
        """Nothing stays."""


class _Curve:
    """Each worker's loss against its seconds, redrawn in place."""

    def __init__(self):
        from IPython.display import DisplayHandle  # slow to load, and only for a page

        self.handle = DisplayHandle()
        self.shown = False
        self.points: dict[int, list[tuple[float, float]]] = {}

    def update(self, reports: list[dict]):
        from easgd_lib import figures  # loads matplotlib: only where a curve is drawn

        for report in reports:
            points = self.points.setdefault(report["worker"], [])
            if not points or report["seconds"] > points[-1][0]:
                points.append((report["seconds"], report["loss"]))
        image = figures.live_curve(self.points)
        (self.handle.update if self.shown else self.handle.display)(image)
        self.shown = True

    def close(self):
        """Leave nothing behind: the page's stored figure is drawn from the record."""
        if self.shown:
            self.handle.update({"text/plain": ""}, raw=True)
