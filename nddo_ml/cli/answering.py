"""What several models say of structures: the work of ``nddo-ml compare``, chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nddo_ml.cli import output
from nddo_ml.compare.answers import Answers, label_answers, model_answers, pyscf_answers
from nddo_ml.compare.comparison import Comparison, formulas
from nddo_ml.compare.streamed import LABELS, Kept, StreamedComparison, answers_of
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.results.run import NOT_CONVERGED, WRONG_INPUT

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.labelling.level import Level
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

CHUNK = 100  # structures, each by every model

_timed: set[str] = set()  # models that have computed something in this process, so that times are those of the work


@dataclass(frozen=True)
class Answering:
    """The answers of all models, of PySCF and of the structures' own labels."""

    models: tuple[AbstractModel, ...]
    level: Level | None

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        output.systems_of(structures)  # refuses what no model can treat, by system
        frames = [_prepared(s) for s in structures]
        try:
            data = from_frames(frames, "structure")
        except InputError as error:
            named = re.sub(r"structure, frame (\d+)", lambda m: structures[int(m[1])].address, str(error))
            raise InputError(named) from None
        found = [model_answers(m, data, twice=m.name not in _timed) for m in self.models]
        _timed.update(m.name for m in self.models)
        if self.level is not None:
            found.append(pyscf_answers(self.level, frames, data))
        labels = label_answers(data)
        names = formulas(data)
        ends = data.systems.atoms_per_system.cumsum(0).tolist()
        outcomes: list[Outcome] = []
        for k, structure in enumerate(structures):
            atoms = slice(ends[k] - len(structure.atoms), ends[k])
            answers = {a.name: _answer(a, k, atoms) for a in found}
            if labels is not None and (own := _answer(labels, k, atoms, bare=True)) is not None:
                answers[LABELS] = own
            complaints = [
                [NOT_CONVERGED if k in a.unconverged else WRONG_INPUT, f"{structure.address}: {a.name}: {reason}"]
                for a in found
                if (reason := a.failures.get(k)) is not None
            ]
            about = {"record": _record(structure), "formula": names[k], "info": _scan(frames[k]), "answers": answers}
            outcomes.append(about | ({"complaints": complaints} if complaints else {}))
        return outcomes


def name_of(level: Level) -> str:
    """What PySCF's answers are called."""
    return f"{level.functional}/{level.basis}"


def in_memory(comparison: StreamedComparison) -> tuple[Comparison, list[Atoms]]:
    """The whole comparison at once, for figures."""
    from ase import Atoms

    kept = list(comparison.structures())
    frames = [
        Atoms(
            k["record"]["elements"],
            k["record"]["positions_A"],
            info={"charge": k["record"]["charge"], "multiplicity": k["record"]["multiplicity"], **k["info"]},
        )
        for k in kept
    ]
    answers = {name: _whole(comparison, name, kept) for name in comparison.sources}
    reference = None if comparison.reference is None else answers[comparison.reference]
    others = [a for name, a in answers.items() if name != LABELS]
    return Comparison(from_frames(frames), others, reference, comparison.relative_to), frames


def _whole(comparison: StreamedComparison, name: str, kept: Sequence[Kept]) -> Answers:
    outside = {k: None for k, one in enumerate(kept) if one["answers"].get(name, {}).get("extrapolation") is not None}
    source = comparison.sources[name]
    found: Any = None if source.extrapolating is None else outside
    return replace(answers_of(name, kept), extrapolations=found, atoms=source.atoms)


def _prepared(structure: Structure) -> Atoms:
    """A copy with charge and multiplicity in ``info`` and its labels."""
    atoms = structure.atoms.copy()
    atoms.calc = structure.atoms.calc
    atoms.info |= {"charge": structure.charge, "multiplicity": structure.multiplicity}
    return atoms


def _record(structure: Structure) -> dict[str, Any]:
    return {
        "source": structure.source,
        "frame": structure.frame,
        "name": structure.name or None,
        "formula": structure.atoms.get_chemical_formula(),
        "charge": structure.charge,
        "multiplicity": structure.multiplicity,
        "elements": [symbol_of(z) for z in structure.atoms.numbers.tolist()],
        "positions_A": structure.atoms.positions.tolist(),
    }


def _scan(atoms: Atoms) -> dict[str, Any]:
    """What figures of a scan need."""
    return {key: atoms.info[key] for key in ("scan_coordinate", "scan_value") if key in atoms.info}


def _answer(a: Answers, k: int, atoms: slice, bare: bool = False) -> Any:
    """What a source says of one structure, as plain data; None of bare labels that are not there."""
    made = {
        "energy": _plain(a.energy[k]),
        "forces": None if a.forces is None else _plain(a.forces[atoms]),
        "dipole": None if a.dipole is None else _plain(a.dipole[k]),
        "charges": None if a.charges is None else _plain(a.charges[atoms]),
    }
    if bare:
        return made if any(v is not None for v in made.values()) else None
    outside = None if a.extrapolations is None else a.extrapolations.get(k)
    return made | {
        "energy_spread": None if a.energy_spread is None else _plain(a.energy_spread[k]),
        "seconds": a.seconds,
        "failure": a.failures.get(k),
        "ranged": a.extrapolations is not None,
        "extrapolation": output.extrapolation_record(outside),
    }


def _plain(values: Any) -> Any:
    """Numbers of one structure; None where there are none."""
    return None if bool(values.isnan().any()) else values.tolist()
