"""The KTH report's Figure 2: its network, drawn from what a digit leaves in each of its modules."""

from functools import partial
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor, nn

from easgd_lib.figures import PALETTE, Drawn, style
from easgd_lib.learning import datasets, models
from easgd_lib.learning.sources import SAMPLE

DIGIT = 15  # of the sample's test images: a 3 in bold strokes
SHEETS = 5  # drawn of each stack of maps
WIDTH, HEIGHT, MARGIN, MIDDLE = 11, 3.6, 0.4, 1.9  # inches, as all lengths here
SMALL = 8.5
WINDOW = {
    "color": PALETTE[3],
    "lw": 0.9,
    "path_effects": [withStroke(linewidth=2, foreground="white")],
    "zorder": 3,
}


class Stage(NamedTuple):
    """One module: what it makes of the digit, its parameters, its window's size and stride."""

    name: str
    kind: str
    output: np.ndarray
    parameters: int = 0
    window: tuple[int, int] | None = None

    @property
    def shape(self) -> str:
        return " × ".join(map(str, self.output.shape))


def report_figure_2() -> Drawn:
    """Report Fig. 2: the network at its starting point, and a digit on its way through."""
    data = datasets.load(SAMPLE)
    found = stages(data.pixels(data.test_images[DIGIT : DIGIT + 1]))
    return Drawn(draw(found), describe(found, int(data.test_labels[DIGIT])), points(found))


def stages(digit: Tensor) -> list[Stage]:
    """The digit, (1, 1, 28, 28), and what every module without children makes of it, in order."""
    network = models.build(0).eval()
    found = [Stage("input", "digit", digit[0].numpy())]

    def note(name: str, module: nn.Module, _: tuple, output: Tensor):
        size = sum(parameter.numel() for parameter in module.parameters())
        found.append(Stage(name, _kind(module), output[0].numpy(), size, _window(module)))

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(partial(note, name))
    with torch.no_grad():
        network(digit)
    return found


def _window(module: nn.Module) -> tuple[int, int] | None:
    """Size and stride of what a module sees of a map at once; None: all of it, or one pixel."""
    if isinstance(module, nn.Conv2d | nn.MaxPool2d):
        return int(np.max(module.kernel_size)), int(np.max(module.stride))
    return None


def _kind(module: nn.Module) -> str:
    """The module's class, and its size."""
    name = type(module).__name__
    if window := _window(module):
        return f"{name} {window[0]} × {window[0]}"
    if isinstance(module, nn.Linear):
        return f"{name} {module.in_features} → {module.out_features}"
    return name


def points(found: list[Stage]) -> pd.DataFrame:
    """What is drawn, a row a stage."""
    rows = [(stage.name, stage.kind, stage.shape, stage.parameters) for stage in found]
    return pd.DataFrame(rows, columns=["stage", "kind", "shape", "parameters"])


def describe(found: list[Stage], label: int) -> str:
    """Figure 2 in words and numbers, for those who cannot see it."""
    lines = [
        "Figure 2 of the report, redrawn from the network itself, as it is before training.",
        _statement(found),
        "",
        f"From left to right, a handwritten {label} of the sample goes through it. Stacks of",
        f"sheets are maps, the first {SHEETS} of a stage; upright bars are vectors, a cell a",
        "number; beside the last stand the digits 0 to 9. Gray is what is there, from the least of",
        "a sheet (white) to the most (black). Modules stand on the arrows; those that keep the",
        "shape share a picture with the one before them. Small squares: the window of a",
        "convolution or a pooling, and the pixel that it becomes. A sheet of n × n pixels is drawn",
        "with a side of √n, or the last would be too small; bars are not to scale.",
        "",
        f"{'stage':10}{'kind':21}{'output':15}{'parameters':>10}",
        *(f"{s.name:10}{s.kind:21}{s.shape:15}{s.parameters:10,}" for s in found),
    ]
    return "\n".join(lines) + "\n"


def _statement(found: list[Stage]) -> str:
    sizes = [stage.parameters for stage in found if stage.parameters]
    terms = " + ".join(f"{size:,}" for size in sizes)
    return f'The report\'s network ("LeNet-5"): {terms} = {sum(sizes):,} parameters'


