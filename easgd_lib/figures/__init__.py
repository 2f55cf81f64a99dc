"""How to draw. Computes nothing: what is not in a record is not in a figure."""

from easgd_lib.figures.drawn import Drawn, save, show
from easgd_lib.figures.live import live_curve
from easgd_lib.figures.panels import Curve, digits, panels, timeline
from easgd_lib.figures.style import LOOKS, PALETTE, in_percent, style

__all__ = [
    "LOOKS",
    "PALETTE",
    "Curve",
    "Drawn",
    "digits",
    "in_percent",
    "live_curve",
    "panels",
    "save",
    "show",
    "style",
    "timeline",
]
