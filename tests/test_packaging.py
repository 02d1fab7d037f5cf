"""What the package says of itself: version, types, citation, links that lead out of the repository's files."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import nddo_ml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
URL = PROJECT["project"]["urls"]["Homepage"]


def test_version_is_that_of_the_installed_distribution():
    expected = version("nddo-ml")
    assert nddo_ml.__version__ == expected
    assert re.match(r"\d+\.\d+\.\d+", expected)


def test_import_stays_cheap():
    code = "import sys, nddo_ml; print('torch' in sys.modules, 'importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("package", ["nddo_ml", "bp_descriptors"])
def test_types_are_shipped(package):
    assert files(package).joinpath("py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


IMPORT_NAMES = {  # where they differ from the package's name
    "pillow": "PIL",
    "pyscf-dispersion": "pyscf",
    "torch-sim-atomistic": "torch_sim",
}
INDIRECT = {"tad_mctc": "tad-dftd3", "pydantic_core": "pydantic"}  # a package of the same authors, brought by this one


def imported() -> dict[str, str]:
    """Packages that the two import anywhere, with a file that does."""
    found = {}
    for path in [*(ROOT / "nddo_ml").rglob("*.py"), *(ROOT / "bp_descriptors").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {n.partition(".")[0]: str(path.relative_to(ROOT)) for n in names}
    return {n: f for n, f in found.items() if n not in sys.stdlib_module_names | {"nddo_ml", "bp_descriptors"}}


def test_what_is_imported_is_declared():
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in lines}
    declared = {IMPORT_NAMES.get(n, n.replace("-", "_")) for n in names}
    missing = {n: f for n, f in imported().items() if INDIRECT.get(n, n).replace("-", "_") not in declared}
    assert not missing


def test_version_of_a_tree_without_tags_is_the_newest_release():
    fallback = PROJECT["tool"]["setuptools_scm"]["fallback_version"]
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest is not None
    assert fallback == newest.group(1) == citation["version"]


def test_citation_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == PROJECT["project"]["license"]
    assert [a["name"] for a in citation["authors"]] == [a["name"] for a in PROJECT["project"]["authors"]]
    assert citation["repository-code"] == PROJECT["project"]["urls"]["Source"] == URL


def test_links_of_the_readme_work_outside_the_repository():
    """The readme is also the package's page on an index, where relative links lead nowhere."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    for target in targets:
        assert target.startswith("https://"), target
        inside = re.match(re.escape(URL) + r"/(?:blob|tree|raw)/main/([^#]*)", target)
        if inside:
            assert (ROOT / inside.group(1)).exists(), target
