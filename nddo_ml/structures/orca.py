"""Input of ORCA: ``* xyz``, ``* xyzfile``, ``* int``, ``* gzmt`` and ``%coords``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ase import Atoms

from nddo_ml.errors import InputError
from nddo_ml.structures import xyz
from nddo_ml.structures.coordinates import Row, from_zmatrix, molecule, rows_of
from nddo_ml.structures.labels import kinds, make_atoms
from nddo_ml.structures.record import Chunk, Lines, Record, number, shown, whole
from nddo_ml.structures.text import Source, head_of, lines_of, opened
from nddo_ml.units import BOHR_ANGSTROM

_STAR = re.compile(r"\s*\*\s*(\w+)\s+([+-]?\d+)\s+([+-]?\d+)\s*(.*?)\s*", re.ASCII)
_BEGIN = re.compile(r"\s*\*\s*\w|\s*%\s*coords", re.IGNORECASE)
_AROUND = re.compile(r"^\s*%\s*pointcharges|\befield\b", re.IGNORECASE)
_SOLVENT = re.compile(r"^\s*!.*?\b(alpb|cpcmx?|smd|c-pcm|ddcosmo)\b|^\s*%\s*cpcm\b", re.IGNORECASE)
_TYPES = ("xyz", "xyzfile", "int", "internal", "gzmt", "gzmtfile", "pdbfile")


def looks_like(head: Sequence[str]) -> bool:
    """A simple input line (!) or a block of coordinates."""
    return any(re.match(r"\s*!|\s*\*\s*(xyz|int|gzmt|pdb)|\s*%\s*coords", line, re.IGNORECASE) for line in head)


def split(lines: Lines) -> Iterator[Chunk]:
    """The jobs between lines of $new_job; those without coordinates are named, not read."""
    jobs: list[tuple[int, list[str]]] = [(1, [])]
    for line in lines:
        if line.strip().lower() == "$new_job":
            jobs.append((lines.number + 1, []))
            continue
        if _BEGIN.match(line) and any(_BEGIN.match(other) for other in jobs[-1][1]):  # files that were joined
            jobs.append((lines.number, []))
        jobs[-1][1].append(re.sub(r"#[^#]*(#|$)", "", line))
    own = [job for job in jobs if any(_BEGIN.match(line) for line in job[1])]
    left = tuple(f"line {job[0]}: a job without coordinates is not read" for job in jobs if job not in own)
    for k, (first, body) in enumerate(own or jobs[:1]):
        yield Chunk(body, first, lines.folder, left if own and k == 0 else ())


def parse(chunk: Chunk) -> Record:
    """One job.

    Raises:
        InputError: no coordinates, point charges, coordinates that cannot be read.
    """
    bohr = any(re.match(r"\s*!.*\bbohrs\b", line, re.IGNORECASE) for line in chunk.lines)
    outside = next((l for l in chunk.lines if _AROUND.search(l)), None)
    if outside is not None:
        raise InputError(f"{shown(outside.strip())}: charges and fields around the molecule are not understood")
    for k, line in enumerate(chunk.lines):
        match = _STAR.fullmatch(line)
        if match is not None and match[1].lower() in _TYPES:
            record = _star(chunk, k, match[1].lower(), match[4], bohr)
            charge, spin = match[2], match[3]
            break
        if re.match(r"\s*%\s*coords", line, re.IGNORECASE):
            record, charge, spin = _coords(chunk, k, bohr)
            break
    else:
        raise InputError(
            f"{chunk.where(0)}: expected coordinates, which begin with * xyz CHARGE MULTIPLICITY; got none"
        )
    where = chunk.where(k)
    record.state("charge", whole(charge, "the charge", where), where)
    record.state("multiplicity", whole(spin, "the multiplicity", where), where)
    for note in chunk.notes:
        record.remark("jobs", note)
    _constraints(record, "\n".join(chunk.lines))
    if solvent := next((found for line in chunk.lines if (found := _SOLVENT.search(line))), None):
        record.remark_solvent(solvent[0].strip())
    return record


def _star(chunk: Chunk, k: int, kind: str, rest: str, bohr: bool) -> Record:
    """Coordinates after a line that begins with *."""
    if kind == "xyzfile":
        return _from_file(chunk.folder, rest.strip("\"' "), chunk.where(k))
    if kind in ("gzmtfile", "pdbfile"):
        raise InputError(f"{chunk.where(k)}: coordinates in another file are read from xyzfile only; got {kind}")
    end = next((j for j in range(k + 1, len(chunk.lines)) if chunk.lines[j].lstrip().startswith("*")), None)
    if end is None:
        raise InputError(f"{chunk.where(k)}: expected a line with * after the coordinates; the file ends")
    return Record(_atoms(chunk, range(k + 1, end), kind, bohr))


def _coords(chunk: Chunk, start: int, bohr: bool) -> tuple[Record, str, str]:
    """The block %coords: type, charge, multiplicity, units, coordinates."""
    said = {"ctyp": "xyz", "charge": "0", "mult": "1", "units": "bohrs" if bohr else "angs"}
    begin = None
    for k in range(start, len(chunk.lines)):
        words = chunk.lines[k].replace("=", " ").split()
        words = words[1:] if k == start else words
        if words and words[0].lower() == "coords":
            begin = k + 1
            break
        for key, value in zip(words[::2], words[1::2], strict=False):
            said[key.lower()] = value
    end = None if begin is None else next((j for j in range(begin, len(chunk.lines)) if _ends(chunk.lines[j])), None)
    if begin is None or end is None:
        raise InputError(f"{chunk.where(start)}: expected coords … end in %coords; got none")
    kind, unit = said["ctyp"].lower(), said["units"].lower()
    if kind not in ("xyz", "int", "internal", "gzmt") or not unit.startswith(("angs", "bohr")):
        raise InputError(f"{chunk.where(start)}: CTyp {kind} with Units {unit} is not understood")
    record = Record(_atoms(chunk, range(begin, end), kind, unit.startswith("bohr")))
    return record, said["charge"], said["mult"]


def _ends(line: str) -> bool:
    return line.strip().lower() == "end"


def _atoms(chunk: Chunk, lines: range, kind: str, bohr: bool) -> Atoms:
    ghosts = re.compile(r"^(\s*[A-Za-z]+)\s+:")  # H : 0 0 0 is H: 0 0 0
    rows = rows_of([ghosts.sub(r"\1:", chunk.lines[k]) for k in lines], chunk.first + lines.start)
    for label, _, where in rows:
        if label.upper() == "Q" or label.endswith(">"):
            raise InputError(
                f"{where}: a point charge or embedding potential ({label}) among the atoms is not understood"
            )
        if label.upper() == "DA":
            raise InputError(f"{where}: {label!r} is a dummy atom; expected atoms only")
    if kind in ("int", "internal"):
        return _internal(rows, bohr)
    atoms = molecule(rows, bohr=bohr)
    for k, line in enumerate(line for line in (chunk.lines[j] for j in lines) if line.strip()):
        if re.search(r"\bZ\s*=", line):
            raise InputError(f"atom {k}: a nucleus with a charge of its own ({shown(line.strip())}) is not understood")
        mass = re.search(r"\bM\s*=\s*([\d.]+)", line)
        if mass is not None:
            masses = atoms.get_masses()
            masses[k] = number(mass[1], chunk.where(lines.start))
            atoms.set_masses(masses)
    return atoms


def _internal(rows: Sequence[Row], bohr: bool) -> Atoms:
    """ORCA's internal coordinates: three references, then distance, angle, torsion."""
    bonds = []
    for k, (_, words, where) in enumerate(rows):
        if len(words) < 6:
            raise InputError(f"{where}: expected three references and three values; got {shown(' '.join(words))}")
        references = [whole(w, "a reference", where) - 1 for w in words[:3]]
        values = [number(w, where) for w in words[3:6]]
        if bohr:
            values[0] *= BOHR_ANGSTROM
        bonds.append(list(zip(references, values, strict=True))[: min(k, 3)])
    return make_atoms(kinds([label for label, *_ in rows]), from_zmatrix(bonds))


