"""The Python blocks of docs/nnp.md run and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_python_blocks(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "nnp.md").read_text(encoding="utf-8")
    pairs = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", text, re.M | re.S)
    assert pairs
    for code, expected in pairs:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, "docs/nnp.md", "exec"), {})
        assert out.getvalue() == expected
