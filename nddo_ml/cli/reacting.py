"""Reactions stage by stage, each kept in the journal: the work of ``nddo-ml reaction`` and what it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nddo_ml.cli import environment, output
from nddo_ml.cli.thermal import Conditions, thermal_record
from nddo_ml.cli.vibrating import vibration_record, vibrations_of
from nddo_ml.errors import InputError
from nddo_ml.results.run import NOT_CONVERGED, WRONG_INPUT, Piece, key_of
from nddo_ml.structures.structure import Structure
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.fragments import bonds
from nddo_ml.workflows.normal_modes import walls
from nddo_ml.workflows.reactions import Path, ended_at, relaxed_ends, relaxed_paths, saddles_on, ways_down

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.journal import Journal
    from nddo_ml.results.run import Outcome
    from nddo_ml.systems import Systems

STAGES = ("path", "saddle", "descent")
Record = dict[str, Any]


@dataclass(frozen=True)
class Reactions:
    """Reactants with their products; a stage of all of them is a piece, and begins where the stage before ended."""

    model: AbstractModel
    pairs: tuple[tuple[Structure, Structure], ...]
    images: int
    band_force: float
    band_steps: int
    fmax: float
    irc_step: float
    irc_steps: int
    conditions: Conditions
    journal: Journal

    def pieces(self) -> Iterator[Piece]:
        """The stages."""
        key, before = key_of([s for pair in self.pairs for s in pair]), ""
        for stage in STAGES:
            yield Piece(f"{key}-{stage}", (stage, before), len(self.pairs))
            before = f"{key}-{stage}"

    def __call__(self, item: tuple[str, str]) -> list[Outcome]:
        stage, before = item
        known = self.journal.read(before) if before else [{"record": self._about(k)} for k in range(len(self.pairs))]
        left = [k for k, outcome in enumerate(known) if "record" in outcome]
        work: Callable[[list[int], list[Record]], list[Record]] = getattr(self, stage)
        made: list[Outcome] = [{} for _ in known]
        for k, outcome in zip(left, self._attempt(work, left, known), strict=True):
            made[k] = outcome
        return made

    def _attempt(self, work: Callable[..., list[Record]], left: list[int], known: list[Outcome]) -> list[Outcome]:
        """All reactions at once; where that fails, one by one, so that one's failure costs no other its own."""
        try:
            return [_finished(r) for r in work(left, [known[k]["record"] for k in left])]
        except Exception as error:  # numerics raise whatever they run into
            if len(left) == 1:
                code = WRONG_INPUT if isinstance(error, InputError) else NOT_CONVERGED
                return [{"complaints": [[code, f"{self._name(left[0])}: {error}"]]}]
            return [o for k in left for o in self._attempt(work, [k], known)]

    def path(self, which: list[int], known: list[Record]) -> list[Record]:
        """Relaxed ends and elastic bands."""
        reactants, products = (self._systems([self.pairs[k][side] for k in which]) for side in (0, 1))
        ends = relaxed_ends(reactants, products, self.model)
        options: dict[str, Any] = {"images": self.images, "fmax": self.band_force, "max_steps": self.band_steps}
        found = relaxed_paths(reactants, products, self.model, ends, **options)
        for row, (k, record) in enumerate(zip(which, known, strict=True)):
            for side, name in enumerate(("reactant", "product")):
                relaxed = ends[row][side]
                record[name] = {"positions_A": relaxed.positions.tolist()}
                record[name]["bonds_changed"] = _changed_bonds(self.pairs[k][side].atoms, relaxed)
            record["paths"] = [_plain(p) for p in found[row]]
        return known

    def saddle(self, which: list[int], known: list[Record]) -> list[Record]:
        """Saddle points on all paths, the lowest first, and vibrations of them and of both ends."""
        rows = [k for k, r in enumerate(known) for _ in r["paths"]]
        reactions = self._systems([self.pairs[which[k]][0] for k in rows])
        paths = [p for r in known for p in r["paths"]]
        found = saddles_on(reactions, self.model, [_path(p) for p in paths], fmax=self.fmax)
        converged, steps = found.converged.tolist(), found.steps.tolist()
        arrived = {k for k, good in zip(rows, converged, strict=True) if good}
        used = [j for j, k in enumerate(rows) if converged[j] or k not in arrived]
        points = self._points(found.systems[used], [known[rows[j]] for j in used])
        for record in known:
            record["candidates"] = []
        for j, point in zip(used, points, strict=True):
            reached = {"saddle": point, "saddle_converged": converged[j], "saddle_steps": steps[j]}
            known[rows[j]]["candidates"].append({"path": paths[j]} | reached)
        for name in ("reactant", "product"):
            at = torch.tensor([x for r in known for x in r[name]["positions_A"]])
            ends = self._systems([self.pairs[k][0] for k in which]).with_positions(at)
            for record, point in zip(known, self._points(ends, known), strict=True):
                record[name] |= point
        for record in known:
            del record["paths"]
            record["candidates"].sort(key=lambda c: (not _is_saddle(c), c["saddle"]["energy_eV"]))
        return known

    def _points(self, systems: Systems, records: Sequence[Record]) -> list[Record]:
        """Energies, vibrations and thermochemistry of stationary points."""
        prediction = self.model(systems)
        positions = systems.positions.split(systems.atoms_per_system.tolist())
        points = []
        for k, (record, vibrations) in enumerate(zip(records, vibrations_of(systems, self.model), strict=True)):
            heat = prediction.heat_of_formation
            point: Record = {
                "positions_A": positions[k].tolist(),
                "energy_eV": float(prediction.energy[k]),
                "heat_of_formation_kcal_mol": None if heat is None else float(heat[k]),
                "multiplicity": record["multiplicity"],
            }
            point |= vibration_record(systems[k], vibrations)
            points.append(point | thermal_record(systems[k].to_ase()[0], point, self.conditions))
        return points

    def descent(self, which: list[int], known: list[Record]) -> list[Record]:
        """Both ways down from the saddle points: of each reaction from the lowest whose ways lead to both ends."""
        for record in known:
            record |= record["candidates"][0]
        left = list(range(len(known))) if self.irc_steps else []
        while left := [k for k in left if known[k]["candidates"] and _is_saddle(known[k]["candidates"][0])]:
            tried = [known[k]["candidates"].pop(0) for k in left]
            reactions = self._systems([self.pairs[which[k]][0] for k in left])
            at = torch.tensor([x for one in tried for x in one["saddle"]["positions_A"]])
            both = ways_down(reactions.with_positions(at), self.model, step=self.irc_step, max_steps=self.irc_steps)
            for row, (k, one, branches) in enumerate(zip(left, tried, both, strict=True)):
                one["irc"] = self._descended(known[k], self.pairs[which[k]], branches, reactions[[row]])
                if "irc" not in known[k] or _links(one["irc"]):
                    known[k] |= one
            left = [k for k in left if not _links(known[k]["irc"])]
        for record in known:
            del record["candidates"]
            record |= _barriers(record)
        return known

    def _descended(
        self, record: Record, pair: tuple[Structure, Structure], branches: Sequence[Any], one: Systems
    ) -> Record:
        """The branches as one path from the reactant's side to the product's."""
        reactant, product = (self._atoms(record, record[name]["positions_A"]) for name in ("reactant", "product"))
        ends = one[[0, 0]].with_positions(torch.as_tensor(np.concatenate([b.positions[-1] for b in branches])))
        names = ended_at(ends, self.model, (pair[0].atoms, pair[1].atoms), (reactant, product))
        order = (0, 1)
        if names[0].endswith("product") or names[1].endswith("reactant"):
            order = (1, 0)
        back, ahead = (branches[k] for k in order)
        return {
            "distance_A_sqrt_u": [-d for d in reversed(back.distance)] + ahead.distance[1:],
            "energies_eV": [*reversed(back.energies), *ahead.energies[1:]],
            "positions_A": [x.tolist() for x in (*reversed(back.positions), *ahead.positions[1:])],
            "ends": [names[k] for k in order],
            "arrived": [back.arrived, ahead.arrived],
        }

    def _systems(self, structures: Sequence[Structure]) -> Systems:
        return output.systems_of(structures)

    def _name(self, k: int) -> str:
        return " → ".join(s.address for s in self.pairs[k])

    def _about(self, k: int) -> Record:
        reactant, product = self.pairs[k]
        return {
            "source": reactant.source,
            "frame": reactant.frame,
            "product_source": product.source,
            "product_frame": product.frame,
            "name": reactant.name or None,
            "formula": reactant.atoms.get_chemical_formula(),
            "elements": list(reactant.atoms.symbols),
            "method": self.model.name,
            "charge": reactant.charge,
            "multiplicity": reactant.multiplicity,
            "environment": environment.record(self.model.environment),
        }

    @staticmethod
    def _atoms(record: Record, positions: Any) -> Atoms:
        from ase import Atoms

        return Atoms(record["elements"], positions)