class Picture:
    """A stack of sheets, the first in front; or the bar of a vector, a stack of one."""

    def __init__(self, output: np.ndarray):
        self.sheets = output[:SHEETS] if output.ndim == 3 else output[None, :, None]
        self.rows, columns = self.sheets.shape[1:]
        side = 0.213 * np.sqrt(self.rows)
        self.size = (side, side) if columns > 1 else (0.2, min(2.1, 0.15 * self.rows))
        self.shift = 0.06 * side, 0.1 * side
        self.width, height = np.add(self.size, np.multiply(self.shift, len(self.sheets) - 1))
        self.left, self.bottom = 0.0, MIDDLE - height / 2

    @property
    def center(self) -> float:
        return self.left + self.width / 2

    def draw(self, axis: Axes):
        """From the last sheet to the first, each from its least (white) to its most (black)."""
        for k, sheet in reversed(list(enumerate(self.sheets))):
            x, y = self.left + k * self.shift[0], self.bottom + k * self.shift[1]
            extent = x, x + self.size[0], y, y + self.size[1]
            depth = 1 - k / SHEETS
            axis.imshow(_greys(sheet), extent=extent, cmap="gray_r", vmin=0, vmax=255, zorder=depth)
            frame = Rectangle((x, y), *self.size, fill=False, ec="0.2", lw=0.7, zorder=depth)
            axis.add_patch(frame)

    def square(self, row: int, column: int, pixels: int) -> Rectangle:
        """So many pixels a side of the first sheet, from (row, column) on."""
        pixel = self.size[0] / self.rows
        x = self.left + column * pixel
        y = self.bottom + (self.rows - row - pixels) * pixel
        return Rectangle((x, y), pixels * pixel, pixels * pixel, fill=False, **WINDOW)


def _greys(sheet: np.ndarray) -> np.ndarray:
    """In 8 bits, so that the last digit of an activation moves no pixel."""
    return np.rint(255 * (sheet - sheet.min()) / max(np.ptp(sheet), 1e-6)).astype(np.uint8)


def draw(found: list[Stage]) -> Figure:
    """A picture for each change of shape, and the modules that make it on the arrow before."""
    style()
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axis = figure.add_axes((0, 0, 1, 1))
    steps = [list(step) for _, step in groupby(found, key=lambda stage: stage.shape)]
    pictures = [Picture(step[-1].output) for step in steps]
    _spread(pictures, [max(map(len, _words(step))) + 3 for step in steps[1:]])
    for picture, step in zip(pictures, steps, strict=True):
        picture.draw(axis)
        axis.text(picture.center, 0.58, step[0].shape, ha="center", weight="bold")
    for (before, after), step in zip(pairwise(pictures), steps[1:], strict=True):
        _arrow(axis, before, after, "\n".join(_words(step)))
        if step[0].window:
            _window_lines(axis, before, after, *step[0].window)
        sizes = " + ".join(f"{stage.parameters:,}" for stage in step if stage.parameters)
        axis.text(after.center, 0.36, sizes or "0", ha="center")
        axis.text(after.center, 0.18, "parameters", ha="center", color="0.35", fontsize=SMALL)
    _classes(axis, pictures[-1])
    axis.text(WIDTH / 2, 3.25, _statement(found), ha="center", fontsize="large")
    axis.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axis.axis("off")
    return figure


def _words(step: list[Stage]) -> list[str]:
    """Lines: the module that changes the shape, its size, then the modules that keep it."""
    return [*step[0].kind.split(" ", 1), *(stage.kind for stage in step[1:])]


def _spread(pictures: list[Picture], room: list[int]):
    """Place the pictures from margin to margin, gaps in proportion to the room they need."""
    widths = [picture.width for picture in pictures]
    gaps = (WIDTH - 2 * MARGIN - sum(widths)) * np.array(room) / sum(room)
    for picture, left in zip(pictures, np.cumsum([MARGIN, *(widths[:-1] + gaps)]), strict=True):
        picture.left = left


def _arrow(axis: Axes, before: Picture, after: Picture, words: str):
    start, end = before.left + before.width + 0.08, after.left - 0.08
    look = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (end, MIDDLE), (start, MIDDLE), arrowprops=look)
    axis.text((start + end) / 2, MIDDLE + 0.07, words, ha="center", fontsize=SMALL)


def _window_lines(axis: Axes, before: Picture, after: Picture, size: int, stride: int):
    """One window of the first map, and the pixel that it becomes."""
    row, column = after.rows * 3 // 4, after.rows // 2
    window, pixel = before.square(row * stride, column * stride, size), after.square(row, column, 1)
    for square in (window, pixel):
        axis.add_patch(square)
    for right, left in ((1, 0), (2, 3)):  # the lower corners, the upper ones
        ends = window.get_corners()[right], pixel.get_corners()[left]
        axis.plot(*np.transpose(ends), **WINDOW)


def _classes(axis: Axes, bar: Picture):
    """Beside the last cells, the digits they stand for."""
    cell = bar.size[1] / bar.rows
    for digit in range(bar.rows):
        y = bar.bottom + bar.size[1] - (digit + 0.5) * cell
        axis.text(bar.left + bar.width + 0.06, y, str(digit), va="center_baseline", fontsize=SMALL)
