"""Which reader a source gets: by what its first lines are, then by its suffix; ASE for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nddo_ml.errors import InputError
from nddo_ml.structures import gamess, gaussian, mol2, molfile, mopac, nwchem, orca, pdb, qchem, smiles, xyz
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
    Format("pdb", (".pdb", ".ent", ".brk"), _is_pdb, pdb.split, pdb.parse),
    Format("xyz", (".xyz", ".extxyz", ".exyz"), _is_xyz, xyz.split, xyz.parse),
    Format("mol2", (".mol2", ".ml2"), mol2.looks_like, mol2.split, mol2.parse),
    Format("Q-Chem input", (".inp", ".in", ".qcin", ".qchem"), qchem.looks_like, qchem.split, qchem.parse),
    Format("ORCA input", (".inp", ".orca"), orca.looks_like, orca.split, orca.parse),
    Format("GAMESS input", (".inp", ".gms"), gamess.looks_like, gamess.split, gamess.parse),
    Format("NWChem input", (".nw", ".nwi"), nwchem.looks_like, nwchem.split, nwchem.parse),
    Format("Gaussian input", (".com", ".gjf", ".gau"), gaussian.looks_like, gaussian.split, gaussian.parse),
    Format("MOPAC input", (".mop", ".dat", ".mopac", ".arc"), mopac.looks_like, mopac.split, mopac.parse),
    Format("smiles", (".smi", ".smiles"), lambda _: False, smiles.split, smiles.parse),
)


_SHARED = {".in", ".dat", ".inp"}  # suffixes that say nothing without the content
_REFUSED = {
    ".pdbqt": "pdbqt has types of AutoDock in place of elements",
    ".pqr": "pqr has radii in place of elements",
}


def format_of(suffix: str, head: Sequence[str]) -> Format | None:
    """The format of a source with these first lines; None is for ASE.

    Raises:
        InputError: a format that is known not to tell elements, or an .inp of no program that is known.
    """
    if suffix in _REFUSED:
        raise InputError(f"{_REFUSED[suffix]}; expected pdb, sdf, xyz, …")
    named = [f for f in FORMATS if suffix in f.suffixes]
    found = next((f for f in [*named, *FORMATS] if f.looks_like(head)), None)
    if found is None and suffix == ".inp":
        raise InputError("expected input of ORCA, Q-Chem or GAMESS in an .inp file; this one is of none of them")
    return found or (named[0] if named and suffix not in _SHARED else None)
