"""The curve that a notebook redraws while workers train."""

import io

from matplotlib.figure import Figure

from easgd_lib.figures.style import style


def live_curve(curves: dict[int, list[tuple[float, float]]]):
    """Each worker's loss so far, as an image to show in place."""
    from IPython.display import Image  # slow to load, and only for a page

    style()
    figure = Figure(figsize=(5, 2.4), layout="constrained")
    axis = figure.subplots()
    for worker, line in sorted(curves.items()):
        axis.plot(
            *zip(*line, strict=True),
            label=f"worker {worker}",
            ls=["-", "--", ":", "-."][worker % 4],
        )
    axis.set(xlabel="seconds", ylabel="training loss", yscale="log")
    axis.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image(buffer.getvalue(), alt="training loss of each worker against seconds")
