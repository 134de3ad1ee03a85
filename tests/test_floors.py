"""The floors of the house, read from the source: imports go down only.

    integration  ->  sim                          ->  golden_model
    integration  ->  cocotb_tests -> synth -> hdl ->  golden_model

`sim` and `hdl` never import each other: they meet in `golden_model`. An import inside a function counts like any other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BELOW = {
    "golden_model": set(),
    "hdl": {"golden_model"},
    "synth": {"hdl", "golden_model"},
    "cocotb_tests": {"synth", "hdl", "golden_model"},
    "sim": {"golden_model"},
    "integration": {"cocotb_tests", "synth", "hdl", "sim", "golden_model"},
}
"""Which packages each may import, besides itself."""

STAIRS = {"cli": {"studies", "mapping", "zoo"}, "studies": {"mapping", "zoo"}, "mapping": {"zoo"}, "zoo": set()}
"""The same inside `integration`; a mapping keeps itself in a file as the zoo keeps its checkpoints."""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, list[str], int]]:
    """Yield each imported module, the names taken from it and the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, [], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = [node.module] if node.module else []
            if node.level:  # relative: the package that the file stands in, and up
                module = [*path.parent.relative_to(ROOT).parts[: None if node.level == 1 else 1 - node.level], *module]
            yield ".".join(module), [alias.name for alias in node.names], node.lineno


def climbs(package: str, allowed: set[str], among: set[str]) -> list[str]:
    """Return the imports of a package that reach one of `among` without being `allowed`."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(package)
        for module, _, line in imports(path)
        if (top := module.partition(".")[0]) in among and top not in allowed | {package}
    ]


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_down_only(package: str) -> None:
    assert sources(package), f"{package}/ has no source: is the list of floors out of date?"
    assert climbs(package, BELOW[package], set(BELOW)) == []


def test_the_simulator_and_the_hardware_meet_in_the_golden_model() -> None:
    assert climbs("sim", set(), {"hdl", "synth", "cocotb_tests", "amaranth", "cocotb"}) == []
    assert climbs("hdl", set(), {"sim", "torch"}) == []


def test_the_golden_model_needs_numpy_alone() -> None:
    allowed = {"golden_model", "numpy", *sys.stdlib_module_names}
    above = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("golden_model")
        for module, _, line in imports(path)
        if module.partition(".")[0] not in allowed
    ]
    assert above == []


def test_the_hardware_takes_configurations_and_never_functions() -> None:
    """It is built beside the golden model, not out of it: what it imports from there is a class or a constant."""
    taken = [
        f"{path.relative_to(ROOT)}:{line} takes {module}.{name}"
        for path in sources("hdl")
        for module, names, line in imports(path)
        if module.partition(".")[0] == "golden_model"
        for name in names or [""]
        if not name[:1].isupper()
    ]
    assert taken == []


@pytest.mark.parametrize("step", STAIRS)
def test_the_stairs_inside_integration(step: str) -> None:
    folder = ROOT / "integration" / step
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    upwards = []
    for path in filter(Path.exists, paths):
        for module, names, line in imports(path):
            reached = [module.split(".")[1]] if module.startswith("integration.") else names
            if module.partition(".")[0] != "integration":
                continue
            wrong = {*reached} & STAIRS.keys() - STAIRS[step] - {step}
            upwards += [f"{path.relative_to(ROOT)}:{line} imports integration.{other}" for other in wrong]
    assert upwards == []


def test_nothing_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert [path for package in BELOW for path in sources(package) if path.stem in drawers] == []
