"""``nddo-ml compare``: the same structures by several models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from nddo_ml.cli import common, output
from nddo_ml.cli.common import Charge, Files, Json, Models, Multiplicity, NoPbc, Smiles, Uhf
from nddo_ml.compare.answers import Answers, Extrapolation
from nddo_ml.compare.comparison import ZEROS, Comparison
from nddo_ml.compare.comparison import compare as run
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.errors import InputError
from nddo_ml.labelling.level import Level
from nddo_ml.structures.structure import Structure, addressed
from nddo_ml.systems import Systems
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

SHOWN = 24  # structures in the table; JSON has all
DEFAULT = Level()
ERROR_UNITS = {
    "energy": "kcal/mol",
    "relative energy": "kcal/mol",
    "forces": "kcal/mol/Å",
    "dipole": "D",
    "charges": "e",
}

RelativeTo = Annotated[
    str | None,
    typer.Option("--relative-to", help=f"{', '.join(ZEROS)}; else first for frames of one formula, atoms for others."),
]
PySCF = Annotated[bool, typer.Option("--pyscf", help="By density functional theory too (needs PySCF).")]
Functional = Annotated[str, typer.Option("--functional", help="With --pyscf.")]
Basis = Annotated[str, typer.Option("--basis", help="With --pyscf.")]
Summary = Annotated[bool, typer.Option("--summary", help="Only the table of the models, not of the structures.")]
Figures = Annotated[Path | None, typer.Option("--figures", metavar="FOLDER", help="Parity plots; a curve of a scan.")]


def compare(
    files: Files = None,
    models: Models = None,
    relative_to: RelativeTo = None,
    pyscf: PySCF = False,
    functional: Functional = DEFAULT.functional,
    basis: Basis = DEFAULT.basis,
    charge: Charge = None,
    multiplicity: Multiplicity = None,
    no_pbc: NoPbc = False,
    smiles: Smiles = None,
    uhf: Uhf = False,
    summary: Summary = False,
    json: Json = None,
    figures: Figures = None,
) -> None:
    """Methods, hybrids and potentials side by side on the same structures.

    Energies, forces, dipoles, charges and time; where the frames carry labels,
    the deviations from them (without labels, from PySCF if it was asked for).
    Energies are compared after per-element energies are fitted, and relative
    to the first frame of the same formula. A potential says where it
    extrapolates. Exit code 1 when some field did not converge, 2 when some
    structure was refused by some model.

    Examples:

      nddo-ml compare molecules.xyz

      nddo-ml compare labelled.extxyz --model PM6 --model runs/a/model.pt --figures figures --json results.json

      nddo-ml compare conformers.xyz --model PM3 --model hybrid-chno --pyscf
    """
    output.check_writable(json)
    loaded = common.open_models(models, uhf)
    console = common.console(stderr=True)
    report = common.Report(console)
    found = common.read(files, report, charge, multiplicity, no_pbc=no_pbc, smiles=smiles)
    structures = checked(found, charge, multiplicity, report)
    if not structures:
        raise typer.Exit(report.exit_code)
    level = Level(functional, basis) if pyscf else None
    total = len(structures) * (len(loaded) + pyscf)
    with common.progress("structures", total, console) as advance:
        frames = [s.atoms for s in structures]
        comparison = run(loaded, frames, relative_to=relative_to, level=level, advance=advance)
    tell_failures(comparison.answers, structures, report)
    if json is not None:
        output.write_json(record(comparison, structures), json)
    out = common.console(stderr=json == "-")
    if not summary:
        out.print(structure_table(comparison, structures))
    out.print(summary_table(comparison))
    if figures is not None:
        from nddo_ml.compare.figures import write_figures

        written = write_figures(comparison, frames, figures)
        names = ", ".join(str(p) for p in written) or "none: a parity plot needs labels or a second model"
        console.print(f"figures: {names}", highlight=False)
    raise typer.Exit(report.exit_code)


def checked(
    structures: list[Structure], charge: int | None, multiplicity: int | None, report: common.Report
) -> list[Structure]:
    """Copies with charge and multiplicity in ``info``, without those that cannot be computed, which are reported."""
    good = []
    for structure in structures:
        atoms = structure.atoms.copy()
        atoms.calc = structure.atoms.calc
        for key, value in (("charge", charge), ("multiplicity", multiplicity)):
            if value is not None:
                atoms.info[key] = value
        try:
            Systems.from_ase(atoms)
            from_frames([atoms], structure.source)
        except InputError as error:
            message = str(error).replace(f"{structure.source}, frame 0", structure.address, 1)
            report.wrong_input(addressed(message, [structure]))
            continue
        good.append(replace(structure, atoms=atoms))
    return good


def tell_failures(answers: list[Answers], structures: list[Structure], report: common.Report) -> None:
    """Say which structures a model has no answer for, and why."""
    for source in answers:
        for k, reason in source.failures.items():
            tell = report.not_converged if k in source.unconverged else report.wrong_input
            tell(f"{structures[k].address}: {source.name}: {reason}")


def record(comparison: Comparison, structures: list[Structure]) -> dict[str, Any]:
    """Everything, as plain data."""
    sources = [*comparison.answers]
    if comparison.reference is not None and all(a is not comparison.reference for a in sources):
        sources.append(comparison.reference)
    return {
        "relative_to": comparison.relative_to,
        "reference": None if comparison.reference is None else comparison.reference.name,
        "models": [
            {
                "name": a.name,
                "seconds_per_structure": a.seconds,
                "failures": len(a.failures),
                "extrapolating_structures": None if a.extrapolations is None else len(a.extrapolations),
                "errors": {q: {"unit": ERROR_UNITS[q], **e} for q, e in comparison.errors(a).items()},
            }
            for a in comparison.answers
        ],
        "structures": [
            {
                "source": s.source,
                "frame": s.frame,
                "formula": s.atoms.get_chemical_formula(),
                "results": {a.name: result(a, comparison, k) for a in sources},
            }
            for k, s in enumerate(structures)
        ],
    }


def result(answers: Answers, comparison: Comparison, k: int) -> dict[str, Any]:
    """What one source says of one structure."""
    systems = comparison.data.systems
    _, atoms = systems.select_with_atoms(systems.charge.new_tensor([k]))
    vector = None if answers.dipole is None else _item(answers.dipole * DEBYE_PER_E_ANGSTROM, k)
    outside = None if answers.extrapolations is None else answers.extrapolations.get(k)
    return {
        "energy_eV": _item(answers.energy, k),
        "relative_energy_kcal_mol": _item(comparison.relative(answers) * EV_KCAL_MOL, k),
        "forces_eV_A": _item(answers.forces, atoms),
        "charges_e": _item(answers.charges, atoms),
        "dipole_vector_D": vector,
        "dipole_D": None if vector is None else sum(x * x for x in vector) ** 0.5,
        "failure": answers.failures.get(k),
        "extrapolation": None if outside is None else _extrapolation(outside),
    }


def structure_table(comparison: Comparison, structures: list[Structure]) -> Table:
    """A line a structure and source; the force is that of the atom with the largest."""
    sources = [*comparison.answers]
    if comparison.reference is not None and comparison.reference.name == "labels":
        sources.append(comparison.reference)
    table = Table(title=f"energies relative to {ZEROS[comparison.relative_to]}", title_justify="left")
    for name in ("structure", "formula", "model"):
        table.add_column(name, overflow="fold")
    for name in ("energy kcal/mol", "force kcal/mol/Å", "dipole D", "charges e"):
        table.add_column(name, justify="right")
    table.add_column("remark")
    for k, structure in enumerate(structures[:SHOWN]):
        name = Path(structure.source).name + (f" [{structure.frame}]" if structure.frame else "")
        for line, source in enumerate(sources):
            first = (name, structure.atoms.get_chemical_formula()) if line == 0 else ("", "")
            last = line == len(sources) - 1
            table.add_row(*map(escape, [*first, *_cells(source, comparison, k)]), end_section=last)
    notes = [f"{a.name} extrapolates at isolated atoms" for a in comparison.answers if a.atoms_extrapolated]
    if len(structures) > SHOWN:
        notes.append(f"{len(structures) - SHOWN} more structures: --json has all")
    table.caption = "; ".join(notes) or None
    return table


def summary_table(comparison: Comparison) -> Table:
    """A line a source: time, failures, extrapolations, and mean absolute deviations where there is a reference."""
    errors = {a.name: comparison.errors(a) for a in comparison.answers}
    quantities = [q for q in ERROR_UNITS if any(q in e for e in errors.values())]
    reference = comparison.reference
    title = "time" if reference is None else f"time, and mean absolute deviations from {_called(reference)}"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for name in ("ms a structure", "failed", "extrapolates", *(f"{q} {ERROR_UNITS[q]}" for q in quantities)):
        table.add_column(name, justify="right")
    judged = [a for a in comparison.answers if a is not reference]
    best = {q: min((errors[a.name][q]["mae"] for a in judged if q in errors[a.name]), default=None) for q in quantities}
    for a in comparison.answers:
        cells = [escape(a.name), "–" if a.seconds is None else f"{1000 * a.seconds:.1f}", str(len(a.failures))]
        cells.append("–" if a.extrapolations is None else f"{len(a.extrapolations)} of {len(comparison.data)}")
        for q in quantities:
            error = errors[a.name].get(q) if a in judged else None
            star = "*" if error and len(judged) > 1 and error["mae"] == best[q] else ""
            cells.append(f"{error['mae']:.3g}{star}" if error else "–")
        table.add_row(*cells)
    if quantities and len(judged) > 1:
        table.caption = "* nearest to the reference. energy: after a fit of per-element energies."
    return table


def _cells(source: Answers, comparison: Comparison, k: int) -> list[str]:
    values = result(source, comparison, k)
    forces, charges = values["forces_eV_A"], values["charges_e"]
    largest = None if forces is None else max(sum(x * x for x in f) for f in forces) ** 0.5 * EV_KCAL_MOL
    outside = values["extrapolation"]
    remark = "no result" if values["failure"] else ""
    if outside is not None:
        remark = f"extrapolates: {len(outside['atoms'])} atom{'s' * (len(outside['atoms']) > 1)}"
    return [
        source.name,
        output.number(values["relative_energy_kcal_mol"], 2),
        output.number(largest, 2),
        output.number(values["dipole_D"], 2),
        "–" if charges is None else f"{min(charges):+.2f} to {max(charges):+.2f}",
        remark,
    ]


def _extrapolation(e: Extrapolation) -> dict[str, Any]:
    finite = e.excess != float("inf")
    return {
        "atoms": e.atoms,
        "functions": e.functions,
        "worst": f"atom {e.worst.atom} ({e.worst.element}): {e.worst.function}",
        "excess_over_range": e.excess if finite else None,
    }


def _called(reference: Answers) -> str:
    return "the labels" if reference.name == "labels" else reference.name


def _item(values: Tensor | None, index: int | Tensor) -> Any:
    """Numbers of one structure; None where there are none."""
    if values is None or bool(values[index].isnan().any()):
        return None
    return values[index].tolist()
