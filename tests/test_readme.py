"""What the documents show is run: Python blocks in order, with the output that follows them; shell blocks."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from nddo_ml.cli import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the examples, where the blocks may write."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", ["README.md", "docs/optimize.md"])
def test_python_blocks(document, workplace):
    namespace: dict = {}
    written = None
    for language, text in blocks(document):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, document, "exec"), namespace)
            written = out.getvalue()
        elif language == "text":
            assert written == text


@pytest.mark.parametrize(
    ("document", "made"),
    [
        ("README.md", ["relaxed.xyz", "results.json"]),
        ("docs/compare.md", ["figures/parity.png", "dimer.png"]),
        ("docs/label.md", ["labels.extxyz", "mp2.extxyz", "lj.extxyz"]),
    ],
)
def test_shell_blocks(document, made, workplace, capsys):
    commands = [line for language, text in blocks(document) if language == "sh" for line in text.splitlines()]
    assert commands
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "nddo-ml"
        expanded = [str(p) for a in arguments for p in (sorted(workplace.glob(a)) if "*" in a else [a])]
        with pytest.raises(SystemExit) as left:
            main(expanded)
        assert not left.value.code, capsys.readouterr().err
    assert all(Path(name).stat().st_size > 0 for name in made)


def test_links_lead_somewhere():
    for document in ("README.md", "CONTRIBUTING.md", "docs/optimize.md", "docs/compare.md", "docs/hybrid.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"
