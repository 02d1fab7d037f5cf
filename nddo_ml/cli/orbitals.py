"""``nddo-ml orbitals``: orbitals, bond orders and densities, as tables and files that viewers read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.errors import InputError
from nddo_ml.models.open import as_nddo
from nddo_ml.results.molden import Basis, orbitals_text
from nddo_ml.results.targets import whole
from nddo_ml.workflows.orbitals import Orbitals, grid_around

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

Record = dict[str, Any]
_AROUND = 4  # orbitals below and above the gap in the table
_MARGIN = 4.0  # Å of a cube beyond the atoms

Molden = Annotated[Path | None, typer.Option("--molden", metavar="OUT", help="Orbitals of one molecule, for viewers.")]
Cube = Annotated[Path | None, typer.Option("--cube", metavar="OUT", help="One quantity in space of one molecule.")]
Quantity = Annotated[
    str,
    typer.Option(
        "--of",
        metavar="WHAT",
        help="Of the cube: homo, lumo, homo-1, lumo+2, an orbital's number from 1, density, spin, esp (V).",
    ),
]
Spacing = Annotated[float, typer.Option("--spacing", help="Of the cube's points, Å.")]


@dataclass(frozen=True)
class Fields:
    """Orbital energies, ⟨S²⟩ and bond orders of a batch."""

    model: AbstractModel

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        systems = output.systems_of(structures)
        prediction = self.model(systems)
        if prediction.scf is None:
            raise InputError(f"{self.model.name} has no orbitals; expected a method or a hybrid")
        made = output.outcomes(structures, systems, prediction, self.model, bonds=True)
        scf = prediction.scf
        for k, outcome in enumerate(made):
            levels = [[e for e in spin if np.isfinite(e)] for spin in scf.orbital_energies[k].tolist()]
            outcome["record"] |= {
                "orbital_energies_eV": levels,
                "occupied": scf.n_occupied[k].tolist(),
                "spin_squared": float(scf.spin_squared[k]),
                "bond_orders": outcome.pop("bonds"),
            }
        return made


def orbitals(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    around: Around,
    molden: Molden = None,
    cube: Cube = None,
    of: Quantity = "homo",
    spacing: Spacing = 0.25,
    json: Json = None,
) -> None:
    """Orbital energies, ⟨S²⟩ and bond orders; orbitals, densities and potentials as files.

    In space the orbitals are Löwdin's orthogonalised Slater orbitals. The Molden
    file has them as sums of sixteen Gaussians. The electrostatic potential is
    that of the method's own multipoles, in V.

    Examples:

      nddo-ml orbitals examples/molecules/azulene.xyz --molden azulene.molden

      nddo-ml orbitals examples/molecules/water.xyz --model PM6 --cube potential.cube --of esp
    """
    inputs = [*sources.paths, model, *around.files]
    targets = produce.checked(inputs, json=json, molden=molden, cube=cube)
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    with produce.production(targets, produce.settings_of("orbitals", [loaded], uhf=uhf), report) as run:
        structures = list(produce.read(sources, report, targets))
        keys = run.compute(structures, Fields(loaded), "molecules", Workforce().resources)
        writers = {
            "molden": partial(_write_molden, loaded, structures),
            "cube": partial(_write_cube, loaded, structures, of, spacing),
        }
        run.write_results(keys, targets, _tables, **writers)
    raise typer.Exit(report.exit_code)


def _tables(records: Iterable[Record]) -> Iterator[Table]:
    for r in records:
        name = f"{output.structure_name(r['source'], r['frame'])} {r['formula']}, {r['method']}"
        table = Table(title=escape(f"{name}{environment.said(r['environment'])}: orbitals"), title_justify="left")
        spins = len(r["orbital_energies_eV"])
        table.add_column("orbital", justify="right")
        for column in ("E eV",) if spins == 1 else ("α E eV", "β E eV"):
            table.add_column(column, justify="right")
        occupied = r["occupied"][:spins]
        first = max(0, min(occupied) - _AROUND)
        for k in range(first, min(len(r["orbital_energies_eV"][0]), max(occupied) + _AROUND)):
            cells = [
                f"{levels[k]:.3f}{' •' if k < n else ''}"
                for levels, n in zip(r["orbital_energies_eV"], occupied, strict=True)
            ]
            table.add_row(str(k + 1), *cells)
        pairs = sorted(r["bond_orders"], key=lambda b: -b[2])[:30]
        shown = ", ".join(f"{r['elements'][i]}{i}–{r['elements'][j]}{j} {order:.2f}" for i, j, order in pairs)
        table.caption = f"• occupied; ⟨S²⟩ {r['spin_squared']:.3f}; bond orders {shown}"
        yield table


def _field_of(model: AbstractModel, structures: Sequence[Structure], what: str) -> tuple[Structure, Orbitals]:
    if len(structures) != 1:
        raise InputError(f"--{what}: expected one structure, which is all that this format holds; got more")
    return structures[0], Orbitals.of(as_nddo(model), output.systems_of(structures))


def _write_molden(model: AbstractModel, structures: Sequence[Structure], _: object, path: Path) -> None:
    structure, found = _field_of(model, structures, "molden")
    bases = [Basis(shells) for shells in found.basis()]
    of_spins = (list(values) for values in (found.slater, found.energies, found.occupations))
    lines = orbitals_text(structure.atoms, bases, *of_spins)
    with whole(path) as made:
        made.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_cube(
    model: AbstractModel, structures: Sequence[Structure], of: str, spacing: float, _: object, path: Path
) -> None:
    from ase.io.cube import write_cube

    structure, found = _field_of(model, structures, "cube")
    atoms = structure.atoms.copy()
    points, shape = grid_around(atoms.positions, spacing, _MARGIN)
    values = _values(found, of, points).reshape(shape)
    atoms.set_cell(np.diag(spacing * np.array(shape)))
    with whole(path) as made, made.open("w") as file:
        write_cube(file, atoms, values, origin=points[0], comment=f"{of} of {structure.address} by {model.name}")


def _values(found: Orbitals, of: str, points: np.ndarray) -> np.ndarray:
    """The quantity at the points."""
    if of == "density":
        return found.density_on(points)
    if of == "spin":
        return found.density_on(points, (1, -1)) if len(found.slater) > 1 else np.zeros(len(points))
    if of == "esp":
        return found.potential_on(points)
    return found.on(points, 0, _orbital(found, of))


def _orbital(found: Orbitals, of: str) -> int:
    """The orbital of a name, counted from 0; of open shells the α ones.

    Raises:
        InputError: no such orbital.
    """
    homo = int((found.occupations[0] > 0).sum()) - 1
    name, sign, step = of.replace("−", "-").partition("-" if "-" in of or "−" in of else "+")
    starts = {"homo": homo, "lumo": homo + 1}
    count = found.slater.shape[2]
    try:
        chosen = int(of) - 1 if of.isdigit() else starts[name] + int(f"{sign}{step}" if step else 0)
    except (KeyError, ValueError):
        raise InputError(f"--of: expected homo, lumo+1, a number, density, spin or esp; got {of!r}") from None
    if not 0 <= chosen < count:
        raise InputError(f"--of {of}: expected one of {count} orbitals")
    return chosen
