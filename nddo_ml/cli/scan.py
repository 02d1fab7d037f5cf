"""``nddo-ml scan``: curves along a bond, an angle or a torsion."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Ignore, Json, Models, Uhf
from nddo_ml.cli.curves import CurveOf, pieces_of, read_curve
from nddo_ml.cli.environment import Around
from nddo_ml.cli.produce import Said, Sources, Workforce
from nddo_ml.compare.comparison import ZEROS
from nddo_ml.compare.scan import SCAN_ZEROS, Curve, check_zero, fragments, rigid_scan
from nddo_ml.errors import InputError
from nddo_ml.results.frames import write_frames
from nddo_ml.results.records import write_object
from nddo_ml.results.targets import Targets
from nddo_ml.structures.structure import Structure, addressed
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.coordinates import SIZES, Coordinate

if TYPE_CHECKING:
    from ase import Atoms

File = Annotated[
    str, typer.Argument(metavar="FILE", help="Structure file; its first frame is scanned, FILE@3 is the fourth.")
]
Bond = Annotated[
    tuple[int, int] | None, typer.Option("--bond", metavar="I J", help="Distance, Å: a bond, or between fragments.")
]
Angle = Annotated[tuple[int, int, int] | None, typer.Option("--angle", metavar="I J K", help="Angle, degrees.")]
Torsion = Annotated[
    tuple[int, int, int, int] | None, typer.Option("--torsion", metavar="I J K L", help="Torsion, degrees.")
]
Start = Annotated[float, typer.Option("--from", help="First value.")]
Stop = Annotated[float, typer.Option("--to", help="Last value.")]
Points = Annotated[int, typer.Option("--steps", min=2, max=100_000, help="Number of points, both ends included.")]
Relaxed = Annotated[bool, typer.Option("--relaxed", help="Relax everything else, each model its own geometries.")]
Fmax = Annotated[float, typer.Option("--fmax", min=1e-6, help="Largest force that counts as relaxed, eV/Å.")]
Steps = Annotated[int, typer.Option("--max-steps", min=1, help="Of each relaxation.")]
RelativeTo = Annotated[
    str, typer.Option("--relative-to", help=f"Zero of the energies of each model: {', '.join(SCAN_ZEROS)}.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="extxyz file of the points.")]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="The curves of all models.")]


@dataclass(frozen=True)
class Along:
    """The coordinate: one of three."""

    bond: Bond = None
    angle: Angle = None
    torsion: Torsion = None

    def coordinate(self) -> Coordinate:
        """That of the option which is given.

        Raises:
            InputError: none or several of them.
        """
        chosen = [(kind, atoms) for kind, atoms in vars(self).items() if atoms is not None]
        if len(chosen) != 1:
            raise InputError(f"expected one of {', '.join(f'--{kind}' for kind in SIZES)}; got {len(chosen)} of them")
        return Coordinate(*chosen[0])


@dataclass(frozen=True)
class Relaxation:
    """Whether all else is relaxed, and how far."""

    relaxed: Relaxed = False
    fmax: Fmax = 0.05
    max_steps: Steps = 200

    @property
    def limits(self) -> dict[str, float]:
        """What results depend on."""
        return {"fmax": self.fmax, "max-steps": self.max_steps} if self.relaxed else {}


def scan(
    *,
    file: File,
    start: Start,
    stop: Stop,
    points: Points,
    along: Along,
    models: Models = None,
    relaxation: Relaxation,
    relative_to: RelativeTo = "minimum",
    said: Said,
    uhf: Uhf = False,
    ignore_charge_and_spin: Ignore = False,
    around: Around,
    json: Json = None,
    output_file: Output = None,
    figure: Figure = None,
    workforce: Workforce,
) -> None:
    """Curves along a bond, an angle or a torsion, by one or several models.

    Atoms are counted from 0, as in ASE. The part on the last atom's side moves:
    the side of J for a bond I J, of K for an angle I J K or a torsion I J K L.
    Atoms of two fragments need no bond for a distance. Bonds that come apart
    need --uhf. With --relative-to fragments the zero is the two parts of a
    bond, each alone. Hollow points of the figure are those at which a potential
    extrapolates. Exit code 1 when some point did not converge. With OUT, curves
    and relaxed points are kept in OUT.part as they come: the same command goes on.

    Examples:

      nddo-ml scan examples/molecules/ethanol.xyz --bond 0 1 --from 1.2 --to 6 --steps 25 --uhf --relative-to fragments

      nddo-ml scan examples/water_dimer.xyz --bond 0 3 --from 2.4 --to 12 --steps 40 --model PM6-D3H4 --figure dimer.png

      nddo-ml scan examples/molecules/ethanol.xyz --torsion 3 0 1 2 --from 0 --to 180 --steps 13 --relaxed --model AM1
    """
    inputs = [file, *(models or ()), *around.files]
    targets = produce.checked(inputs, output=output_file, json=json, figure=figure)
    coordinate = along.coordinate()
    check_zero(relative_to)
    surroundings = around.environment()
    loaded = common.open_models(models, uhf, surroundings, ignore_charge_and_spin)
    report = common.Report(common.console(stderr=True))
    structure = _structure(Sources(**vars(said), files=[file]), report)
    values = np.linspace(start, stop, points).tolist()
    _check_path(structure, coordinate, values, relative_to)
    options = {"uhf": uhf, "coordinate": str(coordinate), "values": values, "relative-to": relative_to}
    with produce.production(
        targets, produce.settings_of("scan", loaded, **options, **relaxation.limits), report
    ) as run:
        most = relaxation.fmax if relaxation.relaxed else None
        work = CurveOf(tuple(loaded), structure, coordinate, values, relative_to, most, relaxation.max_steps)
        curves = _computed(run, work, workforce)
        if not curves:
            raise typer.Exit(report.exit_code)
        _tell_failures(curves, coordinate, relaxation.fmax, report)
        about = record(structure, coordinate, curves, relative_to) | {"environment": environment.record(surroundings)}
        run.write(_writers(targets, about, coordinate, curves, relative_to))
    _show(structure, coordinate, curves, relative_to, common.console(stderr=json == "-"))
    raise typer.Exit(report.exit_code)


def _check_path(structure: Structure, coordinate: Coordinate, values: Sequence[float], relative_to: str) -> None:
    """Raise InputError where a structure cannot be moved along it or has no two fragments to compare with."""
    rigid_scan(structure.atoms, coordinate, values)
    if relative_to == "fragments":
        fragments(structure.atoms, coordinate)


def _computed(run: produce.Production, work: CurveOf, workforce: Workforce) -> list[Curve]:
    """The curves of all models, in their order."""
    what = "curves" if work.fmax is None else "points"
    keys = run.work(pieces_of(work, run.journal), work, what, workforce.resources)
    done = [kept for block in run.blocks(keys) for kept in block]
    return [read_curve(kept) for kept in sorted(done, key=lambda kept: kept["model"])]


def _writers(
    targets: Targets, about: dict[str, Any], coordinate: Coordinate, curves: Sequence[Curve], relative_to: str
) -> dict[str, Callable[[], None]]:
    """What writes each output that is wanted."""
    path = targets.files.get("json")
    writers = {
        "json": lambda: write_object(about, path),
        "output": lambda: write_frames(_frames(curves), targets.files["output"]),
        "figure": lambda: _draw(coordinate, curves, targets.files["figure"], relative_to),
    }
    return {name: writers[name] for name in [*targets.files, *["json"] * targets.json_on_standard_output]}


def _show(
    structure: Structure, coordinate: Coordinate, curves: Sequence[Curve], relative_to: str, out: Console
) -> None:
    zero = {**ZEROS, "fragments": "separated fragments"}[relative_to]
    title = f"{structure.atoms.get_chemical_formula()}, {coordinate}: energies relative to {zero}, kcal/mol"
    out.print(title, markup=False, highlight=False)
    out.print(curve_table(coordinate, curves, relative_to))
    if without := [c.answers.name for c in curves if c.without_constant]:
        out.print(f"{', '.join(without)}: without the constant of triple bonds, which heats of formation have")


def record(structure: Structure, coordinate: Coordinate, curves: Sequence[Curve], relative_to: str) -> dict[str, Any]:
    """The scan as plain data."""
    return {
        "source": structure.source,
        "formula": structure.atoms.get_chemical_formula(),
        "elements": list(structure.atoms.symbols),
        "coordinate": coordinate.kind,
        "atoms": list(coordinate.atoms),
        "unit": coordinate.unit,
        "values": curves[0].values,
        "relative_to": relative_to,
        "models": [
            {
                "name": c.answers.name,
                "energy_eV": _plain(c.answers.energy.tolist()),
                "relative_energy_kcal_mol": _plain((c.relative(relative_to) * EV_KCAL_MOL).tolist()),
                "fragments_energy_eV": c.limit,
                "relaxed": c.relaxed,
                "positions_A": [a.positions.tolist() for a in c.frames],
                "seconds_per_point": c.answers.seconds,
                "extrapolates": None if c.answers.extrapolations is None else sorted(c.answers.extrapolations),
                "failures": {str(k): reason for k, reason in c.answers.failures.items()},
            }
            for c in curves
        ],
    }


def curve_table(coordinate: Coordinate, curves: Sequence[Curve], relative_to: str) -> Table:
    """A line a point, a column a model; a point at which a potential extrapolates is marked."""
    table = Table()
    table.add_column(f"{coordinate.kind} {coordinate.unit}", justify="right")
    for c in curves:
        table.add_column(escape(c.answers.name), justify="right")
    energies = [_plain((c.relative(relative_to) * EV_KCAL_MOL).tolist()) for c in curves]
    for k, value in enumerate(curves[0].values):
        cells = []
        for c, energy in zip(curves, energies, strict=True):
            outside = k in (c.answers.extrapolations or {})
            cells.append(output.number(energy[k], 3) + (" e" if outside else ""))
        table.add_row(f"{value:.4g}", *cells)
    if any(c.answers.extrapolations for c in curves):
        table.caption = "e: the potential extrapolates"
    return table


def _structure(sources: produce.Sources, report: common.Report) -> Structure:
    """The first frame.

    Raises:
        InputError: what cannot be read or computed.
    """
    from nddo_ml.systems import Systems

    found = next(sources.structures(), None)
    if not isinstance(found, Structure):
        raise InputError(f"{found or f'{sources.paths[0]}: expected at least one structure; the file holds none'}")
    for remark in found.remarks:
        report.note(f"{found.address}: {remark}")
    try:
        Systems.from_ase(found.atoms)
    except InputError as error:
        raise InputError(addressed(str(error), [found])) from None
    return found


def _draw(coordinate: Coordinate, curves: Sequence[Curve], path: Path, relative_to: str) -> None:
    from nddo_ml.compare.figures import curves as draw
    from nddo_ml.results.targets import whole

    lines = [(c.answers, c.values, c.relative(relative_to)) for c in curves]
    with whole(path) as made:
        draw(f"{coordinate}, {coordinate.unit}", lines, made, relative_to)


def _tell_failures(curves: Sequence[Curve], coordinate: Coordinate, fmax: float, report: common.Report) -> None:
    for c in curves:
        for k, reason in c.answers.failures.items():
            tell = report.not_converged if k in c.answers.unconverged else report.wrong_input
            tell(f"{coordinate} at {c.values[k]:.4g} {coordinate.unit}: {c.answers.name}: {reason}")
        for k, good in enumerate(c.relaxed or []):
            if not good:
                where = f"{coordinate} at {c.values[k]:.4g} {coordinate.unit}"
                report.not_converged(f"{where}: {c.answers.name}: not relaxed to {fmax} eV/Å")


def _frames(curves: Sequence[Curve]) -> list[Atoms]:
    """The points with every model's energy, eV; of a relaxed scan the points of each model in turn."""
    keys = [re.sub(r"[^A-Za-z0-9_-]", "_", c.answers.name) for c in curves]
    rigid = curves[0].relaxed is None
    frames = []
    for curve in curves[:1] if rigid else curves:
        for k, atoms in enumerate(curve.frames):
            frame = atoms.copy()
            for c, key in zip(curves, keys, strict=True):
                if c is curve or rigid:
                    frame.info[f"energy_{key}"] = float(c.answers.energy[k])
            frames.append(frame)
    return frames


def _plain(values: list[float]) -> list[float | None]:
    return [None if v != v else v for v in values]
