"""What a study is, and what it finds: text, tables, figures, claims, molecules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ase import Atoms

from benchmarks.common import note
from nddo_ml.results.journal import plain_json

ROOT = Path(__file__).parents[3]  # of the repository


@dataclass(frozen=True)
class Claim:
    """What a study says, as an inequality: ``value relation bound``; the bound keeps a margin from the value found."""

    text: str
    value: float
    relation: Literal["<", ">"]
    bound: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.value < self.bound if self.relation == "<" else self.value > self.bound


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]


@dataclass(frozen=True)
class Molecule:
    """A structure that can be turned on the page; ``values`` (an atom each) colour it from blue to red."""

    title: str
    symbols: Sequence[str]
    positions: Sequence[Sequence[float]]  # Å
    values: Sequence[float] = ()

    @classmethod
    def of(cls, title: str, atoms: Atoms, values: Sequence[float] = ()) -> Molecule:
        return cls(title, atoms.get_chemical_symbols(), atoms.positions.round(4).tolist(), list(values))


@dataclass(frozen=True)
class Findings:
    """What a run hands back; figures are PNG files in the study's folder with their captions."""

    text: str  # what was found, also where the popular claim is half true
    claims: Sequence[Claim]
    tables: Sequence[Table] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    molecules: Sequence[Molecule] = ()

    def failed(self) -> list[Claim]:
        return [claim for claim in self.claims if not claim.holds]


@dataclass(frozen=True)
class Work:
    """The folder of one study, and steps that are not done twice."""

    folder: Path

    def path(self, name: str) -> Path:
        """Of a file of the study."""
        return self.folder / name

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The plain JSON data that ``compute`` gives; kept in the folder, so that a run that goes on has it already."""
        kept = self.folder / "steps" / f"{name}.json"
        if not kept.exists():
            note(f"    {name}")
            write_whole(kept, plain_json(compute()))
        return json.loads(kept.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Study:
    """One study: ``run(work, **settings)``, in full for ``make studies`` or small for the tests."""

    number: int  # its place in the report
    name: str
    title: str
    literature: str  # what has been published on it
    run: Callable[..., Findings]
    full: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that a file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
