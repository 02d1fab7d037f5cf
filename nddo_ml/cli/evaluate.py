"""``nddo-ml evaluate``: errors of a model on labelled structures."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A method, a model file or a shipped model.")]
DataFiles = Annotated[list[Path], typer.Argument(metavar="FILES...", help="Labelled structures: extxyz, .db, .h5.")]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="Parity plots.")]
ShiftZero = Annotated[
    bool,
    typer.Option("--fit-zero", help="Fit per-element energies of the data's zero first (another level of theory)."),
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Structures computed at once.")]


def evaluate(
    model: Model,
    files: DataFiles,
    json: Json = None,
    plot: Plot = None,
    fit_zero: ShiftZero = False,
    batch: Batch = 16,
) -> None:
    """MAE and RMSE of a model or method by label, per atom and in total, and by group.

    A frame's group is its `group` or `config_type`; labels that a frame lacks are left out.

    Examples:

      nddo-ml evaluate model.pt test.extxyz

      nddo-ml evaluate model.pt test.extxyz --json - --plot parity.png

      nddo-ml evaluate PM6 test.extxyz --fit-zero
    """
    from nddo_ml.datasets.dataset import load_dataset
    from nddo_ml.evaluation.tables import check_elements, summarize, tabulate, with_fitted_zero
    from nddo_ml.models.open import open_model

    loaded = open_model(model)
    data = load_dataset(files)
    check_elements(loaded, data)
    if fit_zero:
        data = with_fitted_zero(loaded, data, batch)
    tables = tabulate(loaded, data, batch)
    errors = {"model": model, "files": [str(f) for f in files], **summarize(tables, data)}
    if plot is not None:
        from nddo_ml.evaluation.figures import parity, save_figure

        save_figure(parity(tables, data, title=loaded.name), plot)
    if json == "-":
        typer.echo(json_module.dumps(errors, indent=1))
        return
    if json is not None:
        Path(json).write_text(json_module.dumps(errors, indent=1) + "\n")
    Console().print(error_table(errors))


def error_table(errors: dict[str, Any]) -> Table:
    """Errors as a table: a row a label, and a row a group below it."""
    table = Table(title=f"{errors['structures']} structures")
    for name in ("label", "unit", "MAE", "RMSE", "largest", "values"):
        table.add_column(name, justify="left" if name in ("label", "unit") else "right")
    for label, entry in errors["labels"].items():
        rows = [
            (label.replace("_", " "), entry),
            *((f"  {g}", e) for g, e in entry.get("groups", {}).items()),
        ]
        for name, e in rows:
            values = [f"{e[k]:.5g}" for k in ("mae", "rmse", "max")]
            table.add_row(name, entry["unit"], *values, str(e["n"]))
        if "note" in entry:
            e = entry["with_components_in_order"]
            values = [f"{e[k]:.5g}" for k in ("mae", "rmse", "max")]
            table.add_row("  in order", entry["unit"], *values, str(e["n"]))
            table.caption = f"Note: {entry['note']}."
    return table
