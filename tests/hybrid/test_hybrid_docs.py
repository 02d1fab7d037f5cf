"""The Python blocks of docs/hybrid.md print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_python_blocks() -> None:
    text = (ROOT / "docs" / "hybrid.md").read_text(encoding="utf-8")
    pairs = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", text, re.M | re.S)
    assert len(pairs) == 3
    names: dict = {}
    for code, expected in pairs:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, "docs/hybrid.md", "exec"), names)
        assert out.getvalue() == expected
