"""``nddo-ml conformers``: the conformers of the molecules in files, lowest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.optimize import Fmax, Steps
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.results.frames import write_frames
from nddo_ml.results.run import NOT_CONVERGED
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.conformers import conformers as search
from nddo_ml.workflows.optimize import check_limits

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

Record = dict[str, Any]
_SHOWN = 30  # conformers of a molecule in the table

Starts = Annotated[
    int | None,
    typer.Option("--starts", "-n", min=1, max=100_000, help="Starts of each molecule; else by its rotatable bonds."),
]
Window = Annotated[float, typer.Option("--window", help="kcal/mol above the lowest conformer, of those kept.")]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="K, of the Boltzmann weights.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the starts.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Conformers; the suffix is the format.")
]


@dataclass(frozen=True)
class Search:
    """The conformers of molecules, one after the other, all starts of one in a batch."""

    model: AbstractModel
    starts: int | None
    fmax: float
    max_steps: int
    window: float
    temperature: float
    seed: int

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        return [self._of(s) for s in structures]

    def _of(self, structure: Structure) -> Outcome:
        found = search(
            structure.atoms,
            self.model,
            charge=structure.charge,
            multiplicity=structure.multiplicity,
            starts=self.starts,
            fmax=self.fmax,
            max_steps=self.max_steps,
            window=self.window,
            temperature=self.temperature,
            seed=self.seed,
        )
        low = found.energies[0]
        made: Outcome = {
            "record": {
                "source": structure.source,
                "frame": structure.frame,
                "name": structure.name or None,
                "formula": structure.atoms.get_chemical_formula(),
                "elements": list(structure.atoms.symbols),
                "method": self.model.name,
                "charge": structure.charge,
                "multiplicity": structure.multiplicity,
                "environment": environment.record(self.model.environment),
                "temperature_K": self.temperature,
                "starts": found.starts,
                "unrelaxed": found.unrelaxed,
                "reacted": found.reacted,
                "conformers": [
                    {
                        "energy_eV": float(e),
                        "relative_energy_kcal_mol": float(e - low) * EV_KCAL_MOL,
                        "weight": float(w),
                        "found": int(n),
                        "positions_A": a.positions.tolist(),
                    }
                    for e, w, n, a in zip(found.energies, found.weights, found.found, found.frames, strict=True)
                ],
            }
        }
        if found.unrelaxed:
            text = f"{structure.address}: {found.unrelaxed} of {found.starts} starts were not relaxed"
            made["complaints"] = [[NOT_CONVERGED, text]]
        return made


def conformers(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    around: Around,
    starts: Starts = None,
    fmax: Fmax = 0.002,
    max_steps: Steps = 500,
    window: Window = 10.0,
    temperature: Temperature = 298.15,
    seed: Seed = 61_453,
    json: Json = None,
    output_file: Output = None,
    workforce: Workforce,
) -> None:
    """Conformers of the molecules in files, lowest first, with Boltzmann weights.

    Starts by RDKit's distance geometry are relaxed in one batch; structures that
    are the same are found by their energies and shapes, whatever equal atoms
    have changed places. Mirror images are two conformers. Weights are those of
    the energies.

    Examples:

      nddo-ml conformers --smiles CCCCO --output butanol.xyz

      nddo-ml conformers examples/molecules/ibuprofen.xyz --model PM6-D3H4 --window 5 --json ibuprofen.json
    """
    inputs = [*sources.paths, model, *around.files]
    targets = produce.checked(inputs, output=output_file, json=json)
    check_limits(fmax, max_steps)
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"starts": starts, "fmax": fmax, "max_steps": max_steps}
    options |= {"window": window, "temperature": temperature, "seed": seed}
    settings = produce.settings_of("conformers", [loaded], uhf=uhf, **options)
    with produce.production(targets, settings, report) as run:
        structures = produce.read(sources, report, targets)
        work = Search(loaded, **options)
        keys = run.compute(structures, work, "molecules", workforce.resources, most=1)
        run.write_results(keys, targets, _tables, output=_write)
    raise typer.Exit(report.exit_code)


def _tables(records: Iterable[Record]) -> Iterator[Table]:
    for r in records:
        lost = [f"{r['unrelaxed']} not relaxed"] * bool(r["unrelaxed"]) + [f"{r['reacted']} reacted"] * bool(
            r["reacted"]
        )
        count = "; ".join([f"{len(r['conformers'])} conformers of {r['starts']} starts", *lost])
        around = environment.said(r["environment"])
        title = f"{output.structure_name(r['source'], r['frame'])} {r['formula']}, {r['method']}{around}: {count}"
        table = Table(title=escape(title), title_justify="left")
        for name in ("conformer", "E eV", "ΔE kcal/mol", f"weight {r['temperature_K']:g} K", "found"):
            table.add_column(name, justify="right")
        for k, c in enumerate(r["conformers"][:_SHOWN]):
            numbers = f"{c['energy_eV']:.4f}", f"{c['relative_energy_kcal_mol']:.3f}", f"{c['weight']:.4f}"
            table.add_row(str(k), *numbers, str(c["found"]))
        if len(r["conformers"]) > _SHOWN:
            table.caption = f"the lowest {_SHOWN}"
        yield table


def _write(outcomes: Iterable[Outcome], path: Path) -> None:
    write_frames((a for o in outcomes for a in _frames(o["record"])), path)


def _frames(record: Record) -> Iterator[Atoms]:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    told = {key: record[key] for key in ("name", "method", "charge", "multiplicity") if record[key] is not None}
    for k, c in enumerate(record["conformers"]):
        atoms = Atoms(record["elements"], c["positions_A"], info={**told, "conformer": k})
        atoms.info |= {"relative_energy_kcal_mol": c["relative_energy_kcal_mol"], "weight": c["weight"]}
        atoms.calc = SinglePointCalculator(atoms, energy=c["energy_eV"])
        yield atoms
