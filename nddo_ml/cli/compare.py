"""``nddo-ml compare``: the same structures by several models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import answering, common, environment, output, produce
from nddo_ml.cli.common import Ignore, Json, Models, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.compare.answers import extrapolates_at_atoms, pyscf_atom_energies
from nddo_ml.compare.comparison import ZEROS
from nddo_ml.compare.streamed import LABELS, Kept, StreamedComparison
from nddo_ml.errors import InputError
from nddo_ml.labelling.level import Level
from nddo_ml.results.records import write_object
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

if TYPE_CHECKING:
    from nddo_ml.environments.embedding import Environment
    from nddo_ml.models.base import AbstractModel

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
    *,
    sources: Sources,
    models: Models = None,
    relative_to: RelativeTo = None,
    pyscf: PySCF = False,
    functional: Functional = DEFAULT.functional,
    basis: Basis = DEFAULT.basis,
    uhf: Uhf = False,
    ignore_charge_and_spin: Ignore = False,
    around: Around,
    summary: Summary = False,
    json: Json = None,
    figures: Figures = None,
    workforce: Workforce,
) -> None:
    """Methods, hybrids and potentials side by side on the same structures.

    Energies, forces, dipoles, charges and time; where the frames carry labels,
    the deviations from them (without labels, from PySCF if it was asked for).
    Energies are compared after per-element energies are fitted, and relative
    to the first frame of the same formula. A potential says where it
    extrapolates. Exit code 1 when some field did not converge, 2 when some
    structure was refused by some model. With --json OUT, results are kept in
    OUT.part as they come: the same command goes on after an interruption.

    Examples:

      nddo-ml compare examples/molecules/*.xyz

      nddo-ml compare examples/molecules/displaced.extxyz --model PM6 --model nnp-chno --figures figures --json all.json

      nddo-ml compare examples/water_dimer.xyz --model PM3 --model hybrid-chno --pyscf
    """
    targets = produce.checked([*sources.paths, *(models or ()), *around.files], json=json)
    if relative_to is not None and relative_to not in ZEROS:
        raise InputError(f"energies may be relative to {', '.join(ZEROS)}; got {relative_to!r}")
    surroundings = around.environment()
    level = _checked(Level(functional, basis), surroundings) if pyscf else None
    loaded = tuple(common.open_models(models, uhf, surroundings, ignore_charge_and_spin))
    report = common.Report(common.console(stderr=True))
    settings = produce.settings_of("compare", loaded, uhf=uhf, pyscf=level.description if level else None)
    with produce.production(targets, settings, report) as run:
        structures = produce.read(sources, report, targets)
        work = answering.Answering(loaded, level)
        most = answering.CHUNK if level is None else 1
        keys = run.compute(structures, work, "structures", workforce.resources, most)
        comparison = compared(partial(run.blocks, keys), loaded, level, relative_to)
        if comparison is None:
            raise typer.Exit(report.exit_code)
        path = targets.files.get("json")
        if json is not None:
            structures_of = (structure_record(comparison, kept) for kept in comparison.structures())
            about = {**record(comparison), "environment": environment.record(surroundings)}
            run.write({"json": lambda: write_object(about, path, structures=structures_of)})
        tables = [summary_table(comparison)] if summary else [structure_table(comparison), summary_table(comparison)]
        common.console(stderr=json == "-").print(*tables, sep="\n")
        if figures is not None:
            draw(comparison, figures, report)
    raise typer.Exit(report.exit_code)


def _checked(level: Level, surroundings: Environment | None) -> Level:
    if surroundings is not None:
        raise InputError("--pyscf is of molecules alone; expected no --field, --charges or --solvent beside it")
    level.check()
    return level


def compared(
    blocks: Callable[[], Iterator[Sequence[Kept]]],
    models: Sequence[AbstractModel],
    level: Level | None,
    relative_to: str | None,
) -> StreamedComparison | None:
    """The comparison of what a run kept; None of no structure."""
    names = [m.name for m in models]
    made = StreamedComparison(blocks, names if level is None else [*names, answering.name_of(level)], relative_to)
    if not made.count:
        return None
    if made.relative_to == "atoms":
        for model in models:
            source = made.sources[model.name]
            source.atoms = model.isolated_energies(made.elements)
            source.atoms_extrapolated = extrapolates_at_atoms(model, made.elements)
        if level is not None:
            made.sources[answering.name_of(level)].atoms = pyscf_atom_energies(level, made.elements)
    made.judge(None if level is None else answering.name_of(level))
    return made


def record(comparison: StreamedComparison) -> dict[str, Any]:
    """Everything but the structures, as plain data."""
    judged = [s for s in comparison.sources.values() if s.name != LABELS]
    return {
        "relative_to": comparison.relative_to,
        "reference": comparison.reference,
        "models": [
            {
                "name": s.name,
                "seconds_per_structure": s.seconds if s.timed else None,
                "failures": s.failures,
                "extrapolating_structures": s.extrapolating,
                "errors": {q: {"unit": ERROR_UNITS[q], **e} for q, e in comparison.errors.get(s.name, {}).items()},
            }
            for s in judged
        ],
    }


def structure_record(comparison: StreamedComparison, kept: Kept) -> dict[str, Any]:
    """One structure as plain data."""
    results = {name: result(comparison, name, kept) for name in comparison.sources}
    return {**kept["record"], "results": results}


def result(comparison: StreamedComparison, name: str, kept: Kept) -> dict[str, Any]:
    """What one source says of one structure."""
    answer = kept["answers"].get(name, {})
    relative = comparison.relative(name, kept)
    vector = answer.get("dipole")
    vector = None if vector is None else [x * DEBYE_PER_E_ANGSTROM for x in vector]
    return {
        "energy_eV": answer.get("energy"),
        "relative_energy_kcal_mol": None if relative is None else relative * EV_KCAL_MOL,
        "forces_eV_A": answer.get("forces"),
        "charges_e": answer.get("charges"),
        "dipole_vector_D": vector,
        "dipole_D": None if vector is None else sum(x * x for x in vector) ** 0.5,
        "energy_spread_eV": answer.get("energy_spread"),
        "failure": answer.get("failure"),
        "extrapolation": answer.get("extrapolation"),
    }


def structure_table(comparison: StreamedComparison) -> Table:
    """A line a structure and source; the force is that of the atom with the largest."""
    table = Table(title=f"energies relative to {ZEROS[comparison.relative_to]}", title_justify="left")
    for name in ("structure", "formula", "model"):
        table.add_column(name, overflow="fold")
    for name in ("energy kcal/mol", "force kcal/mol/Å", "dipole D", "charges e"):
        table.add_column(name, justify="right")
    table.add_column("remark")
    names = list(comparison.sources)
    for kept in islice(comparison.structures(), SHOWN):
        about = kept["record"]
        for line, name in enumerate(names):
            titled = output.structure_name(about["source"], about["frame"])
            first = (titled, about["formula"]) if line == 0 else ("", "")
            cells = _cells(name, result(comparison, name, kept))
            table.add_row(*map(escape, [*first, *cells]), end_section=line == len(names) - 1)
    notes = [f"{s.name} extrapolates at isolated atoms" for s in comparison.sources.values() if s.atoms_extrapolated]
    if comparison.count > SHOWN:
        notes.append(f"{comparison.count - SHOWN} more structures: --json has all")
    table.caption = "; ".join(notes) or None
    return table


def summary_table(comparison: StreamedComparison) -> Table:
    """A line a source: time, failures, extrapolations, and mean absolute deviations where there is a reference."""
    errors = comparison.errors
    quantities = [q for q in ERROR_UNITS if any(q in e for e in errors.values())]
    reference = comparison.reference
    called = "the labels" if reference == LABELS else reference
    table = Table(
        title="time" if reference is None else f"time, and mean absolute deviations from {called}", title_justify="left"
    )
    table.add_column("model")
    for name in ("ms a structure", "failed", "extrapolates", *(f"{q} {ERROR_UNITS[q]}" for q in quantities)):
        table.add_column(name, justify="right")
    shown = [s for s in comparison.sources.values() if s.name != LABELS]
    judged = [s for s in shown if s.name != reference]
    best = {q: min((errors[s.name][q]["mae"] for s in judged if q in errors[s.name]), default=None) for q in quantities}
    for s in shown:
        cells = [escape(s.name), f"{1000 * s.seconds:.1f}" if s.timed else "–", str(s.failures)]
        cells.append("–" if s.extrapolating is None else f"{s.extrapolating} of {comparison.count}")
        for q in quantities:
            error = errors[s.name].get(q) if s in judged else None
            star = "*" if error and len(judged) > 1 and error["mae"] == best[q] else ""
            cells.append(f"{error['mae']:.3g}{star}" if error else "–")
        table.add_row(*cells)
    if quantities and len(judged) > 1:
        table.caption = "* nearest to the reference. energy: after a fit of per-element energies."
    return table


def draw(comparison: StreamedComparison, folder: Path, report: common.Report) -> None:
    """Figures of all structures, which are in memory for it."""
    from nddo_ml.compare.figures import write_figures

    whole, frames = answering.in_memory(comparison)
    written = write_figures(whole, frames, folder)
    names = ", ".join(str(p) for p in written) or "none: a parity plot needs labels or a second model"
    report.say(f"figures: {names}")


def _cells(name: str, values: dict[str, Any]) -> list[str]:
    forces, charges = values["forces_eV_A"], values["charges_e"]
    largest = None if forces is None else max(sum(x * x for x in f) for f in forces) ** 0.5 * EV_KCAL_MOL
    remarks = ["no result"] * bool(values["failure"])
    if values["extrapolation"] is not None:
        remarks.append(output.extrapolates(values["extrapolation"]))
    if values["energy_spread_eV"] is not None:
        remarks.append(f"± {values['energy_spread_eV'] * EV_KCAL_MOL:.2f} kcal/mol")
    return [
        name,
        output.number(values["relative_energy_kcal_mol"], 2),
        output.number(largest, 2),
        output.number(values["dipole_D"], 2),
        "–" if charges is None else f"{min(charges):+.2f} to {max(charges):+.2f}",
        ", ".join(remarks),
    ]
