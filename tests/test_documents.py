"""What the documents show is run, block by block: Python with the output that follows it, shell commands, files."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from nddo_ml.cli import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
DOCUMENTS = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"docs/nnp.md"}  # its commands train on published data sets that are not in the repository
MADE = {
    "README.md": ["relaxed.xyz", "results.json", "figures/parity.png", "dimer.png"],
    "docs/compare.md": ["figures/parity.png", "dimer.png", "turned.extxyz"],
    "docs/dimers.md": ["n2.png"],
    "docs/dynamics.md": ["ethanol.traj", "energies.png", "water.json", "ethanol.xyz"],
    "docs/excited.md": ["absorption.png"],
    "docs/label.md": ["labels.extxyz", "mp2.extxyz"],
    "docs/reactions.md": ["path.xyz", "path.png", "saddle.molden"],
    "docs/start.md": ["relaxed.xyz", "results.json"],
    "docs/studies/infrared.md": ["spectrum.png"],
    "docs/studies/surface.md": ["surfaces.png"],
    "docs/training.md": ["run/model.pt", "run/report.html", "parity.png", "errors.json"],
    "docs/tutorial.md": ["pm7_path.json", "hybrid_water.json", "acetaldehyde.png"],
    "docs/vibrations.md": ["infrared.png", "ethanol.molden", "thermo.json"],
}


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def runs(document: str) -> bool:
    return any(language in ("python", "sh") for language, _ in blocks(document))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what the documents name, where their blocks may write."""
    for name in ("examples", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(command: str, folder: Path) -> None:
    """A line of a shell block: the program, with * expanded."""
    name, *arguments = shlex.split(command)
    assert name == "nddo-ml", command
    expanded = [str(p) for a in arguments for p in (sorted(folder.glob(a)) if "*" in a else [a])]
    with pytest.raises(SystemExit) as left:
        main(expanded)
    assert not left.value.code, command


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if runs(d)])
def test_blocks_run(document, workplace):
    namespace: dict = {}
    written = None
    for language, text in blocks(document):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, document, "exec"), namespace)
            written = out.getvalue()
        elif language == "text":
            assert written == text
        elif language == "toml":
            (workplace / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")
        elif language == "sh" and document not in NOT_RUN:
            for command in text.splitlines():
                call(command, workplace)
    assert all((workplace / name).stat().st_size > 0 for name in MADE.get(document, []))


@pytest.mark.parametrize("document", [*DOCUMENTS[1:], "ARCHITECTURE.md", "CONTRIBUTING.md", "recipes/README.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", BLOCK.sub("", text)):
        assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"
