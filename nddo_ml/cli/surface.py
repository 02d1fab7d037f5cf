"""``nddo-ml surface``: reconstructions of the (100) face of diamond-like crystals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nddo_ml.cli import common, produce
from nddo_ml.results.records import write_object

if TYPE_CHECKING:
    from nddo_ml.workflows.surfaces import Reconstruction

Given = Annotated[list[str], typer.Argument(metavar="MODEL...", help="Methods, shipped models or model files.")]
Element = Annotated[str, typer.Option("--element", metavar="SYMBOL", help="C, Si, Ge or Sn.")]
Layers = Annotated[int, typer.Option("--layers", min=6, max=10_000, help="Layers of the slab: 6, 10, 14 …")]
Anneal = Annotated[float, typer.Option("--anneal", metavar="PS", min=0.0, help="Also cool a noisy ideal slab so long.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the noise and the dynamics.")]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Draw the energies.")]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]


def surface(
    models: Given,
    element: Element = "Si",
    layers: Layers = 10,
    anneal: Anneal = 0.0,
    seed: Seed = 0,
    figure: Figure = None,
    json: Json = None,
) -> None:
    """Reconstructions of the (100) face: do dimers form, do they buckle?

    From the bulk-terminated 1×1 slab to p(2×1) symmetric and buckled, p(2×2)
    and c(4×2), at each model's own lattice constant: energy a dimer relative
    to the bulk-terminated slab, length, tilt and height difference of the
    dimers, and how many atoms are outside the range of the training data.

    Examples:

      nddo-ml surface model.pt

      nddo-ml surface one.pt two.pt --anneal 2 --figure surfaces.png
    """
    from nddo_ml.evaluation.crystals import draw_reconstructions
    from nddo_ml.workflows.surfaces import annealed, reconstructions

    targets = produce.checked(models, json=json, figure=figure)
    found: dict[str, list[Reconstruction]] = {}
    for name, model in zip(models, common.open_models(models), strict=True):
        found[name] = reconstructions(model, element, layers=layers)
        if anneal:
            found[name].append(annealed(model, element, picoseconds=anneal, seed=seed))
    if json is not None:
        write_object({name: [_record(r) for r in rows] for name, rows in found.items()}, targets.files.get("json"))
    if figure is not None:
        draw_reconstructions({name: [rows] for name, rows in found.items()}, targets.files["figure"])
    for name, rows in found.items():
        common.console(stderr=targets.json_on_standard_output).print(_table(name, rows))


def _record(r: Reconstruction) -> dict[str, Any]:
    return {
        "name": r.name,
        "energy_per_dimer_eV": r.energy,
        "dimers": [
            {"length_angstrom": d.length, "buckling_angstrom": d.buckling, "tilt_degrees": d.tilt} for d in r.dimers
        ],
        "converged": r.converged,
        "atoms": len(r.atoms),
        "atoms_outside_training_range": r.outside if r.outside >= 0 else None,
        "symbols": r.atoms.get_chemical_symbols(),
        "positions_angstrom": r.atoms.positions.tolist(),
        "cell_angstrom": r.atoms.cell.tolist(),
    }


def _table(name: str, rows: list[Reconstruction]) -> Table:
    table = Table("", "eV/dimer", "dimers", "length (Å)", "tilt (°)", "Δz (Å)", "atoms outside", title=name)
    for r in rows:
        measures = [f"{r.mean('length'):.3f}", f"{r.mean('tilt'):.1f}", f"{r.mean('buckling'):.2f}"]
        outside = f"{r.outside} of {len(r.atoms)}" if r.outside >= 0 else "–"
        energy = f"{r.energy:.3f}" + ("" if r.converged else " (not converged)")
        table.add_row(r.name, energy, str(len(r.dimers)), *(measures if r.dimers else ["–"] * 3), outside)
    return table
