"""Figures: drawn from records alone, the same bytes every time, with their data and their words."""

import numpy as np
import pandas as pd
import pytest
import torch

from easgd_lib import (
    Run,
    Settings,
    experiments,
    figures,
    models,
    network_figure,
    paper_figures,
    paths,
    theory_figures,
)
from easgd_lib.records import CENTER, COLUMNS

SPLIT = {"compute": 4.0, "data": 0.5, "communication": 0.5}


@pytest.fixture
def runs() -> dict[str, list[Run]]:
    """Made-up records with the shape of real ones: figures must not care where they are from."""
    found: dict[str, list[Run]] = {}
    for name, settings in experiments.figure_3(quick=True, data="sample").items():
        slow = 0.5 if name.startswith("easgd-tau64") else 0.05
        rows = [
            (float(t), t, 200 * t, rank, metric, 1 - slow / (1 + t))
            for rank in (-1, 0)
            for metric in figures.PANELS
            for t in range(6)
        ]
        where = {"data": "sample, 4,000", "threads_per_worker": 1, "cores": 2}
        table = pd.DataFrame(rows, columns=COLUMNS)
        found[name.split("-seed")[0]] = [Run(settings, 0.9, 1.0, 5.0, SPLIT, 0, table, where)]
    return found


def test_the_same_records_give_the_same_bytes(runs, tmp_path):
    contents = []
    for folder in ("one", "two"):
        stem = tmp_path / folder / "figure3"
        figures.save(figures.figure_3(runs), stem, figures.describe(runs), figures.points(runs))
        contents.append(
            [stem.with_suffix(s).read_bytes() for s in (".png", ".pdf", ".txt", ".csv")]
        )
    assert contents[0] == contents[1]
    assert all(contents[0])


def test_all_points_and_all_settings_are_there(runs):
    figure = figures.figure_3(runs)
    assert len(figure.axes) == 3
    statement = figure.get_suptitle()
    for word in ("p = 2", "η = 0.01", "β = 0.9", "batch 100", "1 thread", "5,000 real digits"):
        assert word in statement
    lines = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", None)]
    assert len(lines) == len(experiments.FIGURE_3)
    assert {label.get_text() for label in figure.legends[0].get_texts()} == {
        label for label, _, _ in figures.CURVES.values()
    }


def test_curves_differ_without_colour():
    dashes = [dashes for _, _, dashes in figures.CURVES.values()]
    assert len(set(dashes)) == len(dashes)
    assert len(set(figures.MARKERS.values())) == len(dashes)


def test_experiments_run_store_and_resume(tmp_path):
    trained = []

    def train(settings: Settings) -> Run:
        trained.append(settings)
        table = pd.DataFrame([(0.0, 0, 0, -1, "test_accuracy", 0.5)], columns=COLUMNS)
        return Run(settings, 0.5, 1.0, 1.0, {"compute": 1.0}, 0, table, {})

    runs = experiments.figure_3(quick=False)
    assert len(runs) == 18
    first = list(experiments.carry_out(runs, tmp_path, train, resume=True))
    again = list(experiments.carry_out(runs, tmp_path, train, resume=True))
    assert len(trained) == 18, "finished runs are not repeated"
    assert [name for name, _ in first] == [name for name, _ in again] == list(runs)
    changed = {name: settings.replace(eta=0.5) for name, settings in runs.items()}
    list(experiments.carry_out(changed, tmp_path, train, resume=True))
    assert len(trained) == 36, "but changed ones are"


def test_the_committed_figure_is_drawn_from_the_committed_records():
    """By its points: pixels depend on the fonts of a matplotlib, points do not."""
    from easgd_lib import paths

    stored = experiments.stored(quick=False)
    assert list(stored) == list(experiments.FIGURE_3)
    committed = (paths.figures(quick=False) / "figure3.csv").read_text()
    assert figures.points(stored).to_csv(index=False) == committed
    text = (paths.figures(quick=False) / "figure3.txt").read_text()
    assert figures.describe(stored) == text
    readme = (paths.ROOT / "README.md").read_text()
    assert figures.summary(stored) in readme, "the README quotes the records"


def test_the_papers_figures_are_those_of_the_theory(tmp_path):
    """What `easgd draw` draws without records is what is committed, to the digits shown."""
    for stem in paper_figures.save_all(tmp_path):
        committed = paths.figures(quick=False) / stem.name
        assert stem.with_suffix(".txt").read_text() == committed.with_suffix(".txt").read_text()
        ours, theirs = (pd.read_csv(each.with_suffix(".csv")) for each in (stem, committed))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-3)
        assert stem.with_suffix(".png").stat().st_size > 20_000
        assert committed.with_suffix(".pdf").exists()


def test_the_papers_figure_1_has_the_papers_numbers():
    """Ends of its colour bars, and the example that explodes (paper section 4)."""
    table = paper_figures.figure_1().points
    for p, (low, high) in theory_figures.PAPER_FIGURE_1.items():
        radii = table[table.p == p].radius
        assert radii.min() == pytest.approx(low, abs=5e-4)
        assert radii.max() == pytest.approx(high, abs=5e-4)
    star = table[np.isclose(table.eta, 0.001) & np.isclose(table.rho, 2.5)]
    assert star.radius.to_numpy() == pytest.approx([1.000974, 1.002258], abs=1e-6)


def test_the_report_s_figure_2_is_its_network():
    """Shapes of a forward pass, parameters of the modules, and the committed table."""
    drawn = network_figure.report_figure_2()
    table = drawn.points.set_index("stage")
    assert table.parameters.sum() == models.CONVNET_PARAMETERS
    network = models.build(1)
    images = torch.rand(1, 1, 28, 28)
    for name, part in network.named_children():
        images = part(images.flatten(1) if name == "fc1" else images)
        last = table[table.index.str.startswith(name)].iloc[-1]
        assert last["shape"] == " × ".join(map(str, images.shape[1:]))
    for name, module in network.named_modules():
        if name in table.index:
            assert table.parameters[name] == sum(p.numel() for p in module.parameters())
    committed = paths.figures(quick=False) / "report-figure2.csv"
    assert drawn.points.to_csv(index=False) == committed.read_text()
    labels = "\n".join(text.get_text() for text in drawn.figure.axes[0].texts)
    for row in table.itertuples():
        assert row.shape in labels
        assert row.shape in drawn.words
        assert f"{row.parameters:,}" in labels
        assert f"{row.parameters:,}" in drawn.words
    assert "486,610" in labels
    assert "486,610" in drawn.words


def test_the_readme_s_sixteen_workers_are_those_of_the_record():
    run = Run.load(paths.runs(quick=False) / "sixteen" / "eamsgd-p16-seed0.json")
    curve = run.table[(run.table.metric == "test_accuracy") & (run.table["rank"] == CENTER)]
    passed = curve[curve.value >= 0.99].seconds.min()
    text = " ".join((paths.ROOT / "README.md").read_text().split())
    assert run.settings.workers == 16
    assert (
        f"{run.final_test_accuracy:.2%} in {run.seconds:.1f} virtual seconds".replace("%", " %")
        in text
    )
    assert f"{run.environment['real_seconds']:.0f} real ones" in text
    assert f"99 % was passed at {passed:.1f}" in text
