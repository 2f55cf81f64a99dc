"""Figures of the theory: heat maps and landscapes. Takes numbers, computes nothing."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from easgd_lib.figures import PALETTE, style

PAPER_FIGURE_5 = """\
Figure 5 of the paper, redrawn from Lemma 7.1: how far is the center from the minimum?

Twenty-five heat maps of the center's mean squared error E(x̃_t − x*)². Rows: p = 1, 10, 100,
1,000, 10,000 workers; columns: t = 1, 2, 10, 100 and infinitely many synchronous steps. In each
map η runs from 0 to 2 to the right and β = pα from 0 to 2 upwards. f(x) = x²/2 with noise σ = 10,
all start at x̃ = x^i = 1. Color is logarithmic, from 0.001 (light) to 1,000 (dark red); black is
more than that. Dashed: the largest β of Condition 17, above which the start is not forgotten.

After one step every map is 1: the center has met neither force nor noise. After two, many
workers show a light curve, ηβ = 1, where the mean happens to be 0 just then. With one worker the
upper right turns black, down to the dashed curve. Each row below is lighter: the noise falls
as 1/p, and the stable region grows toward the whole square. In the last column it is lightest
along the lower and the left edge, at small β and small η.
"""


def paper_figure_5(maps: dict[tuple[int, float], np.ndarray], limits: dict[int, Any]) -> Figure:
    """The paper's Figure 5: the center's mean squared error on the square 0 … 2 of η and β.

    Parameters
    ----------
    maps : dict
        (p, t) to an array (β upwards, η to the right) of equal cells; p by rows, t by columns.
    limits : dict
        p to (η, the largest β that Condition 17 allows), drawn dashed.
    """
    style()
    rows, columns = (list(dict.fromkeys(key[i] for key in maps)) for i in (0, 1))
    figure = Figure(figsize=(8.6, 8.2), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    colors = sns.color_palette("YlOrRd", as_cmap=True).with_extremes(over="black", bad="black")
    for (p, t), axis in zip(maps, grid.flat, strict=True):
        image = axis.imshow(
            maps[p, t], norm=LogNorm(1e-3, 1e3), cmap=colors, origin="lower", extent=(0, 2, 0, 2)
        )
        axis.plot(*limits[p], color="white", lw=2.2, alpha=0.7)
        axis.plot(*limits[p], color="black", lw=1, ls="--")
        axis.set(xlim=(0, 2), ylim=(0, 2), xticks=(0, 1, 2), yticks=(0, 1, 2))
        axis.grid(False)
    for axis, steps in zip(grid[0], columns, strict=True):
        axis.set_title("t → ∞" if steps == float("inf") else f"t = {steps}", fontsize="medium")
    for axis, workers in zip(grid[:, 0], rows, strict=True):
        axis.set_ylabel(f"p = {workers:,}")
    figure.supxlabel("η", fontsize="medium")
    figure.supylabel("β = pα", fontsize="medium")
    figure.colorbar(
        image,
        ax=grid,
        extend="max",
        shrink=0.6,
        pad=0.01,
        label="E (x̃ − x*)²   (black: above 1,000)",
    )
    return figure


def map_points(
    maps: dict[tuple[int, float], np.ndarray], etas: np.ndarray, betas: np.ndarray, every: int = 10
) -> pd.DataFrame:
    """Every so many rows and columns of such maps: p, t, eta, beta, mse to four digits."""
    eta, beta = np.meshgrid(etas, betas)
    tables = []
    for (p, t), mse in maps.items():
        at = (slice(None, None, every),) * 2
        columns = {"eta": eta[at].ravel(), "beta": beta[at].ravel(), "mse": mse[at].ravel()}
        tables.append(pd.DataFrame({"p": p, "t": t} | columns))
    table = pd.concat(tables)
    table["mse"] = [float(f"{value:.4g}") for value in table["mse"]]
    return table.round({"eta": 4, "beta": 4})


# Of the paper's Figure 1: the ends of its color bars, and the point that its text runs.
PAPER_FIGURE_1 = {3: (0.990, 1.001), 8: (0.990, 1.003)}
EXPLODES = {"eta": 0.001, "rho": 2.5}


def eigenvalue_maps(maps: dict[str, np.ndarray], eta: np.ndarray, rho: np.ndarray) -> Figure:
    """Heat maps of largest |eigenvalues|; where they exceed 1, hatched, behind a thick line.

    Parameters
    ----------
    maps : dict of (m, n) arrays
        Title to values, a row for each η, a column for each ρ.
    eta, rho : (m,) array, (n,) array
    """
    style()
    rows = -(-len(maps) // 2)
    figure = Figure(figsize=(8, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for axis, (title, values) in zip(grid.flat, maps.items(), strict=True):
        shades = axis.pcolormesh(rho, eta, values, cmap="cividis_r", rasterized=True)
        figure.colorbar(shades, ax=axis, format="%.3f", label="largest |eigenvalue|")
        if values.max() > 1:
            axis.contourf(rho, eta, values, [1, np.inf], colors="none", hatches=["////"])
            axis.contour(rho, eta, values, [1], colors="black", linewidths=2)
        axis.plot(
            EXPLODES["rho"], EXPLODES["eta"], marker="*", ms=12, color="white", mec="black", ls=""
        )
        axis.set_title(title, fontsize="medium")
        axis.set(xlim=(0, rho.max()), ylim=(0, eta.max()))
        axis.grid(visible=False)
    figure.supxlabel("penalty ρ", fontsize="medium")
    figure.supylabel("learning rate η", fontsize="medium")
    return figure


def paper_figure_1(radii: dict[int, np.ndarray], eta: np.ndarray, rho: np.ndarray) -> Figure:
    """The paper's Figure 1: p to `theory.admm_round_robin_radius`, as in `eigenvalue_maps`."""
    return eigenvalue_maps({f"ADMM, p = {p}": radius for p, radius in radii.items()}, eta, rho)


