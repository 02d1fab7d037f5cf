"""Dynamics in blocks of steps that the journal keeps: the work of ``nddo-ml md`` and what it writes."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common, output
from nddo_ml.evaluation.spectra import draw_dynamic_infrared
from nddo_ml.evaluation.trajectories import EnergyTrace, draw_energies
from nddo_ml.results.frames import write_frames
from nddo_ml.results.records import write_records
from nddo_ml.results.run import NOT_CONVERGED, Piece, key_of
from nddo_ml.results.targets import whole
from nddo_ml.workflows.dynamics import K_B, Motion, Sample, State, degrees_of_freedom, first_state, run
from nddo_ml.workflows.infrared import dynamic_spectrum

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.cli.produce import Production
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.journal import Journal
    from nddo_ml.results.run import Outcome
    from nddo_ml.results.targets import Targets
    from nddo_ml.structures.structure import Structure
    from nddo_ml.systems import Systems

BLOCK = 50  # steps at least between two records of the state
Record = dict[str, Any]


@dataclass(frozen=True)
class MdRun:
    """All replicas of all structures as one batch; a block's outcomes begin where those of the block before ended."""

    model: AbstractModel
    structures: tuple[Structure, ...]
    replicas: int
    motion: Motion
    every: int
    journal: Journal
    dipoles: bool = False  # whether records have them

    @cached_property
    def systems(self) -> Systems:
        """The batch at its start: the replicas of the first structure, those of the second, …"""
        every_one = torch.arange(len(self.structures)).repeat_interleave(self.replicas)
        return output.systems_of(self.structures).select(every_one)

    @cached_property
    def stream(self) -> torch.Tensor:
        """Numbers of the replicas."""
        return torch.arange(self.replicas).repeat(len(self.structures))

    def pieces(self, steps: int) -> Iterator[Piece]:
        """Blocks of steps; each knows the one before."""
        key, length = key_of(self.structures), self.every * -(-BLOCK // self.every)
        before = ""
        for first in range(0, steps, length):
            count = min(length, steps - first)
            here = f"{key}-{first}-{count}"
            yield Piece(here, (before, count), count)
            before = here

    def __call__(self, block: tuple[str, int]) -> list[Outcome]:
        before, count = block
        start = self._kept(self.journal.read(before)) if before else None
        state = start or first_state(self.systems, self.motion, self.stream)
        was = state.moving
        end, samples = run(self.systems, self.model, self.motion, state, self.stream, count, self.every)
        freedom = degrees_of_freedom(self.systems, self.motion).tolist()
        return [self._outcome(k, was, end, samples, freedom[k]) for k in range(self.systems.n_systems)]

    def _outcome(self, k: int, was: torch.Tensor, end: State, samples: Sequence[Sample], freedom: float) -> Outcome:
        atoms = self.systems.system_idx == k
        structure, replica = self.structures[k // self.replicas], k % self.replicas
        made: Outcome = {
            "record": {
                "source": structure.source,
                "frame": structure.frame,
                "replica": replica,
                "formula": structure.atoms.get_chemical_formula(),
                "method": self.model.name,
                "time_fs": [s.step * self.motion.timestep for s in samples],
                "potential_energy_eV": [float(s.potential[k]) for s in samples],
                "kinetic_energy_eV": [float(s.kinetic[k]) for s in samples],
                "temperature_K": [2 * float(s.kinetic[k]) / (K_B * freedom) for s in samples],
                **(
                    {"dipole_eA": [s.dipole[k].tolist() for s in samples if s.dipole is not None]}
                    if self.dipoles
                    else {}
                ),
            },
            "frames": _packed(np.stack([s.positions[atoms].numpy() for s in samples]) if samples else np.zeros(0)),
            "positions": end.positions[atoms].tolist(),
            "velocities": end.velocities[atoms].tolist(),
            "step": end.step,
            "moving": bool(end.moving[k]),
        }
        if bool(was[k]) and not made["moving"]:
            text = f"{structure.address}, replica {replica}: stopped before step {end.step}, its energy failed"
            made["complaints"] = [[NOT_CONVERGED, text]]
        return made

    def _kept(self, outcomes: Sequence[Outcome]) -> State:
        positions, velocities = (
            torch.tensor([row for o in outcomes for row in o[name]], dtype=torch.float64)
            for name in ("positions", "velocities")
        )
        return State(outcomes[0]["step"], positions, velocities, torch.tensor([o["moving"] for o in outcomes]))

    def atoms(self, k: int) -> Atoms:
        """The structure of replica ``k`` of the batch."""
        return self.structures[k // self.replicas].atoms.copy()


def write_md(production: Production, keys: list[str], targets: Targets, work: MdRun) -> None:
    """Records, last structures, frames, a figure, and a table of averages."""

    def records() -> Iterator[Record]:
        return (_combined(production, keys, k) for k in range(work.systems.n_systems))

    writers: dict[str, Callable[[], None]] = {
        "json": lambda: write_records(records(), targets.files.get("json")),
        "output": lambda: write_frames(_last(production, keys, work), targets.files["output"]),
        "trajectory": lambda: write_frames(_frames(production, keys, work), targets.files["trajectory"]),
        "figure": lambda: _draw(list(records()), targets.files["figure"]),
        "infrared": lambda: _draw_infrared(list(records()), targets.files["infrared"]),
    }
    wanted = [*targets.files, *["json"] * targets.json_on_standard_output]
    table = _table(records(), work)
    production.write({name: writers[name] for name in wanted})
    common.console(stderr=targets.json_on_standard_output).print(table)


def _combined(production: Production, keys: list[str], k: int) -> Record:
    """The records of all blocks of a replica as one."""
    whole_record: Record = {}
    for key in keys:
        record = production.journal.read(key)[k]["record"]
        for name, value in record.items():
            if isinstance(value, list):
                whole_record.setdefault(name, []).extend(value)
            else:
                whole_record[name] = value
    return whole_record


def _frames(production: Production, keys: list[str], work: MdRun) -> Iterator[Atoms]:
    """Every frame of one replica after the other."""
    from ase.calculators.singlepoint import SinglePointCalculator

    for k in range(work.systems.n_systems):
        for key in keys:
            outcome = production.journal.read(key)[k]
            record = outcome["record"]
            frames = _unpacked(outcome["frames"]).reshape(len(record["time_fs"]), -1, 3)
            for frame, time, energy in zip(frames, record["time_fs"], record["potential_energy_eV"], strict=True):
                atoms = work.atoms(k)
                atoms.positions = frame
                atoms.info |= {"replica": record["replica"], "time_fs": time}
                atoms.calc = SinglePointCalculator(atoms, energy=energy)
                yield atoms


def _last(production: Production, keys: list[str], work: MdRun) -> Iterator[Atoms]:
    from ase import units

    for k, outcome in enumerate(production.journal.read(keys[-1])):
        atoms = work.atoms(k)
        atoms.positions = outcome["positions"]
        atoms.set_velocities(np.array(outcome["velocities"]) / units.fs)
        atoms.info |= {"replica": outcome["record"]["replica"], "step": outcome["step"]}
        yield atoms


def _draw(records: Sequence[Record], path: Path) -> None:
    traces = [
        EnergyTrace(
            f"{output.structure_name(r['source'], r['frame'])} {r['replica']}",
            np.array(r["time_fs"]),
            np.array(r["potential_energy_eV"], dtype=float),
            np.array(r["kinetic_energy_eV"], dtype=float),
            np.array(r["temperature_K"], dtype=float),
        )
        for r in records
    ]
    with whole(path) as made:
        draw_energies(traces, made)


def _draw_infrared(records: Sequence[Record], path: Path) -> None:
    """One spectrum a structure, over its replicas that went to the end."""
    of_structure: dict[str, list[Record]] = {}
    for r in records:
        name = f"{output.structure_name(r['source'], r['frame'])}, {r['method']}"
        of_structure.setdefault(name, []).append(r)
    spectra = {}
    for name, replicas in of_structure.items():
        longest = max(len(r["time_fs"]) for r in replicas)
        whole_paths = [r for r in replicas if len(r["time_fs"]) == longest]
        interval = whole_paths[0]["time_fs"][1] - whole_paths[0]["time_fs"][0]
        temperature = float(np.mean([r["temperature_K"] for r in whole_paths]))
        spectra[name] = dynamic_spectrum([r["dipole_eA"] for r in whole_paths], interval, temperature)
    with whole(path) as made:
        draw_dynamic_infrared(spectra, made)


def _table(records: Iterator[Record], work: MdRun) -> Table:
    bath = f"Langevin, {work.motion.friction:g} 1/ps" if work.motion.friction else "constant energy"
    title = f"{work.model.name}: {bath}, {work.motion.timestep:g} fs, from {work.motion.temperature:g} K"
    table = Table(title=title, title_justify="left")
    table.add_column("source", overflow="fold")
    columns = ("replica", "time ps", "mean E_pot eV", "± eV", "mean E_total eV", "± meV", "drift meV/ps", "mean T K")
    for name in columns:
        table.add_column(name, justify="right")
    for r in records:
        time = np.array(r["time_fs"]) * 1e-3
        potential = np.array(r["potential_energy_eV"], dtype=float)
        total = potential + np.array(r["kinetic_energy_eV"], dtype=float)
        drift = 1000 * np.polyfit(time, total, 1)[0] if len(time) > 2 and np.isfinite(total).all() else None
        table.add_row(
            escape(output.structure_name(r["source"], r["frame"])),
            str(r["replica"]),
            f"{time[-1]:.3f}",
            *(f"{v:.4f}" for v in (potential.mean(), potential.std(), total.mean())),
            f"{1000 * total.std():.2f}",
            output.number(drift, 2),
            f"{np.mean(r['temperature_K']):.1f}",
        )
    return table


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.astype("<f4").tobytes())).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f4").astype(float)
