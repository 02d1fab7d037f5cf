"""Which reader a source gets: by what its first lines are, then by its suffix; ASE for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nddo_ml.structures import molfile, pdb, smiles, xyz
from nddo_ml.structures.record import Chunk, Lines, Record

_PDB_TAGS = r"(ATOM  |HETATM|HEADER|CRYST1|MODEL |COMPND|TITLE |REMARK|AUTHOR|ORIGX\d|SCALE\d)"


@dataclass(frozen=True)
class Format:
    """A format that is read record by record."""

    name: str
    suffixes: tuple[str, ...]
    looks_like: Callable[[Sequence[str]], bool]  # from the first lines
    split: Callable[[Lines], Iterator[Chunk]]
    parse: Callable[[Chunk], Record]


def _is_xyz(head: Sequence[str]) -> bool:
    filled = [line for line in head if line.strip()]
    return bool(filled) and re.fullmatch(r"\s*\d+\s*", filled[0], re.ASCII) is not None


def _is_molfile(head: Sequence[str]) -> bool:
    return any(re.search(r"V[23]000\s*$", line) for line in head[:8])


def _is_pdb(head: Sequence[str]) -> bool:
    return bool(head) and re.match(_PDB_TAGS, head[0]) is not None


FORMATS = (
    Format("mol", (".mol", ".sdf", ".sd", ".mdl"), _is_molfile, molfile.split, molfile.parse),
    Format("pdb", (".pdb", ".ent", ".brk", ".pdbqt", ".pqr"), _is_pdb, pdb.split, pdb.parse),
    Format("xyz", (".xyz", ".extxyz", ".exyz"), _is_xyz, xyz.split, xyz.parse),
    Format("smiles", (".smi", ".smiles"), lambda _: False, smiles.split, smiles.parse),
)


def format_of(suffix: str, head: Sequence[str]) -> Format | None:
    """The format of a source with these first lines; None is for ASE."""
    by_suffix = next((f for f in FORMATS if suffix in f.suffixes), None)
    if by_suffix is not None and by_suffix.looks_like(head):
        return by_suffix
    by_content = next((f for f in FORMATS if f.looks_like(head)), None)
    return by_content or by_suffix
