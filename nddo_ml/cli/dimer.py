"""``nddo-ml dimer``: curves of two atoms by one or several models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import Models
from nddo_ml.results.records import write_records

if TYPE_CHECKING:
    from nddo_ml.compare.dimers import DimerCurve

Element = Annotated[str, typer.Argument(metavar="ELEMENT", help="Symbol of an element.")]
Multiplicity = Annotated[int, typer.Option("--multiplicity", min=0, help="2S + 1; 0: the lowest at every distance.")]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Draw the curves.")]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]


def dimer(
    first: Element,
    second: Element,
    names: Models = None,
    multiplicity: Multiplicity = 0,
    figure: Figure = None,
    json: Json = None,
) -> None:
    """Two atoms from the wall to the tail, relative to the atoms alone.

    Bond length, depth and vibration of the lowest minimum, how many minima
    there are, whether the energy only rises below the first one, the energy
    at 15 Å and the exponent n of the tail there (1/rⁿ).

    Examples:

      nddo-ml dimer N N -m RM1 -m hybrid-chno

      nddo-ml dimer Si Si -m model.pt --figure si2.png
    """
    from nddo_ml.compare.dimers import dimer_curve, draw_dimers

    targets = produce.checked(names or [], json=json, figure=figure)
    chosen: int | Literal["lowest"] = multiplicity or "lowest"
    curves = [dimer_curve(m, first, second, multiplicity=chosen) for m in common.open_models(names)]
    if json is not None:
        write_records(map(_record, curves), targets.files.get("json"))
    if figure is not None:
        draw_dimers(curves, targets.files["figure"])
    table = Table("model", "r_e (Å)", "D_e (eV)", "ω_e (1/cm)", "minima", "wall", "V(15 Å) (eV)", "tail")
    for c in curves:
        numbers = (f"{x:.{d}f}" if x is not None else "–" for x, d in ((c.bond, 3), (c.depth, 3), (c.wavenumber, 0)))
        tail = "–" if c.tail is None else f"{c.tail:.2f}"
        table.add_row(c.model, *numbers, str(len(c.minima)), "yes" if c.wall else "no", f"{c.limit:.4f}", tail)
    common.console(stderr=targets.json_on_standard_output).print(table)


def _record(curve: DimerCurve) -> dict[str, Any]:
    return {
        "model": curve.model,
        "pair": list(curve.pair),
        "distances_angstrom": curve.distances.tolist(),
        "energies_eV": [float(v) if v == v else None for v in curve.energies],
        "multiplicities": curve.multiplicities.tolist(),
        "bond_angstrom": curve.bond,
        "depth_eV": curve.depth,
        "wavenumber_per_cm": curve.wavenumber,
        "minima_angstrom": curve.minima.tolist(),
        "wall": curve.wall,
        "limit_eV": curve.limit,
        "tail_exponent": curve.tail,
    }
