"""The graded exercise, as a course goes through it: released, handed in, marked.

nbgrader itself does the work, in a copy of the course. What is checked is what a lecturer
relies on: students see no answer, the answer gets full marks, no answer gets none, and a
typical mistake fails just the cells that are about it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import nbformat
import pytest

pytestmark = pytest.mark.slow
COURSE = Path(__file__).parents[1] / "notebooks" / "assignments"
NAME = "elastic_exchange"
FILE = f"{NAME}/{NAME}.ipynb"
GENERATE = ("generate_assignment", NAME, "--force", "--log-level=ERROR")
BEGIN, END = "### BEGIN ", "### END "
SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"
STUB = "raise NotImplementedError()"


class Mistake(NamedTuple):
    """One wrong answer: which cell has it, what it says, which cells of tests it must fail."""

    cell: str
    answer: str
    fails: set[str]


MISTAKES = {
    "gauss_seidel": Mistake(
        "exchange",
        """
        def exchange(x, center, alpha):
            moved = worker_after(x, elastic_force(x, center, alpha))
            return moved, center_after(center, elastic_force(moved, center, alpha))
        """,
        {"test_exchange", "test_symmetry", "test_training"},
    ),
    "in_place": Mistake(  # conserves, draws together, and loses the saved x
        "worker_after",
        """
        def worker_after(x, force):
            x -= force
            return x
        """,
        {"test_worker_after", "test_exchange", "test_training"},
    ),
    "fits_what_is_shown": Mistake(  # right for every number that a student can see there
        "center_after",
        """
        def center_after(center, force):
            return np.round(center + force, 3)
        """,
        {"test_center_after", "test_exchange", "test_symmetry", "test_training"},
    ),
}


def nbgrader(course: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run nbgrader as on a machine where nothing is activated and nobody has settings."""
    home = course.parent / "home"
    places = {f"JUPYTER_{what}_DIR": str(home) for what in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"HOME": str(home), "IPYTHONDIR": str(home), "PATH": os.defpath}
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=os.environ | places,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    return run


def cells(path: Path) -> dict:
    """The cells of a notebook under nbgrader's names; those without one under their ids."""
    found = nbformat.read(path, as_version=4).cells
    named = {cell.metadata.get("nbgrader", {}).get("grade_id", cell.id): cell for cell in found}
    assert len(named) == len(found)
    return named


def regions(path: Path, kind: str) -> list[str]:
    """The lines between the BEGIN and END marks of this kind, over all cells."""
    inside = [
        part.split(END + kind)[0]
        for cell in cells(path).values()
        for part in cell.source.split(BEGIN + kind)[1:]
    ]
    return [line.strip() for part in inside for line in part.splitlines() if line.strip()]


def points() -> dict[str, float]:
    """What each cell of tests is worth, from the source."""
    marks = {name: cell.metadata.get("nbgrader", {}) for name, cell in source_cells().items()}
    return {name: mark["points"] for name, mark in marks.items() if mark.get("grade")}


def source_cells() -> dict:
    return cells(COURSE / "source" / FILE)


def hand_in(course: Path, student: str, notebook: Path, mistake: Mistake | None = None):
    """Put a student's notebook where nbgrader looks for it, wrong in one cell if asked."""
    target = course / "submitted" / student / FILE
    target.parent.mkdir(parents=True)
    content = nbformat.read(notebook, as_version=4)
    if mistake:
        solutions = source_cells()
        for cell in content.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name == mistake.cell:
                cell.source = dedent(mistake.answer).strip()
            elif STUB in cell.source:
                cell.source = solutions[name].source
    nbformat.write(content, target)


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A copy of the course with the exercise released, handed in by everybody, and marked."""
    course = tmp_path_factory.mktemp("course") / "assignments"
    shutil.copytree(COURSE / "source", course / "source")
    shutil.copy(COURSE / "nbgrader_config.py", course)
    (course.parent / "home").mkdir()
    nbgrader(course, *GENERATE)
    hand_in(course, "solution", course / "source" / FILE)
    hand_in(course, "untouched", course / "release" / FILE)
    for student, mistake in MISTAKES.items():
        hand_in(course, student, course / "release" / FILE, mistake)
    nbgrader(course, "autograde", NAME, "--log-level=ERROR")
    return course


@pytest.fixture(scope="module")
def scores(course) -> dict[str, dict[str, float]]:
    """The marks in the gradebook: of each student, for each cell of tests."""
    from nbgrader.api import Gradebook  # slow to load, and only for this

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "easgd") as gradebook:
        found = {}
        for submission in gradebook.assignment_submissions(NAME):
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            assert not any(grade.needs_manual_grade for grade in grades)
            assert submission.max_score == sum(points().values())
            assert submission.score == sum(grade.score for grade in grades)
            found[submission.student.id] = {grade.name: grade.score for grade in grades}
    return found


def test_there_is_something_to_hide():
    assert len(regions(COURSE / "source" / FILE, SOLUTION)) >= 4
    assert len(regions(COURSE / "source" / FILE, HIDDEN)) >= 5
    assert sum(points().values()) == 10


def test_source_is_stored_clean():
    for cell in source_cells().values():
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"nbgrader"}


@pytest.mark.parametrize("kind", [SOLUTION, HIDDEN])
def test_students_see_none_of_it(course, kind):
    released = (course / "release" / FILE).read_text("utf-8")
    assert kind not in released
    text = "\n".join(cell.source for cell in cells(course / "release" / FILE).values())
    leaked = [line for line in regions(COURSE / "source" / FILE, kind) if line in text]
    assert not leaked


def test_students_get_everything_else(course):
    released = cells(course / "release" / FILE)
    assert list(released) == list(source_cells())
    assert sum(STUB in cell.source for cell in released.values()) == 4
    for name, cell in source_cells().items():
        if BEGIN not in cell.source:
            assert released[name].source == cell.source


def test_solution_gets_full_marks(scores):
    assert scores["solution"] == points()


def test_untouched_gets_nothing(scores):
    assert scores["untouched"] == dict.fromkeys(points(), 0)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_fails_its_cells(scores, name):
    assert scores[name].keys() == points().keys()
    assert {cell for cell, score in scores[name].items() if score == 0} == MISTAKES[name].fails
    assert all(score in (0, points()[cell]) for cell, score in scores[name].items())


@pytest.mark.parametrize(
    ("student", "cell", "hint"),
    [
        ("gauss_seidel", "test_exchange", "the worker's *new* place"),
        ("gauss_seidel", "test_symmetry", "one side's gain is not the other's loss"),
        ("in_place", "test_worker_after", "changes an array that it was given"),
        ("fits_what_is_shown", "test_center_after", "line b must add the force"),
        ("untouched", "test_exchange", "NotImplementedError"),
    ],
)
def test_message_names_the_mistake(course, student, cell, hint):
    outputs = cells(course / "autograded" / student / FILE)[cell].outputs
    (error,) = [output for output in outputs if output.output_type == "error"]
    assert hint in f"{error.ename}: {error.evalue}"


def test_releasing_again_changes_nothing_and_says_nothing(course, scores):
    before = (course / "release" / FILE).read_bytes()
    run = nbgrader(course, *GENERATE)
    assert run.stdout + run.stderr == ""
    assert (course / "release" / FILE).read_bytes() == before
