"""Fields of dataclasses are described by the comment at their end; the reference shows it.

``energy: Tensor  # [systems] eV`` in the source becomes the text of the field ``energy``.
"""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from functools import cache
from importlib import import_module
from typing import Any


@cache
def comments(module: str) -> dict[tuple[str, str], str]:
    """Comment of every annotated name of a module's classes, by class and name."""
    source = inspect.getsource(import_module(module))
    at_line: dict[int, str] = {}
    alone: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            at_line[token.start[0]] = token.string.removeprefix("#").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    found = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                line = item.end_lineno or item.lineno
                parts = [at_line[line]] if line in at_line else []
                while parts and line + 1 in alone:
                    line += 1
                    parts.append(at_line[line])
                if parts:
                    found[node.name, item.target.id] = " ".join(parts)
    return found


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what != "attribute" or any(lines):
        return
    path, _, field = name.rpartition(".")
    module, _, owner = path.rpartition(".")
    try:
        text = comments(module).get((owner, field))
    except (ImportError, OSError, TypeError):
        return
    if text:
        lines[:] = [text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("_", "\\_")]


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
