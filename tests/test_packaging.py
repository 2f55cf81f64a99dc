"""The three lists of requirements agree, and what is declared is what a user gets."""

import os
import re
import shutil
import subprocess
import sys
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
    check = (
        "import easgd_lib, sys; easgd_lib.Settings(method='easgd', workers=2); "
        "assert not {'torch', 'mpi4py', 'ipyparallel', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
    assert "simulate" in dir(easgd_lib)


MAKE_ALONE = """
[project]
name = "tiny"
version = "1"
[project.optional-dependencies]
notebooks = []
course = []
test = []
check = []
[tool.setuptools]
py-modules = []
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Pat's course [SS26]", 'Übung "3" $HOME & more; *'])
def test_make_setup_in_any_folder_whatever_pip_was_told(name, tmp_path):
    """The Makefile with a project that needs nothing: installed once, kept, made anew if moved."""
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(MAKE_ALONE)
    (folder / "requirements-lock.txt").write_text("")
    told = {"PIP_USER": "1", "PIP_TARGET": str(tmp_path / "elsewhere"), "PYTHONHOME": "/nowhere"}

    def setup(where):
        words = ["make", "setup", f"PYTHON={sys.executable}"]
        ran = subprocess.run(
            words, cwd=where, env=dict(os.environ) | told, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    assert "installing" in setup(folder)
    assert "installing" not in setup(folder), "installed again, without a reason"
    assert not (tmp_path / "elsewhere").exists()
    moved = folder.rename(tmp_path / f"{name} moved")
    assert "installing" in setup(moved)


def test_environment_yml_asks_conda_for_nothing_but_its_own():
    """Lines for pip in it would go through pip's parser of requirement files: none is needed."""
    lines = (ROOT / "environment.yml").read_text().split("dependencies:")[1].splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    assert all(re.fullmatch(r"- [a-z0-9-]+( [<>=][<>=0-9.,]*)?", entry) for entry in entries)


@pytest.mark.slow
def test_the_readme_s_pip_line_is_one_that_pip_takes():
    [line] = re.findall(r"pip (install --no-deps -e \.)", (ROOT / "README.md").read_text())
    words = [sys.executable, "-m", "pip", *line.split(), "--dry-run", "--no-build-isolation"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Would install easgd-lib" in ran.stdout


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


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("easgd_lib.parallel.engines", {"torch", "pandas", "scipy.stats", "mpi4py.MPI"}),
        ("easgd_lib.metrics", {"torch", "pandas", "scipy.stats"}),
        ("easgd_lib.parallel.rank", {"pandas", "scipy.stats", "sklearn", "torchvision"}),
    ],
)
def test_nothing_is_loaded_that_a_client_or_a_rank_does_not_need(module, absent):
    """A client that waits for its engines would share their cores with them."""
    program = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ""
