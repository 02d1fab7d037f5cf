"""The Python blocks of docs/hybrid.md run in order and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from nddo_ml.training.config import read_config

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


def test_recipes_can_be_read() -> None:
    kinds = {path.stem: read_config(path).model.kind for path in (ROOT / "recipes").glob("*_*.toml")}
    assert kinds == {"hybrid_chno": "nddo", "hybrid_reactive": "delta", "nnp_chno": "nnp"}
