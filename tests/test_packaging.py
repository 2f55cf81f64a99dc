"""The three lists of requirements agree, and what is declared is what a user gets."""

import re
import tomllib
from importlib.metadata import entry_points, version

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from setuptools import find_packages

import easgd_lib
from easgd_lib.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {"torch": "pytorch"}


EXTRAS = PROJECT["optional-dependencies"]
USED = [*PROJECT["dependencies"], *EXTRAS["notebooks"], *EXTRAS["course"], *EXTRAS["test"]]


def required() -> dict[str, SpecifierSet]:
    requirements = map(Requirement, USED)
    return {CONDA_NAMES.get(r.name, r.name): r.specifier for r in requirements}


def conda() -> dict[str, SpecifierSet]:
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    names = [re.match(r"  - ([\w-]+) ?(.*)$", line) for line in lines]
    return {m[1]: SpecifierSet(m[2].strip()) for m in names if m and m[1] != "pip"}


def test_environment_yml_has_the_same_ranges():
    found = conda()
    assert found.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert found == required()


def test_the_lock_satisfies_the_ranges():
    lines = (ROOT / "requirements-lock.txt").read_text().splitlines()
    lock = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for text in USED + EXTRAS["check"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(lock[requirement.name]), requirement


@pytest.mark.parametrize("text", USED)
def test_what_is_installed_satisfies_the_ranges(text):
    requirement = Requirement(text)
    assert requirement.specifier.contains(version(requirement.name).split("+")[0])


def test_the_launcher_name_is_registered():
    found = entry_points(group="ipyparallel.engine_launchers", name="MPIEngineSetLauncher")
    assert [entry.value for entry in found] == ["easgd_lib.parallel.launcher:MPIEngineSetLauncher"]


def test_importing_the_package_loads_neither_torch_nor_mpi():
    import subprocess
    import sys

    check = (
        "import easgd_lib, sys; easgd_lib.Settings(method='easgd', workers=2); "
        "assert not {'torch', 'mpi4py', 'ipyparallel', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
    assert "simulate" in dir(easgd_lib)


def test_every_folder_with_code_is_a_package_that_is_installed():
    folders = {path.parent for path in (ROOT / "easgd_lib").rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    find = PYPROJECT["tool"]["setuptools"]["packages"]["find"]
    assert set(find_packages(str(ROOT), include=find["include"])) == names


def test_what_is_no_code_is_installed_too():
    """The ledger's head is read when the ledger is written, wherever that is."""
    others = {
        str(path.relative_to(ROOT / "easgd_lib"))
        for path in (ROOT / "easgd_lib").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    data = PYPROJECT["tool"]["setuptools"]["package-data"]
    installed = {
        f"{package.removeprefix('easgd_lib').strip('.').replace('.', '/')}/{name}".strip("/")
        for package, names in data.items()
        for name in names
    }
    assert installed == others