def paper_figure_1_points(
    radii: dict[int, np.ndarray], eta: np.ndarray, rho: np.ndarray
) -> pd.DataFrame:
    """What the paper's Figure 1 draws, long form: p, eta, rho, radius."""
    index = pd.MultiIndex.from_product([eta.round(6), rho.round(6)], names=["eta", "rho"])
    tables = [
        pd.DataFrame({"p": p, "radius": radius.ravel().round(6)}, index).reset_index()
        for p, radius in radii.items()
    ]
    return pd.concat(tables)[["p", "eta", "rho", "radius"]]


def describe_paper_figure_1(radii: dict[int, np.ndarray], eta: np.ndarray, rho: np.ndarray) -> str:
    """The paper's Figure 1 in words and numbers, with what the paper says beside it."""
    lines = [
        "Figure 1 of the paper, redrawn: round-robin ADMM on x²/2, the factor per round of p turns",
        "(largest |eigenvalue|), for η up to 0.01 and ρ up to 10. Above 1 it explodes: hatched,",
        "behind the thick line. Star: the paper's example, η = 0.001, ρ = 2.5.",
        "",
        "values                       p = 3             p = 8",
        _row("ends of the paper's bars", PAPER_FIGURE_1.values(), "{:.3f} to {:.3f}"),
        _row("here", [(r.min(), r.max()) for r in radii.values()], "{:.4f} to {:.4f}"),
        _row("here, at the star", [(_at(r, eta, rho),) for r in radii.values()], "{:.4f}"),
        "",
        "The paper's picture is unstable in a strip along the bottom, wider for p = 8 and for",
        "small ρ; the text names the star as a place where it explodes. Here, on a grid of",
        f"{eta[1] - eta[0]:.4f}, it is unstable at",
        "",
    ]
    for stiffness in (1.0, 2.5, 5.0, 9.0):
        column = np.abs(rho - stiffness).argmin()
        edges = [(eta[radius[:, column] > 1].max(),) for radius in radii.values()]
        lines.append(_row(f"ρ = {rho[column]:g}, η up to", edges, "{:.4f}"))
    return "\n".join(lines) + "\n"


