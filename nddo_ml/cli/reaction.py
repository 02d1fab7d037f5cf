"""``nddo-ml reaction``: barriers and paths from reactants to products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.optimize import Fmax
from nddo_ml.cli.produce import Said, Sources
from nddo_ml.cli.reacting import STAGES, Reactions, path_frames
from nddo_ml.cli.thermal import Gas
from nddo_ml.errors import InputError
from nddo_ml.evaluation.paths import Profile, draw_profiles
from nddo_ml.results.frames import write_frames
from nddo_ml.results.pool import Resources
from nddo_ml.results.targets import whole
from nddo_ml.workflows.elastic_band import check_atoms

if TYPE_CHECKING:
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

Record = dict[str, Any]

Reactant = Annotated[str, typer.Argument(metavar="REACTANT", help="Structure file, its frames the reactants.")]
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="As many products, the same atoms in the same order.")]
Images = Annotated[int, typer.Option("--images", min=3, max=1000, help="Structures of each path, both ends included.")]
BandForce = Annotated[
    float, typer.Option("--band-fmax", min=1e-6, help="Largest force of a path before its saddle point is sought.")
]
BandSteps = Annotated[int, typer.Option("--band-steps", min=1, help="Steps of each path at most.")]
IrcStep = Annotated[float, typer.Option("--irc-step", min=1e-3, help="Step down from the saddle point, Å u^½.")]
IrcSteps = Annotated[int, typer.Option("--irc-steps", min=0, help="Steps down at most, each way; 0: none.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Paths, reactants first; the suffix is the format.")
]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Energies along the paths.")]


def reaction(
    *,
    reactant: Reactant,
    product: Product,
    model: Model = "AM1",
    said: Said,
    uhf: Uhf = False,
    around: Around,
    images: Images = 11,
    band_force: BandForce = 0.2,
    band_steps: BandSteps = 200,
    fmax: Fmax = 0.005,
    irc_step: IrcStep = 0.15,
    irc_steps: IrcSteps = 60,
    gas: Gas,
    json: Json = None,
    output_file: Output = None,
    figure: Figure = None,
) -> None:
    """Barriers and paths of reactions from reactants and products.

    Both are relaxed; the bonds that change are driven from either end while all
    else relaxes; around the highest point a nudged elastic band is relaxed until
    its highest image is near the saddle point, which is then reached with exact
    Hessians; from there the path goes down both ways. The i-th reactant reacts
    to the i-th product, all of them at once. What each stage has found is kept
    in OUT.part: the same command goes on where it stopped. Gibbs energies are
    electronic energies with those of the rigid rotor and harmonic oscillator.

    Examples:

      nddo-ml reaction examples/reactions/hcn.xyz examples/reactions/hnc.xyz -m PM6 -o path.xyz
    """
    inputs = [reactant, product, model, *around.files]
    targets = produce.checked(inputs, output=output_file, json=json, figure=figure)
    conditions = gas.conditions()
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"images": images, "band_force": band_force, "band_steps": band_steps, "fmax": fmax}
    options |= {"irc_step": irc_step, "irc_steps": irc_steps}
    settings = produce.settings_of("reaction", [loaded], uhf=uhf, **options, **vars(conditions))
    with produce.production(targets, settings, report) as run:
        sides = [
            list(produce.read(Sources(**vars(said), files=[file]), report, targets)) for file in (reactant, product)
        ]
        work = Reactions(loaded, _paired(*sides), **options, conditions=conditions, journal=run.journal)
        keys = run.work(work.pieces(), work, f"stages of {len(STAGES)} a reaction", Resources())
        run.write_results(keys[-1:], targets, _tables, output=_write, figure=_draw)
    raise typer.Exit(report.exit_code)


def _paired(reactants: list[Structure], products: list[Structure]) -> tuple[tuple[Structure, Structure], ...]:
    """Reactants with products.

    Raises:
        InputError: not as many, other atoms, another order, or another charge or multiplicity.
    """
    if len(reactants) != len(products) or not reactants:
        raise InputError(f"expected as many products as reactants; got {len(reactants)} and {len(products)}")
    for one, other in zip(reactants, products, strict=True):
        try:
            check_atoms(one.atoms, other.atoms)
        except InputError as error:
            raise InputError(f"{one.address} → {other.address}: {error}") from None
        if (one.charge, one.multiplicity) != (other.charge, other.multiplicity):
            raise InputError(f"{one.address} → {other.address}: expected one charge and one multiplicity of both")
    return tuple(zip(reactants, products, strict=True))


def _tables(records: Iterable[Record]) -> Iterator[Table]:
    kept = list(records)
    if not kept:
        return
    head = kept[0]
    about = f"{head['method']}{environment.said(head['environment'])}: energies relative to the reactant"
    table = Table(title=escape(about), title_justify="left")
    for name in ("reaction", "formula"):
        table.add_column(name, overflow="fold")
    at = f"{head['temperatures_K'][0]:g} K kcal/mol"
    for name in ("ΔE‡ kcal/mol", "ΔE kcal/mol", f"ΔG‡ {at}", f"ΔG {at}", "imaginary cm⁻¹", "steps"):
        table.add_column(name, justify="right")
    table.add_column("ends at")
    for r in kept:
        names = (output.structure_name(r[f"{p}source"], r[f"{p}frame"]) for p in ("", "product_"))
        lowest = min(r["saddle"]["frequencies_cm"], default=0.0)
        table.add_row(
            escape(" → ".join(names)),
            r["formula"],
            *(output.number(r[name], 2) for name in ("barrier_kcal_mol", "reaction_energy_kcal_mol")),
            *(output.number(r[f"gibbs_{n}_kcal_mol"][0], 2) for n in ("barrier", "reaction_energy")),
            f"{lowest:.0f}" + f" ({r['saddle']['imaginary_modes']})" * (r["saddle"]["imaginary_modes"] != 1),
            f"{r['path']['steps']} + {r['saddle_steps']}",
            ", ".join(r["irc"]["ends"]) if "irc" in r else "–",
        )
    yield table


def _write(outcomes: Iterable[Outcome], path: Path) -> None:
    write_frames(path_frames(outcomes), path)


def _draw(outcomes: Iterable[Outcome], path: Path) -> None:
    profiles = []
    for outcome in outcomes:
        r = outcome["record"]
        points = np.array(r["path"]["positions_A"])
        lengths = np.linalg.norm(np.diff(points, axis=0).reshape(len(points) - 1, -1), axis=1)
        irc = r.get("irc")
        profiles.append(
            Profile(
                output.structure_name(r["source"], r["frame"]),
                np.concatenate([[0.0], lengths.cumsum()]),
                np.array(r["path"]["energies_eV"]),
                None if irc is None else np.array(irc["distance_A_sqrt_u"]),
                None if irc is None else np.array(irc["energies_eV"]),
            )
        )
    with whole(path) as made:
        draw_profiles(profiles, made)