def path_frames(outcomes: Iterable[Outcome]) -> Iterator[Atoms]:
    """The path of each reaction from its reactant to its product: the way down where there is one, else the band."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    for outcome in outcomes:
        record = outcome["record"]
        path = record.get("irc") or record["path"]
        for k, (x, energy) in enumerate(zip(path["positions_A"], path["energies_eV"], strict=True)):
            told = {name: record[name] for name in ("source", "frame", "charge", "multiplicity", "method")}
            atoms = Atoms(record["elements"], x, info=told | {"point": k})
            if "distance_A_sqrt_u" in path:
                atoms.info["distance_A_sqrt_u"] = path["distance_A_sqrt_u"][k]
            atoms.calc = SinglePointCalculator(atoms, energy=energy)
            yield atoms


def _finished(record: Record) -> Outcome:
    """A record with what must be said of it."""
    made: Outcome = {"record": record}
    name = f"{record['source']}, frame {record['frame']}"
    said = []
    if "reaction_energy_kcal_mol" in record:
        for side in ("reactant", "product"):
            if changed := record[side]["bonds_changed"]:
                said.append(f"{name}: the relaxed {side} has other bonds than the one that was given: {changed}")
        stiff = {point: walls(record[point]["frequencies_cm"]) for point in ("reactant", "saddle", "product")}
        said += [f"{name}: {point}: {wall}" for point, wall in stiff.items() if wall]
        if not record["saddle_converged"]:
            said.append(f"{name}: no saddle point was reached in {record['saddle_steps']} steps")
        elif record["saddle"]["imaginary_modes"] != 1:
            said.append(f"{name}: the saddle point has {record['saddle']['imaginary_modes']} imaginary modes")
        elif "irc" in record and not _links(record["irc"]):
            said.append(f"{name}: the ways down from the saddle point end at {' and '.join(record['irc']['ends'])}")
    return made | ({"complaints": [[NOT_CONVERGED, text] for text in said]} if said else {})


def _changed_bonds(given: Atoms, relaxed: Atoms) -> str:
    """Bonds that a relaxation has made and broken; empty where there are none."""
    before, after = set(bonds(given)), set(bonds(relaxed))

    def told(which: set[tuple[int, int]]) -> str:
        return ", ".join(f"{given.symbols[i]}{i}–{given.symbols[j]}{j}" for i, j in sorted(which))

    parts = ((told(after - before), "made"), (told(before - after), "broken"))
    return "; ".join(f"{bonds_of} {what}" for bonds_of, what in parts if bonds_of)


def _is_saddle(candidate: Record) -> bool:
    return bool(candidate["saddle_converged"]) and candidate["saddle"]["imaginary_modes"] == 1


def _links(irc: Record) -> bool:
    """Whether a way down has the reactant's bonds at one end and the product's at the other."""
    return all(map(str.endswith, irc["ends"], ("reactant", "product")))


def _plain(path: Path) -> Record:
    return {
        "positions_A": path.positions.tolist(),
        "energies_eV": path.energies.tolist(),
        "tangent": path.tangent.tolist(),
        "highest": path.highest,
        "largest_force_eV_A": path.force,
        "converged": path.converged,
        "steps": path.steps,
    }


def _path(p: Record) -> Path:
    return Path(
        np.array(p["positions_A"]),
        np.array(p["energies_eV"]),
        np.array(p["tangent"]),
        p["highest"],
        p["largest_force_eV_A"],
        p["converged"],
        p["steps"],
    )


def _barriers(record: Record) -> Record:
    """Energies, and Gibbs energies at each temperature, relative to the reactant, kcal/mol."""
    low, top, end = (record[name] for name in ("reactant", "saddle", "product"))

    def gibbs(point: Record) -> list[float]:
        pairs = zip(point["thermochemistry"], low["thermochemistry"], strict=True)
        return [(t["gibbs_energy_eV"] - r["gibbs_energy_eV"]) * EV_KCAL_MOL for t, r in pairs]

    return {
        "barrier_kcal_mol": (top["energy_eV"] - low["energy_eV"]) * EV_KCAL_MOL,
        "reaction_energy_kcal_mol": (end["energy_eV"] - low["energy_eV"]) * EV_KCAL_MOL,
        "temperatures_K": [t["temperature_K"] for t in low["thermochemistry"]],
        "gibbs_barrier_kcal_mol": gibbs(top),
        "gibbs_reaction_energy_kcal_mol": gibbs(end),
    }
