"""`easgd reproduce`, `draw` and `data`: the papers' experiments, and what they are run on."""

import click

from easgd_lib.learning.sources import DATASETS


@click.command()
@click.option("--full", is_flag=True, help="The committed size: full data sets, three seeds.")
@click.option("--complete", is_flag=True, help="The committed size, and larger grids.")
@click.option(
    "--minutes", default=100.0, show_default=True, help="Choose lengths and seeds to end in time."
)
@click.option("--only", "names", multiple=True, help="This experiment alone; may be repeated.")
def reproduce(full: bool, complete: bool, minutes: float, names: tuple[str, ...]):
    """Run the papers' experiments, draw their figures, judge their claims.

    Quick (the default) takes less than ten minutes on two cores and writes to figures/quick/ and
    data/runs/quick/. With --full about a hundred; finished runs are not repeated, so it may be
    interrupted and called again, and on a fresh clone, which has all records, nothing is run:
    `rm -r data/runs` first to begin anew.
    """
    from easgd_lib.reproduction import reproduce

    reproduce.run(full=full, complete=complete, minutes=minutes, names=names)


@click.command()
def draw():
    """Redraw every figure and judge every claim, from stored records or theory. Trains nothing."""
    from easgd_lib.reproduction import redraw

    redraw.everything()


DOWNLOADABLE = [name for name, source in DATASETS.items() if source.folder]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(DOWNLOADABLE))
def data(names: tuple[str, ...]):
    """Download full data sets into data/ with torchvision: its mirrors, its checksums.

    Without names MNIST and Fashion-MNIST; cifar10 takes 170 MB.
    """
    from easgd_lib.learning import data_files

    for name in names or [name for name, source in DATASETS.items() if source.make_data]:
        data_files.download(name)
        click.echo(f"{name}: whole, in data/{DATASETS[name].folder}")
