"""What the pages outside the notebooks name is there."""

import json
import re

import pytest

import two_hosts
from easgd_lib.paths import DATA, ROOT

PAGES = (
    "README.md", "CONTRIBUTING.md", "data/README.md", "docs/cluster.md",
    "notebooks/assignments/README.md",
)  # fmt: skip
MADE_LATER = ("cifar-10-batches-py/", "figures/quick/", "data/runs/quick/", "runs/quick/", "runs/a",
              "feedback/", "release/", "submitted/")  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"`([\w.-]+(?:/[\w.-]*)+)`", text) + re.findall(r"\]\(([^)#:]+)\)", text)
    places = (ROOT, (ROOT / page).parent, ROOT / "easgd_lib")
    # Others in torchvision's layout begin with a capital.
    ours = [name for name in named if not name.startswith(MADE_LATER) and not name[0].isupper()]
    missing = [name for name in ours if not any((place / name).exists() for place in places)]
    assert not missing
    assert ours or page == "data/README.md"


def test_the_makefile_has_the_targets_that_pages_name():
    makefile = (ROOT / "Makefile").read_text()
    for page in ("README.md", "CONTRIBUTING.md"):
        targets = re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE)
        assert targets
        for target in targets:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_page_on_clusters_shows_what_two_hosts_measured():
    record = json.loads((DATA / "two-hosts.json").read_text())
    assert two_hosts.table(record) in (ROOT / "docs" / "cluster.md").read_text()
