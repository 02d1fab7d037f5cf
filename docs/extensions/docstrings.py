"""What the reference reads from the source beside docstrings as they are.

Fields of dataclasses are described by the comment at their end: ``energy: Tensor  # [systems] eV`` becomes a line of
the list of fields below the class's text. A section "Raises (when …):" counts as "Raises:".
"""

from __future__ import annotations

import ast
import inspect
import io
import re
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


def _add_fields(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what != "class" or not inspect.isclass(obj):
        return
    try:
        found = comments(obj.__module__)
    except (ImportError, OSError, TypeError):  # no source
        return
    fields = {field: text for (owner, field), text in found.items() if owner == obj.__name__ and field[0] != "_"}
    if fields:
        lines += [
            "",
            ":Fields:",
            *(f"    * **{_plain(field)}** – {_plain(text)}" for field, text in fields.items()),
            "",
        ]


def _name_sections(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [re.sub(r"^(\s*Raises) \(when \w+\):$", r"\1:", line) for line in lines]


def _plain(text: str) -> str:
    """Text without meaning for reStructuredText, code in backticks aside."""
    parts = re.split(r"(``[^`]+``)", text)
    return "".join(p if k % 2 else re.sub(r"([\\\\*|_`])", r"\\\1", p) for k, p in enumerate(parts))


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _name_sections, priority=300)  # before napoleon, which reads sections
    app.connect("autodoc-process-docstring", _add_fields, priority=700)
    return {"parallel_read_safe": True}
