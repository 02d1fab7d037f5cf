"""``nddo-ml models``: what can be computed, and whose work it is."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from nddo_ml.cli import common


def models(json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False) -> None:
    """Methods and shipped models, their elements and references: the names that --model takes.

    A file of a trained model is named by its path.

    Examples:

      nddo-ml models

      nddo-ml models --json | jq '.[].name'
    """
    rows = [*_methods(), *_shipped()]
    if json:
        sys.stdout.write(json_module.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        return
    table = Table(show_lines=True)
    for name in ("model", "elements", "reference"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            f"[bold]{row['name']}[/]\n{row['description']}",
            f"{' '.join(row['elements'])}\n({len(row['elements'])} elements)",
            str(row["reference"]) + (f"\nlimits: {row['limits']}" if row["limits"] else ""),
        )
    common.console().print(table)


methods = models  # the command's old name


def _methods() -> list[dict[str, Any]]:
    from nddo_ml.elements import symbol_of
    from nddo_ml.methods.tables import METHODS

    return [
        {
            "name": method.name,
            "kind": "method",
            "description": method.description,
            "elements": [symbol_of(z) for z in sorted(method.elements)],
            "reference": method.citation,
            "limits": None,
        }
        for method in METHODS.values()
    ]


def _shipped() -> list[dict[str, Any]]:
    """The models that come with the package, from their cards."""
    from nddo_ml.elements import symbol_of
    from nddo_ml.models.saved import load_model, read_card, shipped_models

    rows = []
    for name in shipped_models():
        card = read_card(name)
        rows.append(
            {
                "name": name,
                "kind": "shipped model",
                "description": card.get("model", ""),
                "elements": [symbol_of(z) for z in sorted(load_model(name).elements)],
                "reference": f"{card.get('level', '')}; {card.get('data_source', '')}",
                "limits": card.get("limits"),
            }
        )
    return rows
