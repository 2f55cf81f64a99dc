"""The figures that need no runs: the paper's, from `theory`, the report's network, the peers."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from easgd_lib import figures, theory
from easgd_lib.figures import Drawn
from easgd_lib.reproduction.figures import network, peers, scale
from easgd_lib.reproduction.figures import theory as theory_figures


def figure_1() -> Drawn:
    """Paper Fig. 1: where round-robin ADMM explodes, p = 3 and 8."""
    eta, rho = np.linspace(0.0002, 0.01, 50), np.linspace(0.25, 10, 40)
    # Rounded: an eigenvalue's last digits differ from run to run, and would move the picture's.
    radii = {p: theory.admm_round_robin_radius(p, eta[:, None], rho).round(9) for p in (3, 8)}
    return Drawn(
        theory_figures.paper_figure_1(radii, eta, rho),
        theory_figures.describe_paper_figure_1(radii, eta, rho),
        theory_figures.paper_figure_1_points(radii, eta, rho),
    )


def figure_5() -> Drawn:
    """Paper Fig. 5: the center's mean squared error, x̃_0 = x^i_0 = 1, h = 1, σ = 10."""
    etas = betas = np.linspace(0.01, 1.99, 100)
    eta, beta = np.meshgrid(etas, betas)

    def mse(p: int, t: float) -> np.ndarray:
        mean = theory.center_mean(t, p, eta, beta / p)
        return mean**2 + theory.center_variance(t, p, eta, beta / p, sigma=10)

    workers, times = (1, 10, 100, 1000, 10_000), (1, 2, 10, 100, np.inf)
    maps = {(p, t): mse(p, t) for p, t in product(workers, times)}
    limits = {p: (etas, theory.synchronous_beta_limit(p, etas)) for p in workers}
    return Drawn(
        theory_figures.paper_figure_5(maps, limits),
        theory_figures.PAPER_FIGURE_5,
        theory_figures.map_points(maps, etas, betas),
    )


ALL: dict[str, Callable[[], Drawn]] = {
    "report-figure2": network.report_figure_2,
    "paper-figure1": figure_1,
    "paper-figure5": figure_5,
    "peers": peers.peers,
    "scale": scale.scale,
}


def save_all(where: Path) -> list[Path]:
    """Draw all of them into a folder; returns their paths without suffix."""
    stems = [where / name for name in ALL]
    for stem, draw in zip(stems, ALL.values(), strict=True):
        drawn = draw()
        figures.save(drawn.figure, stem, drawn.words, drawn.points)
    return stems
