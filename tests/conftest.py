"""Fixtures that several test files use."""

import pytest
from hypothesis import settings

from helpers import leaving_nothing

settings.register_profile("quick", max_examples=15)


@pytest.fixture
def nothing_left():
    with leaving_nothing():
        yield


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """An empty folder for records, in place of the one with the committed ones."""
    from easgd_lib import paths

    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No MNIST anywhere, whatever this machine has."""
    from easgd_lib import paths

    monkeypatch.delenv("EASGD_DATA", raising=False)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
