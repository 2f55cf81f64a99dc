"""The layout teaches the method: which folder may know which, and how large a file may grow."""

import ast
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import easgd_lib
from easgd_lib.paths import ROOT

PACKAGE = ROOT / "easgd_lib"
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What each part of the library may import of the others. Lower parts know nothing of higher ones.
MAY_IMPORT = {
    "errors": set(),
    "values": {"errors"},
    "paths": {"errors"},
    "resources": set(),
    "theory": set(),
    "method": {"errors", "values"},
    "learning": {"errors", "method", "paths", "resources", "values"},
    "metrics": {"learning"},
    "figures": {"learning"},
    "progress": {"figures"},
    "simulation": {"errors", "learning", "method", "paths", "resources", "values"},
    "conformance": {"learning", "method", "simulation"},
    "parallel": {"errors", "learning", "method", "progress", "resources"},
    "machine": {
        "errors", "learning", "method", "metrics", "parallel", "paths", "resources", "simulation",
    },
    "reproduction": {
        "errors", "figures", "learning", "method", "metrics", "parallel", "paths", "resources",
        "simulation", "theory", "values",
    },
    "commands": {
        "errors", "learning", "machine", "method", "metrics", "parallel", "paths", "progress",
        "reproduction", "simulation", "values",
    },
    "optim": {"errors", "learning", "method", "parallel"},
    "__main__": {"commands", "errors", "parallel"},
}  # fmt: skip
LONGEST_CHAIN = 10  # parts, from the command line down
LONGEST_FILE = 300  # lines
LONGER = {
    "method/settings.py": 425,
    "method/center.py": 310,
    "method/rules.py": 325,
    "simulation/clock.py": 380,
    "method/algorithms.py": 340,
    "optim/optimizer.py": 330,
    "learning/records.py": 340,
    "theory/stability.py": 320,
    "parallel/engines.py": 437,
    "parallel/world.py": 425,
    "reproduction/claims/kth.py": 400,
    "reproduction/claims/paper.py": 400,
    "reproduction/figures/kth.py": 350,
    "reproduction/figures/scaled_down.py": 340,
}
# Modules that `easgd_lib.<tab>` does not show: parts of what it shows, or of the command line.
INTERNAL = {
    "__main__", "commands", "conformance", "learning", "learning.checkpoint", "learning.given",
    "learning.pointless",
    "learning.precision", "learning.saver", "machine", "machine.peers", "machine.race",
    "machine.scale", "method", "method.extension", "method.family", "method.limits",
    "method.sequential", "method.tree", "optim", "parallel", "parallel.allocation",
    "parallel.calls",
    "parallel.centers", "parallel.checkpoints", "parallel.engine",
    "parallel.launcher", "parallel.mpiexec", "parallel.rank", "parallel.watchdog",
    "parallel.world", "reproduction", "reproduction.figures", "reproduction.redraw",
    "reproduction.reproduce", "resources", "simulation", "simulation.checkpoint", "values",
    "simulation.noise", "simulation.centers", "simulation.predict", "simulation.trajectory",
}  # fmt: skip
SHOWN_WHOLE = ("commands", "optim", "theory", "figures", "parallel.centers", "reproduction.claims",
               "reproduction.experiments", "reproduction.kth", "reproduction.figures")  # fmt: skip


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """All that a file imports: module, line, and whether a function does it."""
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, late: bool):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.ImportFrom):
                whole = [f"{child.module}.{alias.name}" for alias in child.names]
                found.extend((w if w in FILES else child.module, child.lineno, late) for w in whole)
            elif isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno, late) for alias in child.names)
            else:
                visit(child, late or isinstance(child, ast.FunctionDef))

    visit(ast.parse(path.read_text()), False)
    return found


def part(module: str) -> str:
    """The folder, or the file beside the folders."""
    return module.split(".")[1]


def known(module: str) -> set[str]:
    """Which other parts this module knows."""
    ours = {name for name, _, _ in imports(FILES[module]) if name in FILES and "." in name}
    return {part(name) for name in ours} - {part(module)}


@pytest.mark.parametrize("module", [name for name in FILES if "." in name])
def test_a_part_imports_only_parts_below_it(module):
    assert known(module) <= MAY_IMPORT[part(module)]


def test_parts_form_no_cycle_and_no_tower():
    found = {name: set() for name in MAY_IMPORT}
    for module in FILES:
        if "." in module:
            found[part(module)] |= known(module)
    floors: dict[str, int] = {}
    for name in TopologicalSorter(found).static_order():
        floors[name] = 1 + max((floors[below] for below in found[name]), default=0)
    assert max(floors.values()) == LONGEST_CHAIN, floors
    assert set(MAY_IMPORT) == {part(module) for module in FILES if "." in module}


def test_files_form_no_cycle_either():
    graph = {
        module: {name for name, _, late in imports(path) if name in FILES and not late} - {module}
        for module, path in FILES.items()
    }
    list(TopologicalSorter(graph).static_order())


def test_an_import_inside_a_function_states_its_reason():
    """The commands say it once, at their top: a command loads what it uses."""
    unexplained = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in FILES.values()
        if path.name != "__main__.py" and path.parent.name != "commands"
        for _, line, late in imports(path)
        if late and not _explained(path.read_text().splitlines(), line)
    ]
    assert not unexplained


def _explained(lines: list[str], line: int) -> bool:
    """A comment behind the import, or above the block of imports it is in."""
    while "import" in lines[line - 1] or not lines[line - 1]:
        if "#" in lines[line - 1]:
            return True
        line -= 1
    return lines[line - 1].strip().startswith("#")


def test_no_file_outgrows_its_budget():
    sizes = {
        str(path.relative_to(PACKAGE)): len(path.read_text().splitlines())
        for path in FILES.values()
    }
    over = {name: n for name, n in sizes.items() if n > LONGER.get(name, LONGEST_FILE)}
    assert not over
    stale = {name for name in LONGER if sizes.get(name, 0) <= LONGEST_FILE}
    assert not stale, "no exception is needed any more"


def test_tab_shows_the_tree_and_editors_see_the_same():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {}
    for node in block.body:
        for alias in node.names:
            typed[alias.asname] = f"{node.module}.{alias.name}".removeprefix("easgd_lib.")
    listed = {name: f"{module}.{name}" for name, module in easgd_lib._NAMES.items()}
    assert typed == listed | easgd_lib._MODULES
    assert set(dir(easgd_lib)) >= set(typed)
    modules = {name.removeprefix("easgd_lib.") for name in FILES if "." in name}
    whole = tuple(f"{name}." for name in SHOWN_WHOLE)
    shown = set(easgd_lib._MODULES.values()) | INTERNAL
    assert {name for name in modules ^ shown if not name.startswith(whole)} == set()
    for name in typed:
        assert getattr(easgd_lib, name) is not None


def test_the_package_is_typed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert (PACKAGE / "py.typed").exists()
    assert "py.typed" in data["package-data"]["easgd_lib"]
