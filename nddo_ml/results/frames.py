"""Structures with results into the format that the file's suffix names."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nddo_ml.errors import InputError
from nddo_ml.results.molfile import write_mol, write_pdb, write_sdf
from nddo_ml.results.targets import whole

if TYPE_CHECKING:
    from ase import Atoms

PICTURES = {"eps", "png", "gif", "mp4", "html", "x3d", "pov", "py"}  # of ASE's writers, those that hold no results


def check_format(path: Path, option: str = "output") -> None:
    """Refuse a suffix for which there is no writer.

    Raises:
        InputError: naming the suffixes that there are.
    """
    writer_of(path, option)


def holds_one(path: Path) -> bool:
    """Whether a file of this format holds a single structure."""
    return path.suffix == ".mol" or (path.suffix not in STREAMED and _ase_format(path) in _single_formats())


def write_frames(frames: Iterable[Atoms], path: Path) -> None:
    """Write structures to a file, which is there when all are.

    Raises:
        InputError: an unknown suffix, several structures in a format for one, or a file that cannot be written.
    """
    writer = writer_of(path)
    with whole(path) as made:
        if holds_one(path):
            frames = list(islice(frames, 2))
            if len(frames) > 1:
                raise InputError(f"{path}: expected one structure, which is all that this format holds; got more")
        try:
            writer(_named(frames, path), made)
        except (OSError, InputError):
            raise
        except Exception as error:  # ASE's writers raise whatever their format does not allow
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(f"{path}: expected structures that this format can hold; {reason}") from error


def writer_of(path: Path, option: str = "output") -> Callable[[Iterator[Atoms], Path], None]:
    """The writer of a file, by its name.

    Raises:
        InputError: there is none.
    """
    if path.suffix in STREAMED:
        return STREAMED[path.suffix]
    name = _ase_format(path)
    if name is None:
        known = ", ".join([*STREAMED, ".cif", ".gen", ".vasp"])
        raise InputError(
            f"--{option} {path.name}: expected a suffix that names a format: {known} or another that ASE writes"
            f"{'; records go to --json' if path.suffix in ('.json', '.jsonl') else ''}"
        )
    return _by_ase(name)


def _xyz(frames: Iterator[Atoms], path: Path) -> None:
    """Extended XYZ, frame by frame."""
    from ase.io.extxyz import write_extxyz

    with path.open("w", encoding="utf-8") as file:
        for atoms in frames:
            write_extxyz(file, [atoms])


def _trajectory(frames: Iterator[Atoms], path: Path) -> None:
    """ASE's trajectory, frame by frame."""
    from ase.io.trajectory import Trajectory

    with Trajectory(str(path), "w") as file:
        for atoms in frames:
            file.write(atoms)


def _database(frames: Iterator[Atoms], path: Path) -> None:
    """ASE's SQLite database; what ``info`` holds goes to the row's data, charge and multiplicity to its keys."""
    from ase.db import connect

    path.unlink()
    with connect(str(path)) as database:
        for atoms in frames:
            state = {key: int(atoms.info[key]) for key in ("charge", "multiplicity") if key in atoms.info}
            database.write(atoms, data={k: v for k, v in atoms.info.items() if v is not None}, **state)


STREAMED: dict[str, Callable[[Iterator[Atoms], Path], None]] = {
    ".xyz": _xyz,
    ".extxyz": _xyz,
    ".traj": _trajectory,
    ".db": _database,
    ".sdf": write_sdf,
    ".mol": write_mol,
    ".pdb": write_pdb,
}


_ALL = frozenset({"charge", "multiplicity", "isotopes"})
# What of a molecule's state a format holds, by suffix or ASE's name; others hold none of it
_HOLDS = {suffix: _ALL for suffix in STREAMED} | {
    ".pdb": frozenset({"charge"}),
    "gaussian-in": frozenset({"charge", "multiplicity"}),
}


def _named(frames: Iterable[Atoms], path: Path) -> Iterator[Atoms]:
    """The frames, with a warning once a file of each part of their state that the format has no place for."""
    held = _HOLDS.get(path.suffix) or _HOLDS.get(_ase_format(path) or "", frozenset())
    told: set[str] = set(held)
    for atoms in frames:
        charge, multiplicity = atoms.info.get("charge", 0), atoms.info.get("multiplicity", 1)
        state = {
            "charge": f"the charge {charge:+d}" if charge else "",
            "multiplicity": f"the multiplicity {multiplicity}" if multiplicity > 2 else "",  # lower ones follow
            "isotopes": "isotopes" if atoms.has("masses") else "",
        }
        for what, said in state.items():
            if said and what not in told:
                told.add(what)
                warnings.warn(f"{path}: this format has no place for {said}: not written", stacklevel=3)
        yield atoms


def _by_ase(name: str) -> Callable[[Iterator[Atoms], Path], None]:
    def write(frames: Iterator[Atoms], path: Path) -> None:
        from ase.io import write as write_ase

        first = next(frames, None)
        if first is None:
            return
        options: dict[str, Any] = {}
        if name == "gaussian-in":  # whose writer asks initial charges and moments else
            options = {"charge": int(first.info.get("charge", 0)), "mult": int(first.info.get("multiplicity", 1))}
        found = first if name in _single_formats() else list(chain([first], frames))
        write_ase(str(path), found, format=name, **options)

    return write


def _ase_format(path: Path) -> str | None:
    """ASE's name of the format that a file's name belongs to, if ASE writes it and it can hold atoms."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    if path.suffix in (".json", ".jsonl", ".txt", ".log", "") and path.name not in ("POSCAR", "CONTCAR"):
        return None
    try:
        name = filetype(str(path), read=False, guess=False)
    except (UnknownFileTypeError, ValueError, OSError):
        return None
    known = ioformats.get(name)
    return name if known is not None and known.can_write and name not in PICTURES else None


def _single_formats() -> set[str]:
    from ase.io.formats import ioformats

    return {name for name, known in ioformats.items() if known.single}
