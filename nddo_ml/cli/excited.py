"""``nddo-ml excited``: excited states and absorption spectra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Json, Model
from nddo_ml.cli.environment import Around
from nddo_ml.cli.optimize import Fmax, note_steps
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.evaluation.spectra import Lines, absorption
from nddo_ml.results.targets import whole
from nddo_ml.units import EV_NM
from nddo_ml.workflows.excited_states import ExcitedStates, excited_states
from nddo_ml.workflows.excited_surface import ExcitedState
from nddo_ml.workflows.optimize import check_limits, optimize

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

Record = dict[str, Any]
_SHARE = 0.1  # of a state, from which an excitation is told

States = Annotated[int, typer.Option("--states", "-n", min=1, help="Excited states of each multiplicity.")]
Triplets = Annotated[bool, typer.Option("--triplets", help="Triplets as well.")]
Relax = Annotated[bool, typer.Option("--relax", help="Relax in an excited state first.")]
State = Annotated[int, typer.Option("--state", min=1, help="Singlet in which --relax relaxes; 1: the lowest.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Structures; the suffix is the format.")
]
Width = Annotated[float, typer.Option("--width", min=1e-3, help="Full width at half height of the figure's bands, eV.")]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Absorption spectra.")]


@dataclass(frozen=True)
class Excited:
    """Excited states of closed shells, one after the other."""

    model: AbstractModel
    states: int
    triplets: bool
    relaxed_in: int | None  # state
    fmax: float

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        systems, relaxed = output.systems_of(structures), None
        if self.relaxed_in is not None:
            relaxed = optimize(systems, ExcitedState(self.model, self.relaxed_in), fmax=self.fmax)
            systems = relaxed.systems
        made = output.outcomes(structures, systems, self.model(systems), self.model)
        for k, outcome in enumerate(made):
            singlets = excited_states(self.model, systems[k], self.states)
            found = [_state(singlets, n, "singlet") for n in range(len(singlets.energies))]
            if self.triplets:
                triplets = excited_states(self.model, systems[k], self.states, triplets=True)
                found += [_state(triplets, n, "triplet") for n in range(len(triplets.energies))]
            outcome["record"]["excited_states"] = sorted(found, key=lambda s: s["energy_eV"])
            if relaxed is not None:
                note_steps(outcome, relaxed, k, structures[k], self.fmax)
                about = {"relaxed_in": f"S{self.relaxed_in}", "excited_energy_eV": float(relaxed.prediction.energy[k])}
                outcome["record"] |= about
        return made


def _state(states: ExcitedStates, n: int, multiplicity: str) -> Record:
    energy, amplitudes = float(states.energies[n]), states.amplitudes[n]
    weights = amplitudes.square()
    last = amplitudes.shape[0] - 1
    order = weights.reshape(-1).argsort(descending=True).tolist()
    told = [divmod(k, amplitudes.shape[1]) for k in order[:4] if float(weights.reshape(-1)[k]) >= _SHARE]
    return {
        "multiplicity": multiplicity,
        "energy_eV": energy,
        "wavelength_nm": EV_NM / energy if energy > 0 else None,
        "oscillator_strength": float(states.strengths[n]),
        "transition_dipole_e_A": states.dipoles[n].tolist(),
        "excitations": [
            {"from_homo_minus": last - i, "to_lumo_plus": a, "weight": float(weights[i, a])} for i, a in told
        ],
    }


def excited(
    *,
    sources: Sources,
    model: Model = "AM1",
    around: Around,
    states: States = 10,
    triplets: Triplets = False,
    relax: Relax = False,
    state: State = 1,
    fmax: Fmax = 0.05,
    width: Width = 0.4,
    json: Json = None,
    output_file: Output = None,
    figure: Figure = None,
    workforce: Workforce,
) -> None:
    """Excited states of closed shells, and their absorption spectra.

    Configuration interaction of all single excitations (Tamm and Dancoff's
    approximation), at the geometries of the files or relaxed in one of them, for
    emission. A hybrid's states are those of its parameters, which were not
    trained for them.

    Examples:

      nddo-ml excited examples/molecules/azulene.xyz --triplets

      nddo-ml excited formaldehyde.xyz --relax --state 1 --output s1.xyz

      nddo-ml excited examples/molecules/*.xyz --model PM6 --figure absorption.png --json states.json
    """
    targets = produce.checked([*sources.paths, model, *around.files], json=json, output=output_file, figure=figure)
    loaded = common.load_model(model, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    check_limits(fmax, 1)
    relaxed_in = state if relax else None
    options: dict[str, Any] = {"states": states, "triplets": triplets, "relaxed_in": relaxed_in, "fmax": fmax}
    with produce.production(targets, produce.settings_of("excited", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        work = Excited(loaded, states, triplets, relaxed_in, fmax)
        keys = run.compute(structures, work, "molecules", workforce.resources)

        def draw(outcomes: Iterable[Outcome], path: Path) -> None:
            _draw(outcomes, path, width)

        run.write_results(keys, targets, _tables, figure=draw)
    raise typer.Exit(report.exit_code)


def _tables(records: Iterable[Record]) -> Iterator[Table]:
    for r in records:
        name = f"{output.structure_name(r['source'], r['frame'])} {r['formula']}, {r['method']}"
        title = f"{name}{environment.said(r['environment'])}: excited states"
        if "relaxed_in" in r:
            title += f" at the minimum of {r['relaxed_in']}"
        table = Table(title=escape(title), title_justify="left")
        table.add_column("state", justify="right")
        table.add_column("spin")
        for column in ("ΔE eV", "λ nm", "f"):
            table.add_column(column, justify="right")
        table.add_column("excitations")
        for k, s in enumerate(r["excited_states"], 1):
            numbers = f"{s['energy_eV']:.4f}", output.number(s["wavelength_nm"], 1), f"{s['oscillator_strength']:.4f}"
            table.add_row(str(k), s["multiplicity"], *numbers, ", ".join(map(_excitation, s["excitations"])))
        yield table


def _excitation(found: Record) -> str:
    below, above = found["from_homo_minus"], found["to_lumo_plus"]
    names = f"HOMO{f'−{below}' * bool(below)} → LUMO{f'+{above}' * bool(above)}"
    return f"{names} {100 * found['weight']:.0f} %"


def _draw(outcomes: Iterable[Outcome], path: Path, width: float) -> None:
    spectra = []
    for r in (o["record"] for o in outcomes):
        singlets = [s for s in r["excited_states"] if s["multiplicity"] == "singlet"]
        name = f"{output.structure_name(r['source'], r['frame'])}, {r['method']}"
        energies = np.array([s["energy_eV"] for s in singlets])
        spectra.append(Lines(name, energies, np.array([s["oscillator_strength"] for s in singlets])))
    with whole(path) as made:
        absorption(spectra, made, width)
