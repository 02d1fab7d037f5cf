"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("nddo_ml", "bp_descriptors")
# who may call autograd.grad: everybody else asks nddo_ml/derivatives.py
DIFFERENTIATE = {"nddo_ml/derivatives.py", "bp_descriptors/fast.py"}
# names of Python, notebooks, ASE and PySCF that are public in spite of their looks
ALLOWED = {"_intermediates", "_repr_html_", "_exit", "_replace", "_asdict", "_fields", "_hbar", "_e", "_amu"}


@cache
def parsed(folder: str) -> list[tuple[str, ast.Module]]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    return (module for folder in folders for module in parsed(folder))


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_derivatives_are_taken_in_one_place() -> None:
    found = {
        path
        for path, tree in modules(*PACKAGES)
        for call in calls(tree)
        if ast.unparse(call.func).endswith(
            ("autograd.grad", "autograd.functional.hessian", "autograd.functional.jacobian")
        )
    }
    assert found == DIFFERENTIATE


def test_models_are_asked_what_they_can_do_not_which_they_are() -> None:
    found = {
        path
        for path, tree in modules("nddo_ml")
        for call in calls(tree)
        if ast.unparse(call.func) == "isinstance" and ast.unparse(call.args[1]).split(".")[-1] in ("NDDO", "NNP")
    }
    assert {path for path in found if not path.startswith("nddo_ml/models/")} == {"nddo_ml/predictors/choose.py"}


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "examples", "recipes"])
def test_files_and_functions_are_short(folder: str) -> None:
    """About 350 lines a file, 60 a function: a tenth more is too much but where arguments are a table of options."""
    long, options = [], {"build_nnp": 75}
    for path, tree in modules(folder):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        long += [f"{path}: {lines} lines"] * (lines > 385)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{path}: {node.name} has {size} lines"] * (size > options.get(node.name, 66))
    assert long == []


def test_deliberate_faults_have_their_places_and_tests() -> None:
    """Without trying them, which takes an hour: ``python tests/mutate.py``."""
    files = [p for folder in PACKAGES for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".py", ".c", ".h")]
    sources = "\0".join(file.read_text(encoding="utf-8") for file in files)
    table = tomllib.loads((ROOT / "tests/mutations.toml").read_text(encoding="utf-8"))["fault"]
    assert [f["name"] for f in table if sources.count(f["old"]) != 1 or f["old"] == f["new"]] == []
    assert len({f["name"] for f in table}) == len(table)
    for file, *names in {tuple(test.split("::")) for f in table for test in f["tests"]}:
        text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        assert (ROOT / file).exists(), file
        for name in names:
            assert f"def {name.partition('[')[0]}(" in text, name


def test_architecture_names_what_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    folders = {cells[0].strip("`/"): " ".join(cells[1:]) for cells in rows if cells[0].endswith("/`")}
    assert len(folders) > 15
    for folder, said in folders.items():
        there = {p.stem for p in (ROOT / "nddo_ml" / folder).glob("*.py")}
        named = set(re.findall(r"`([a-z_0-9]+)`", said))
        assert named <= there, f"{folder}: {sorted(named - there)}"


def private(tree: ast.Module) -> Iterator[str]:
    """Private names that a module uses of others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            names = [node.attr]
        else:
            continue
        yield from (n for n in names if n.startswith("_") and not n.startswith("__") and n not in ALLOWED)


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples"])
def test_private_names_stay_private(folder: str) -> None:
    assert {path: names for path, tree in modules(folder) if (names := sorted(private(tree)))} == {}
