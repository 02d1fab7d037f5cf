"""``nddo-ml solid``: lattice, equation of state, elastic constants and thermal expansion of crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import NamedModel
from nddo_ml.errors import InputError
from nddo_ml.results.records import write_records

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

Given = Annotated[list[str], typer.Argument(metavar="[MODEL] FILES...", help="Without --model the model; crystals.")]
Expansion = Annotated[
    bool, typer.Option("--expansion", help="Phonons, thermal expansion, Grüneisen parameters (needs phonopy).")
]
Supercell = Annotated[int, typer.Option("--supercell", min=1, max=100, help="Cells each way for the phonons.")]
Strain = Annotated[float, typer.Option("--strain", help="Strain for the elastic constants.")]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]


def solid(
    given: Given,
    name: NamedModel = None,
    expansion: Expansion = False,
    supercell: Supercell = 3,
    strain: Strain = 0.005,
    json: Json = None,
) -> None:
    """Relax crystals; bulk modulus, equation of state, elastic constants.

    Elastic constants are with the atoms relaxed in every strained cell, and
    beside them with the atoms clamped, in the crystal's conventional axes
    whatever the file's are. Moduli are in GPa.

    Examples:

      nddo-ml solid model.pt silicon.cif

      nddo-ml solid model.pt silicon.cif --expansion --supercell 4 --json -
    """
    from nddo_ml.models.saved import load_model
    from nddo_ml.workflows.calculator import NDDOCalculator
    from nddo_ml.workflows.solids import RelaxationError

    model, files = common.model_and_files(given, name)
    targets = produce.checked([model, *files], json=json)
    report = common.Report(common.console(stderr=True))
    loaded = load_model(model)
    records = []
    for structure in produce.read(produce.Sources(files=[str(f) for f in files]), report, targets):
        try:
            record = _properties(structure.atoms, NDDOCalculator(loaded), strain, supercell if expansion else 0)
        except InputError as error:
            report.wrong_input(f"{structure.address}: {error}")
        except RelaxationError as error:
            report.not_converged(f"{structure.address}: {error}")
        else:
            records.append({"structure": structure.address, **record})
    if json is not None:
        write_records(records, targets.files.get("json"))
    for record in records:
        _show(record, common.console(stderr=targets.json_on_standard_output))
    raise typer.Exit(report.exit_code)


def _properties(atoms: Atoms, calculator: Calculator, strain: float, supercell: int) -> dict[str, Any]:
    from nddo_ml.workflows.phonons import phonons, thermal_expansion
    from nddo_ml.workflows.solids import elastic_constants, equation_of_state, relax

    cell = relax(atoms, calculator)
    state = equation_of_state(cell, calculator)
    elastic = elastic_constants(cell, calculator, strain=strain)
    clamped = elastic_constants(cell, calculator, strain=strain, internal=False)
    record = {
        "cell_angstrom": cell.cell.cellpar().tolist(),
        "energy_per_atom_eV": cell.get_potential_energy() / len(cell),
        "volume_per_atom_angstrom3": cell.get_volume() / len(cell),
        "bulk_modulus_eos_GPa": state.bulk_modulus,
        "bulk_modulus_voigt_GPa": elastic.bulk_voigt,
        "bulk_modulus_reuss_GPa": elastic.bulk_reuss,
        "shear_modulus_voigt_GPa": elastic.shear_voigt,
        "shear_modulus_reuss_GPa": elastic.shear_reuss,
        "elastic_constants_GPa": elastic.constants.tolist(),
        "elastic_constants_clamped_GPa": clamped.constants.tolist(),
        "space_group": elastic.space_group,
        "elastic_constants_axes": "conventional, symmetrised by the point group",
        "elastic_constants_asymmetry_GPa": elastic.asymmetry,
        "stable": elastic.is_stable,
    }
    if supercell:
        found = thermal_expansion(cell, calculator, supercell=(supercell,) * 3)
        modes = phonons(cell, calculator, {"Γ": (0, 0, 0)}, supercell=(supercell,) * 3)
        record["phonons_at_gamma_THz"] = modes.frequencies["Γ"].tolist()
        record["thermal_expansion"] = {
            "temperature_K": found.temperatures.tolist(),
            "volumetric_per_K": found.expansion.tolist(),
            "volume_angstrom3": found.volumes.tolist(),
            "bulk_modulus_GPa": found.bulk_modulus.tolist(),
            "gruneisen": [g if np.isfinite(g) else None for g in found.gruneisen.tolist()],
        }
    return record


def _show(record: dict[str, Any], out: Console) -> None:
    a, b, c, *angles = record["cell_angstrom"]
    out.print(f"[bold]{record['structure']}[/bold]")
    out.print(f"cell {a:.4f} {b:.4f} {c:.4f} Å, " + " ".join(f"{x:.2f}°" for x in angles))
    out.print(
        f"energy {record['energy_per_atom_eV']:.4f} eV/atom, volume {record['volume_per_atom_angstrom3']:.3f} Å³/atom"
    )
    out.print(
        f"bulk modulus {record['bulk_modulus_eos_GPa']:.1f} GPa (equation of state), "
        f"{record['bulk_modulus_voigt_GPa']:.1f} (Voigt); shear {record['shear_modulus_voigt_GPa']:.1f} GPa (Voigt)"
    )
    out.print(
        f"elastic constants in the conventional axes of {record['space_group']}, symmetrised by its point group, which "
        f"changed them by up to {record['elastic_constants_asymmetry_GPa']:.2g} GPa",
        highlight=False,
    )
    for name, key in (("relaxed", "elastic_constants_GPa"), ("clamped", "elastic_constants_clamped_GPa")):
        out.print(f"elastic constants, {name}, GPa")
        for row in np.asarray(record[key]):
            out.print("  " + " ".join(f"{x:8.1f}" for x in row), highlight=False)
    if "thermal_expansion" in record:
        table = record["thermal_expansion"]
        for t in (100, 200, 300, 500, 800):
            alpha = np.interp(t, table["temperature_K"], table["volumetric_per_K"])
            gamma = np.interp(t, table["temperature_K"], np.array(table["gruneisen"], dtype=float))
            out.print(
                f"thermal expansion at {t} K: {alpha * 1e6 / 3:.2f}e-6 /K (linear), Grüneisen parameter {gamma:.2f}",
                highlight=False,
            )
