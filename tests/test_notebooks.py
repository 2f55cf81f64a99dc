"""House style: `pytest --nbval` checks what notebooks say, this checks that they say it."""

import json
import re
from pathlib import Path

import pytest

from easgd_lib.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 20


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> dict:
    return json.loads(Path(request.param).read_text())


def code(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


def test_outputs_are_stored_from_one_clean_run(notebook):
    """nbval passes a cell without execution count unseen: a stripped notebook tests nothing."""
    cells = code(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell["outputs"] for cell in cells)
    assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]


def test_something_is_compared(notebook):
    """Not every cell with output may be excused from comparison."""
    ignored = {"nbval-ignore-output", "nbval-skip"}
    compared = [
        cell
        for cell in code(notebook)
        if cell["outputs"] and not ignored & set(cell["metadata"].get("tags", []))
    ]
    assert len(compared) >= 2


def test_kernel_and_frame(notebook):
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    first = source(notebook["cells"][0])
    assert first.startswith("# ")
    for heading in ("What you will do", "What you will learn", "What you need"):
        assert heading in first
    headings = re.findall(r"^(#+) ", "\n".join(map(_prose, notebook["cells"])), re.MULTILINE)
    assert headings.count("#") == 1
    assert "###" not in headings or "##" in headings
    assert "On your own" in "\n".join(map(_prose, notebook["cells"]))


def _prose(cell: dict) -> str:
    return source(cell) if cell["cell_type"] == "markdown" else ""


def test_cells_are_short_and_define_little(notebook):
    for cell in code(notebook):
        assert len(source(cell).splitlines()) <= LONGEST_CELL, source(cell)
        assert not source(cell).rstrip().endswith(";"), "nbval shows what `;` hides"


def test_no_warnings_no_paths_no_machines(notebook):
    text = json.dumps([cell["outputs"] for cell in code(notebook)])
    assert '"stderr"' not in text
    assert not re.search(r"/(home|root|Users|work|tmp)/", text)
    assert "image/svg+xml" not in text


def test_every_figure_has_words(notebook):
    for cell in code(notebook):
        for output in cell["outputs"]:
            if "image/png" in output.get("data", {}):
                alt = output["metadata"].get("image/png", {}).get("alt", "")
                assert len(alt) > 40, source(cell)


def test_engines_that_are_started_are_stopped(notebook):
    text = "\n".join(map(source, code(notebook)))
    started = re.findall(r"cluster\([^)]*\)\.start\(\)", text)
    assert len(started) == text.count(".stop()")
