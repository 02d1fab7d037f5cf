"""``nddo-ml evaluate``: errors of a model on labelled structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from nddo_ml.cli import common, environment, produce
from nddo_ml.cli.common import Ignore, NamedModel
from nddo_ml.cli.environment import Around
from nddo_ml.results.records import write_object

DataFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODEL] FILES...",
        help="Without --model the model; labelled structures: extxyz, .db, .h5, n2p2's .data.",
    ),
]
EnergyUnit = Annotated[str, typer.Option("--energy-unit", help="Of the files: eV, meV, hartree, kcal/mol, kJ/mol.")]
LengthUnit = Annotated[str, typer.Option("--length-unit", help="Of the files: angstrom, bohr, nm.")]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="Parity plots.")]
ShiftZero = Annotated[
    bool,
    typer.Option("--fit-zero", help="Fit per-element energies of the data's zero first (another level of theory)."),
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Structures computed at once.")]


def evaluate(
    *,
    given: DataFiles,
    name: NamedModel = None,
    json: Json = None,
    plot: Plot = None,
    fit_zero: ShiftZero = False,
    batch: Batch = 16,
    ignore_charge_and_spin: Ignore = False,
    around: Around,
    energy_unit: EnergyUnit = "eV",
    length_unit: LengthUnit = "angstrom",
) -> None:
    """MAE and RMSE of a model or method by label, per atom and in total, and by group.

    A frame's group is its `group` or `config_type`; labels that a frame lacks are left out.
    Energies are compared as they are, and beside that after per-element energies are
    fitted, as data of another level of theory, or of a method, need it.

    Examples:

      nddo-ml evaluate PM6 examples/molecules/displaced.extxyz

      nddo-ml evaluate examples/molecules/displaced.extxyz --model nnp-chno --json - --plot parity.png

      nddo-ml evaluate hybrid-chno examples/molecules/displaced.extxyz --fit-zero

      nddo-ml evaluate model.pt input.data --energy-unit hartree --length-unit bohr
    """
    model, files = common.model_and_files(given, name)
    targets = produce.checked([*files, model, *around.files], json=json, plot=plot)
    from nddo_ml.datasets.dataset import Source, load_dataset
    from nddo_ml.evaluation.tables import check_elements, summarize, tabulate, with_fitted_zero, zero_fitted_errors

    surroundings = around.environment()
    loaded = common.load_model(model, surroundings=surroundings, ignore=ignore_charge_and_spin)
    data = load_dataset(Source(str(f), energy_unit=energy_unit, length_unit=length_unit) for f in files)
    check_elements(loaded, data)
    if fit_zero:
        data = with_fitted_zero(loaded, data, batch)
    tables = tabulate(loaded, data, batch)
    about = {"model": model, "files": [str(f) for f in files], "environment": environment.record(loaded.environment)}
    errors = {**about, **summarize(tables, data)}
    if not fit_zero:
        for label, entry in zero_fitted_errors(tables, data).items():
            errors["labels"][label]["with_fitted_zero"] = entry
    if json is not None:
        write_object(errors, targets.files.get("json"))
    common.console(stderr=json == "-").print(error_table(errors))
    if plot is not None:
        from nddo_ml.evaluation.figures import parity, save_figure

        save_figure(parity(tables, data, title=loaded.name), plot)


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
        if "with_fitted_zero" in entry:
            e = entry["with_fitted_zero"]
            table.add_row("  zero fitted", entry["unit"], *(f"{e[k]:.5g}" for k in ("mae", "rmse", "max")), str(e["n"]))
        if "note" in entry:
            e = entry["with_components_in_order"]
            values = [f"{e[k]:.5g}" for k in ("mae", "rmse", "max")]
            table.add_row("  in order", entry["unit"], *values, str(e["n"]))
            table.caption = f"Note: {entry['note']}."
    return table
