"""Point charges from files."""

from __future__ import annotations

from pathlib import Path

import torch

from nddo_ml.environments.charges import PointCharges
from nddo_ml.errors import InputError


def read_charges(path: str | Path) -> PointCharges:
    """The charges of a file, in its frame of coordinates, around every system.

    A line is ``x y z charge [radius]`` (Å, e; ``#`` begins a remark), or an ATOM or HETATM line of a PQR file, whose
    radii are those of atoms and not used. Any other file is ASE's, whose initial
    charges, or charges with results, count.

    Raises:
        InputError: no such file, no charges in it, a line that is none of these.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    except OSError as error:
        raise InputError(f"{path}: expected a file of point charges; it cannot be read: {error.strerror}") from None
    kept = [(k, words) for k, line in enumerate(lines, 1) if (words := line.split("#")[0].split())]
    if any(words[0] in ("ATOM", "HETATM") for _, words in kept) and path.suffix.lower() == ".pqr":
        rows = [_numbers(path, k, words[-5:-1]) for k, words in kept if words[0] in ("ATOM", "HETATM")]
    elif kept and _is_number(kept[0][1][0]) and len(kept[0][1]) > 1:
        rows = [_numbers(path, k, words) for k, words in kept]
    else:
        return _through_ase(path)
    table = torch.tensor([[*row, 0.0][:5] for row in rows], dtype=torch.float64)
    return PointCharges.of(table[:, 3], table[:, :3], radius=table[:, 4])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, words: list[str]) -> list[float]:
    if len(words) not in (4, 5) or not all(map(_is_number, words)):
        raise InputError(f"{path}, line {line}: expected x y z charge [radius]; got {' '.join(words)[:60]}")
    return [float(word) for word in words]


def _through_ase(path: Path) -> PointCharges:
    from ase.io import iread

    try:
        atoms = next(iread(path))
        charges = atoms.get_initial_charges() if atoms.has("initial_charges") else atoms.get_charges()
    except Exception:  # ASE's readers raise whatever their parsing runs into
        expected = "lines of x y z charge [radius], a .pqr file, or a structure with charges"
        raise InputError(f"{path}: expected point charges: {expected}") from None
    return PointCharges.of(charges, atoms.positions)
