"""``nddo-ml methods``: what can be computed, and whose work it is."""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer
from rich.table import Table

from nddo_ml.cli import common


def methods(json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False) -> None:
    """Methods, their elements and references.

    Examples:

      nddo-ml methods

      nddo-ml methods --json | jq '.[].name'
    """
    from nddo_ml.elements import symbol_of
    from nddo_ml.methods.tables import METHODS

    rows = [
        {
            "name": method.name,
            "description": method.description,
            "elements": [symbol_of(z) for z in sorted(method.elements)],
            "reference": method.citation,
        }
        for method in METHODS.values()
    ]
    if json:
        sys.stdout.write(json_module.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        return
    table = Table(show_lines=True)
    for name in ("method", "elements", "reference"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            f"[bold]{row['name']}[/]\n{row['description']}",
            f"{' '.join(row['elements'])}\n({len(row['elements'])} elements)",
            str(row["reference"]),
        )
    common.console().print(table)