def _from_file(folder: Path, name: str, where: str) -> Record:
    """The first frame of the xyz file that ``* xyzfile`` names; its comment does not count for ORCA."""
    path = folder / name
    if not name or not path.is_file():
        raise InputError(f"{where}: expected the xyz file {shown(name)} beside this one; there is none")
    with opened(Source(str(path))) as stream:
        encoding, _ = head_of(stream)
        lines = lines_of(stream, encoding or "latin-1")
        try:
            chunk = next(xyz.split(lines))
        except StopIteration:
            raise InputError(f"{where}: the xyz file {shown(name)} holds no structure") from None
        finally:
            lines.close()
    record = Record(xyz.parse(chunk).atoms)
    record.atoms.info.clear()
    return record


def _constraints(record: Record, text: str) -> None:
    """Cartesian constraints of %geom fix their atoms; others are named."""
    block = re.search(r"constraints(.*?)\bend\b", text, re.IGNORECASE | re.DOTALL)
    if block is None:
        return
    given = re.findall(r"\{([^}]*)\}", block[1])
    fixed = [re.fullmatch(r"\s*C\s+(\d{1,7})\s+C\s*", g, re.IGNORECASE) for g in given]
    atoms = [int(m[1]) for m in fixed if m is not None]
    if atoms and max(atoms) < len(record.atoms):
        from ase.constraints import FixAtoms  # loads scipy

        record.atoms.set_constraint(FixAtoms(atoms))
    others = [g.strip() for g, m in zip(given, fixed, strict=True) if m is None]
    if others:
        record.remark("constraints", f"the constraint {{{others[0]}}} is not used; only fixed atoms are")
