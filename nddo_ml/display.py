"""What notebooks show: tables, and a small three-dimensional view where py3Dmol is installed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import import_module
from importlib.util import find_spec

SHOWN = 20  # rows of a table
_SIZE = 320  # pixels of a view


def html_table(header: Sequence[str], rows: Sequence[Sequence[object]], n_rows: int) -> str:
    """The first rows of a table that has ``n_rows``, and how many are left out."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows[:SHOWN])
    more = f"<p>… and {n_rows - SHOWN} more</p>" if n_rows > SHOWN else ""
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table>{more}"


def html_view(symbols: Sequence[str], positions: Sequence[Sequence[float]]) -> str:
    """A view of one structure that can be turned, with positions in Å; nothing without py3Dmol."""
    if find_spec("py3Dmol") is None:
        return ""
    lines = [f"{s} {x:.5f} {y:.5f} {z:.5f}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    view = import_module("py3Dmol").view(width=_SIZE, height=_SIZE)
    view.addModel("\n".join([str(len(lines)), "", *lines]), "xyz")
    view.setStyle({"stick": {"radius": 0.12}, "sphere": {"scale": 0.25}})
    view.zoomTo()
    html: str = view.write_html()
    return html