def _row(name: str, values, form: str) -> str:
    return f"{name:26}" + "".join(f"{form.format(*value):18}" for value in values).rstrip()


def _at(radius: np.ndarray, eta: np.ndarray, rho: np.ndarray) -> float:
    """The value at the grid point next to the paper's example."""
    row = np.abs(eta - EXPLODES["eta"]).argmin()
    return radius[row, np.abs(rho - EXPLODES["rho"]).argmin()]


def landscapes(
    energies: dict[str, np.ndarray],
    paths: dict[str, list[np.ndarray]],
    minima: dict[str, Any],
    reach: float,
) -> Figure:
    """Energies over the square of two workers, and the paths that they took on it.

    Parameters
    ----------
    energies : dict
        Title to an array (x² upwards, x¹ to the right) on the square −reach … reach.
    paths : dict
        Title to arrays (steps, 2) of (x¹, x²); each starts at a ring and ends at a dot.
    minima : dict
        Title to points (x¹, x²) that get a cross.
    """
    style()
    figure = Figure(figsize=(2.7 * len(energies), 3.4), layout="constrained")
    grid = figure.subplots(1, len(energies), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (title, energy) in zip(grid, energies.items(), strict=True):
        place = np.linspace(-reach, reach, len(energy))
        levels = np.linspace(0.01, 0.61, 13)
        axis.contourf(place, place, energy, levels=levels, cmap="Blues_r", extend="both")
        axis.contour(place, place, energy, levels=levels, colors="0.35", linewidths=0.5)
        for point in minima[title]:
            axis.plot(*point, "X", color="white", mec="black", ms=12)
        for path in paths[title]:
            axis.plot(*path.T, color="black", lw=1.8)
            axis.plot(*path[0], "o", mfc="white", mec="black", ms=6)
            axis.plot(*path[-1], "o", color="black", ms=6)
        axis.set_title(title, fontsize="medium")
        axis.set(aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        axis.grid(False)
    figure.supxlabel("worker 1", fontsize="medium")
    figure.supylabel("worker 2", fontsize="medium")
    return figure


def journey(
    workers: np.ndarray, center: np.ndarray, landscape: tuple[np.ndarray, np.ndarray], title: str
) -> Figure:
    """Workers and center on a landscape of one dimension: all their way, and where they end.

    Parameters
    ----------
    workers, center : (steps + 1, p), (steps + 1,) arrays
    landscape : two (n,) arrays
        x and f(x).
    """
    style()
    figure = Figure(figsize=(8.6, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.plot(workers, color=PALETTE[0], lw=1, ls="--")
    left.plot(center, color="black", lw=2)
    left.set(xlabel="steps", ylabel="x", ylim=(landscape[0][0], landscape[0][-1]))
    right.plot(*landscape, color="0.6", lw=1.5)
    at = center[-1], np.interp(center[-1], *landscape)
    for x, height in zip(workers[-1], np.interp(workers[-1], *landscape), strict=True):
        right.plot((x, at[0]), (height, at[1]), color=PALETTE[0], lw=1, ls="--")
    starts = np.interp(workers[0], *landscape)
    ends = np.interp(workers[-1], *landscape)
    right.plot(workers[0], starts, "o", mfc="white", mec=PALETTE[0], ms=7, label="workers, start")
    right.plot(workers[-1], ends, "o", color=PALETTE[0], ms=7, label="workers, end")
    right.plot(*at, "D", color="black", ms=7, label="center, end")
    right.set(xlabel="x", ylabel="f(x)", ylim=(-0.05, 0.6))
    right.legend(frameon=False, fontsize="small", loc="upper center")
    figure.suptitle(title, fontsize="medium")
    return figure
