"""All studies as one HTML page that needs nothing else: pictures, data and the viewer's script stand inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from benchmarks.studies.frame.study import write_whole
from nddo_ml.evaluation.figures import three_figures

TEMPLATE = Path(__file__).with_name("report.html")


def write_report(path: Path, entries: Sequence[dict[str, Any]], viewer: Path | None = None) -> None:
    """Write the page.

    Args:
        path: HTML file; the figures are in the folders of the studies beside it.
        entries: of :func:`~benchmarks.studies.frame.runner.run_all`.
        viewer: ``3Dmol-min.js`` of the npm package 3dmol (BSD-3): molecules can be turned with it; without, they are
            coordinates to unfold.
    """
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["figures"] = lambda x: _short(x) if isinstance(x, float) else x
    script = viewer.read_text(encoding="utf-8").replace("</script", "<\\/script") if viewer else ""
    text = page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        studies=[_with_pictures(entry, path.parent / entry["name"]) for entry in entries],
        total=sum(entry["seconds"] for entry in entries),
        viewer=script,
    )
    write_whole(path, text)


def _short(value: float) -> str:
    return f"{value:.2g}" if 0 < abs(value) < 1e-3 else three_figures(value)


def _with_pictures(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with the figures' files as addresses that hold the picture, and molecules as xyz."""
    if "error" in entry:
        return entry
    figures = [(_address(folder / name), caption) for name, caption in entry["figures"].items()]
    return {**entry, "figures": figures, "molecules": [_molecule(m) for m in entry["molecules"]]}


def _address(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"


def _molecule(entry: dict[str, Any]) -> dict[str, Any]:
    atoms = zip(entry["symbols"], entry["positions"], strict=True)
    lines = [f"{s} {x:.4f} {y:.4f} {z:.4f}" for s, (x, y, z) in atoms]
    return {"title": entry["title"], "xyz": "\n".join([str(len(lines)), "", *lines]), "values": entry["values"]}
