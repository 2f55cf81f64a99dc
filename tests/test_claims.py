"""Claims: verdicts follow from the records, and the committed ones from the committed records."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from easgd_lib import Run, claims, figures, ledger, paths
from easgd_lib.reproduction import redraw
from easgd_lib.reproduction.claims import (
    IN_PART,
    NOT,
    REFUTED,
    REPRODUCED,
    UNTESTED,
    VERDICTS,
    verdict,
)
from easgd_lib.reproduction.experiments import COMPLETE, FULL, Experiment, Planned, Records, conduct
from easgd_lib.reproduction.experiments.kth import ABLATION, FIGURE_3, PERIODS
from easgd_lib.reproduction.experiments.paper import BY_PERIOD, NINETY_NINE
from easgd_lib.reproduction.figures import from_theory as paper_figures
from helpers import made_up

CLAIMS = {claim.id: claim for claim in claims.all_claims()}
FIELDS = {"id", "source", "claim", "command", "expected", "measured", "verdict", "comparisons",
          "why"}  # fmt: skip
TWO_SEEDS = replace(FULL, seeds=(0, 1))


@pytest.mark.parametrize(
    ("comparisons", "word"),
    [
        ([1], REPRODUCED),
        ([1, 1, 1], REPRODUCED),
        ([1, 0], IN_PART),
        ([1, -1], IN_PART),
        ([1, 1, -1, 0], IN_PART),
        ([0, 0], NOT),
        ([-1], REFUTED),
        ([-1, 0], REFUTED),
        ([-1, -1], REFUTED),
        ([], UNTESTED),
    ],
)
def test_verdicts_follow_from_comparisons(comparisons, word):
    """And a short run refutes nothing that was said of long ones."""
    assert verdict(comparisons) == verdict(comparisons[::-1]) == word
    assert verdict(comparisons, long=True) == (NOT if word == REFUTED else word)


def test_every_claim_is_whole_and_has_a_name_of_its_own():
    every = claims.all_claims()
    assert len(every) >= 25
    assert len(CLAIMS) == len(every)
    for claim in every:
        for text in (claim.id, claim.source, claim.claim, claim.expected):
            assert text.strip()
        assert claim.source.startswith(("report", "paper", "ours"))


@pytest.fixture
def judge_made_up(runs) -> Callable[[str, Experiment, dict], dict]:
    """Judge a claim from made-up records of one experiment, all alike but for those named."""

    def judged(claim: str, experiment: Experiment, said: dict[str, dict]) -> dict:
        for planned in experiment.planned(TWO_SEEDS):
            run = made_up(planned.settings, **said.get(str(planned.case), {}))
            run.save(planned.path(TWO_SEEDS))
        return CLAIMS[claim].judged(Records(TWO_SEEDS))

    return judged


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("report-elements", "elements"),
        ("report-layers", "layers"),
        ("report-lockstep", "lockstep"),
    ],
)
def test_a_factor_is_at_fault_if_its_exchanges_take_a_tenth_of_the_time(judge_made_up, claim, name):
    """Elsewhere they take a tenth: of what is left, .9, a tenth more or less is lost by it."""
    assert judge_made_up(claim, ABLATION, {name: {"exchanging": 0.19}})["verdict"] == REPRODUCED
    found = judge_made_up(claim, ABLATION, {name: {"exchanging": 0.17}})
    assert found["verdict"] == REFUTED
    assert found["measured"]["value"][f"with {name}"] == 0.17
    assert (found["measured"]["seeds"], found["measured"]["n"]) == (2, 4)


@pytest.mark.parametrize(("speed", "word"), [(500, REPRODUCED), (999, NOT), (1500, REFUTED)])
def test_a_root_that_computes_is_at_fault_if_the_others_are_slower(judge_made_up, speed, word):
    found = judge_made_up("report-root-computes", ABLATION, {"root-computes": {"speed": speed}})
    assert found["verdict"] == word


def test_an_own_start_is_at_fault_if_the_center_is_worse(judge_made_up):
    poor = {"accuracies": (0.1, 0.5)}
    assert judge_made_up("report-own-start", ABLATION, {"own-start": poor})["verdict"] == REPRODUCED
    assert judge_made_up("report-own-start", ABLATION, {})["verdict"] == NOT, "a tie"
    assert judge_made_up("report-own-start", ABLATION, {"ours": poor})["verdict"] == REFUTED


def test_sgd_is_ahead_if_it_is_ahead_of_all(judge_made_up):
    good, sgd = {"accuracies": (0.1, 0.99)}, "sgd-all-cores"
    easgd = {f"{who}-tau{tau}": good for who in ("easgd", "report") for tau in PERIODS}
    assert judge_made_up("report-sgd-ahead", FIGURE_3, {sgd: good})["verdict"] == REPRODUCED
    assert judge_made_up("report-sgd-ahead", FIGURE_3, easgd)["verdict"] == REFUTED
    easgd.popitem()
    assert sorted(judge_made_up("report-sgd-ahead", FIGURE_3, easgd)["comparisons"]) == [-1] * 7 + [
        0
    ]
    slow = {"easgd-tau64": {"accuracies": (0.1, 0.2)}}
    assert judge_made_up("report-sgd-ahead", FIGURE_3, slow)["verdict"] == IN_PART


def test_99_percent_in_a_few_minutes_or_never(judge_made_up):
    there = {name: {"accuracies": (0.1, 0.98, 0.995)} for name in ("sgd", "msgd")}
    assert judge_made_up("report-99-percent", NINETY_NINE, there)["verdict"] == REPRODUCED
    assert judge_made_up("report-99-percent", NINETY_NINE, {})["verdict"] == NOT, "in two seconds"
    long = {name: {"accuracies": (0.1, *[0.9] * 301)} for name in ("sgd", "msgd")}
    found = judge_made_up("report-99-percent", NINETY_NINE, long)
    assert found["verdict"] == REFUTED
    assert found["measured"]["value"]["seconds to 99 %, sgd"] == "never"


def test_easgd_is_calm_if_two_points_are_not_lost(judge_made_up):
    poor = {f"easgd-tau{tau}": {"accuracies": (0.1, 0.87)} for tau in (4, 16, 64)}
    assert judge_made_up("paper-easgd-calm", BY_PERIOD, {})["verdict"] == REPRODUCED
    assert judge_made_up("paper-easgd-calm", BY_PERIOD, poor)["verdict"] == REFUTED
    del poor["easgd-tau4"]
    assert judge_made_up("paper-easgd-calm", BY_PERIOD, poor)["verdict"] == IN_PART


def test_downpour_is_unstable_if_it_is_worse_and_rougher(judge_made_up):
    wild = {f"downpour-tau{tau}": {"accuracies": (0.1, 0.8, 0.3, 0.6)} for tau in (16, 64)}
    assert judge_made_up("paper-downpour-unstable", BY_PERIOD, wild)["verdict"] == REPRODUCED
    assert judge_made_up("paper-downpour-unstable", BY_PERIOD, {})["verdict"] == REFUTED


def carried_out(lost: Callable[[Planned], bool]):
    """Made-up records of everything, tuning first, but that some of the runs diverged."""
    for group in ((conduct.TUNING,), conduct.ALL):
        for planned in (each for one in group for each in one.planned(TWO_SEEDS)):
            settings, path = planned.settings, planned.path(TWO_SEEDS)
            (Run.lost(settings, "nan") if lost(planned) else made_up(settings)).brief().save(path)


UNSTABLE = ("downpour-tau64", "eamsgd-tau4", "eamsgd-tau100", "downpour-tau1-p16", "msgd-batch4x")


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_runs_that_diverged_are_judged_and_drawn_and_no_number_is_infinite():
    """Of every experiment under the clock something is lost: one seed here, all seeds there."""

    def lost(planned: Planned) -> bool:
        seeds = (1,) if planned.name.startswith("downpour-tau64") else TWO_SEEDS.seeds
        tuned = planned.experiment is not conduct.TUNING
        return tuned and planned.name.startswith(UNSTABLE) and planned.settings.seed in seeds

    carried_out(lost)
    judged = json.loads(json.dumps(claims.judge(TWO_SEEDS), allow_nan=False))
    assert [claim["id"] for claim in judged] == list(CLAIMS)
    for claim in judged:
        assert set(claim) == FIELDS
        assert claim["verdict"] in VERDICTS
        assert (claim["verdict"] == UNTESTED) == (claim["comparisons"] == [])
        assert set(claim["measured"]["value"]) == set(claim["measured"]["spread"])
    records = Records(TWO_SEEDS)
    words = {name: draw(records).words for name, draw in redraw.ALL.items()}
    for name in ("paper-figure2", "paper-figure3", "paper-figure9"):
        assert "diverged" in words[name]


def test_a_curve_keeps_its_look_where_a_run_of_it_diverged():
    one, many = [0, 1], [f"method {i}" for i in range(len(figures.LOOKS))]
    drawn = {
        "calm": [figures.Curve(name, one, one) for name in many],
        "wild": [figures.Curve(name, one, one, note="1 of 3 diverged") for name in many],
    }
    calm, wild = figures.panels(drawn, "x", "y").axes[:2]
    looks = [
        [(line.get_color(), line.get_linestyle()) for line in axis.lines] for axis in (calm, wild)
    ]
    assert looks[0] == looks[1]
    assert len(set(map(str, looks[0]))) == len(many)


def committed() -> list[dict]:
    def no_number(token: str):
        raise AssertionError(f"{token} is not JSON")

    text = claims.file(COMPLETE).read_text()
    return json.loads(text, parse_constant=no_number)


def test_the_committed_verdicts_are_those_of_the_committed_records():
    """And of all of them: a claim whose records are missing would be left out."""
    judged = claims.judge(COMPLETE)
    assert [claim["id"] for claim in judged] == list(CLAIMS)
    assert committed() == json.loads(json.dumps(judged))


def test_the_committed_ledger_shows_the_committed_verdicts():
    page = ledger.file(COMPLETE).read_text()
    assert page == ledger.page(committed())
    for claim in CLAIMS.values():
        assert f"](#{claim.id})" in page
        assert f"### {claim.id}\n" in page


def test_the_readme_counts_the_committed_verdicts():
    readme = " ".join((paths.ROOT / "README.md").read_text().split())
    count = ledger.summary(committed())  # "N claims: so many reproduced, …"
    assert count.split(":")[0] in readme
    assert count.split(": ")[1] in readme


def test_the_ledger_s_head_names_every_figure_and_none_that_is_not_there():
    """Those that are drawn, and those that lie in the folder."""
    rows = [line for line in ledger.HEAD.read_text().splitlines() if line.startswith("| `")]
    named = {row.split("`")[1] for row in rows}
    assert named == set(redraw.ALL) | set(paper_figures.ALL)
    assert {path.stem for path in paths.figures(quick=False).glob("*.png")} <= named


def test_the_ledger_counts_and_tells(judge_made_up):
    judged = [judge_made_up("report-layers", ABLATION, {"layers": {"exchanging": 0.5}})]
    judged.append(CLAIMS["paper-imagenet-4"].judged(Records(TWO_SEEDS)))
    page = ledger.page(judged)
    assert ledger.summary(judged) == f"2 claims: 1 {REPRODUCED}, 1 {UNTESTED}"
    assert ledger.summary(judged) in page
    assert "with layers: 0.5" in page
    assert ledger.to_text(judged).count("\n    ") >= 2
    assert f"{REPRODUCED.upper()}: {CLAIMS['report-layers'].claim}" in ledger.to_text(judged)
