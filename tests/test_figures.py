"""Figures: drawn from records alone, the same bytes every time, with their data and their words."""

import numpy as np
import pandas as pd
import pytest
import torch

from easgd_lib import Run, figures, kth_figures, models, paths, theory_figures
from easgd_lib.learning.records import CENTER
from easgd_lib.reproduction import redraw
from easgd_lib.reproduction.experiments import COMPLETE, FULL, QUICK, Records, conduct
from easgd_lib.reproduction.experiments.kth import FIGURE_3
from easgd_lib.reproduction.experiments.paper import best_rates
from easgd_lib.reproduction.figures import from_theory as paper_figures
from easgd_lib.reproduction.figures import network as network_figure
from easgd_lib.reproduction.figures import peers
from helpers import made_up


@pytest.fixture
def records(runs) -> Records:
    """Made-up records of Figure 3: every curve ends elsewhere, one below the axis."""
    for k, planned in enumerate(FIGURE_3.planned(QUICK)):
        end = 0.5 if planned.name.startswith("easgd-tau64") else 0.9 + 0.01 * k
        run = made_up(planned.settings, (0.1, 0.3, 0.8 * end, 0.9 * end, end), exchanging=0.05)
        run.save(planned.path(QUICK))
    return Records(QUICK)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(records, tmp_path):
    contents = []
    for folder in ("one", "two"):
        drawn = kth_figures.ALL["figure3"](records)
        stem = tmp_path / folder / "figure3"
        figures.save(drawn.figure, stem, drawn.words, drawn.points)
        contents.append(
            [stem.with_suffix(s).read_bytes() for s in (".png", ".pdf", ".txt", ".csv")]
        )
    assert contents[0] == contents[1]
    assert all(contents[0])


@pytest.mark.parametrize(
    ("name", "against"), [("figure3", "seconds"), ("figure3-samples", "samples")]
)
def test_figure_3_has_both_exchanges_all_curves_and_all_settings(records, name, against):
    drawn = kth_figures.ALL[name](records)
    panels = drawn.figure.axes
    assert len(panels) == 2 * len(kth_figures.PANELS)
    titles = [panels[0].get_title(loc="left"), panels[3].get_title(loc="left")]
    assert titles == [kth_figures.OURS, kth_figures.REPORTS]
    statement = drawn.figure.get_suptitle()
    for word in ("p = 2", "η = 0.01", "β = 0.9", "batch 100", "1 thread", "5,000 real digits"):
        assert word in statement
        assert word in drawn.words
    for panel in panels:
        centers = [line for line in panel.lines if line.get_marker() != "None"]
        workers = [line for line in panel.lines if line.get_marker() == "None"]
        assert len(centers) == len(kth_figures.CURVES)
        assert len(workers) == 4, "SGD's x is its center"
    assert {label.get_text() for label in drawn.figure.legends[0].get_texts()} == {
        label for label, _, _ in kth_figures.CURVES.values()
    }
    assert panels[3].get_xlabel() == kth_figures.AXES[against]


def test_figure_3_shows_what_the_records_say(records):
    """Ends of the centers' lines; and a curve below the axis is mentioned, not lost."""
    panels = kth_figures.ALL["figure3"](records).figure.axes
    ends = {name: runs[0].final_test_accuracy for name, runs in FIGURE_3.stored(QUICK).items()}
    for panel, scheme in ((panels[2], "easgd"), (panels[5], "report")):
        drawn = [line.get_ydata()[-1] for line in panel.lines if line.get_marker() != "None"]
        names = [name for name in ends if name.startswith(("sgd", scheme))]
        assert drawn == pytest.approx([ends[name] for name in names])
    assert "EASGD, τ = 64: center below, at 0.50" in panels[2].texts[0].get_text()
    assert "below" not in panels[5].texts[0].get_text()


def test_curves_of_figure_3_differ_without_color(records):
    dashes = [dashes for _, _, dashes in kth_figures.CURVES.values()]
    assert len(set(dashes)) == len(dashes)
    for panel in kth_figures.ALL["figure3"](records).figure.axes:
        markers = [line.get_marker() for line in panel.lines if line.get_marker() != "None"]
        assert len(set(markers)) == len(markers) == len(dashes)


@pytest.fixture(scope="module")
def committed() -> Records:
    return Records(COMPLETE)


@pytest.mark.parametrize("experiment", conduct.ALL, ids=lambda experiment: experiment.name)
def test_every_run_has_a_committed_record(experiment):
    """Of these very settings: `easgd reproduce --full` finds nothing to do on a fresh clone."""
    for planned in experiment.planned(FULL, best_rates(FULL)):
        assert Run.load(planned.path(FULL)).settings == planned.settings


@pytest.mark.parametrize("name", redraw.ALL)
def test_the_committed_figures_are_drawn_from_the_committed_records(committed, name):
    """By their points and words: pixels depend on the fonts of a matplotlib, these do not."""
    drawn, stem = redraw.ALL[name](committed), paths.figures(quick=False) / name
    assert drawn.points.to_csv(index=False) == stem.with_suffix(".csv").read_text()
    assert drawn.words == stem.with_suffix(".txt").read_text()
    assert stem.with_suffix(".png").stat().st_size > 20_000
    assert stem.with_suffix(".pdf").exists()


def test_the_readme_quotes_figure_3():
    readme = (paths.ROOT / "README.md").read_text()
    assert kth_figures.summary(FIGURE_3.stored(COMPLETE)) in readme


def test_the_figure_of_peers_is_its_record_and_the_readme_quotes_it():
    drawn, stem = peers.peers(), paths.figures(quick=False) / "peers"
    assert drawn.words == stem.with_suffix(".txt").read_text()
    assert drawn.words.strip() in (paths.ROOT / "README.md").read_text()


@pytest.mark.slow
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
    """Ends of its color bars, and the example that explodes (paper section 4)."""
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
    curve = run.table[(run.table.metric == "test_accuracy") & (run.table["worker"] == CENTER)]
    passed = curve[curve.value >= 0.99].seconds.min()
    text = " ".join((paths.ROOT / "README.md").read_text().split())
    assert run.settings.workers == 16
    assert (
        f"{run.final_test_accuracy:.2%} in {run.seconds:.1f} virtual seconds".replace("%", " %")
        in text
    )
    assert f"{run.environment['real_seconds']:.0f} real ones" in text
    assert f"99 % was passed at {passed:.1f}" in text
