"""Input of Gaussian (.com, .gjf): jobs, charge and multiplicity, Cartesian coordinates or a Z-matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nddo_ml.errors import InputError
from nddo_ml.structures.coordinates import (
    CHARGE_AND_MULTIPLICITY,
    is_atom_row,
    molecule,
    rows_of,
    variables_of,
)
from nddo_ml.structures.record import Chunk, Lines, Record, shown, title, whole

_FROM_CHECKPOINT = re.compile(r"geom\w*\s*[=(]\s*\(?[^)\s]*check", re.IGNORECASE)
_BOHR = re.compile(r"units\s*[=(]\s*\(?[^)\s]*\b(au|bohr)\b", re.IGNORECASE)
_AROUND = re.compile(r"(?<![\w=(,-])(charge|field)\b(?!\w)", re.IGNORECASE)  # background charges, an electric field
_SOLVENT = re.compile(r"\bscrf\b[^\s]*", re.IGNORECASE)
Section = tuple[int, list[str]]  # index of its first line, and its lines


def looks_like(head: Sequence[str]) -> bool:
    """A route section (#) after link commands (%) and comments (!), and charge and multiplicity."""
    lines = [line.split("!", 1)[0].strip() for line in head]
    first = next((line for line in lines if line and not line.startswith("%")), "")
    return first.startswith("#") and any(CHARGE_AND_MULTIPLICITY.fullmatch(line) for line in lines)


def split(lines: Lines) -> Iterator[Chunk]:
    """The jobs between lines of --Link1--; those without a geometry of their own are named, not read."""
    jobs: list[tuple[int, list[str]]] = [(1, [])]
    blank = complete = False
    for line in lines:
        text = line.split("!", 1)[0].rstrip()
        if text.strip().lower() == "--link1--":
            jobs.append((lines.number + 1, []))
            complete = False
            continue
        if complete and blank and text.startswith(("#", "%")):  # files that were joined without --Link1--
            jobs.append((lines.number, []))
            complete = False
        complete |= CHARGE_AND_MULTIPLICITY.fullmatch(text) is not None
        blank = not text.strip()
        jobs[-1][1].append(text)
    jobs = [job for job in jobs if any(line.strip() for line in job[1])]
    own = [job for job in jobs if not _FROM_CHECKPOINT.search(" ".join(_route(job[1])[1]))]
    others = [job for job in jobs if job not in own]
    left = tuple(f"line {first}: a job that takes its geometry from a checkpoint is not read" for first, _ in others)
    for k, (first, body) in enumerate(own or jobs):
        yield Chunk(body, first, lines.folder, left if own and k == 0 else ())


def parse(chunk: Chunk) -> Record:
    """One job.

    Raises:
        InputError: no charge and multiplicity, a geometry elsewhere, charges or a field around the molecule, rows that
            cannot be read.
    """
    end, route = _route(chunk.lines)
    if not route:
        raise InputError(f"{chunk.where(0)}: expected a route section, which begins with #; got none")
    text = " ".join(route)
    if _FROM_CHECKPOINT.search(text):
        raise InputError(
            f"{chunk.where(0)}: the geometry is in a checkpoint file ({shown(text, 60)}), which is not read"
        )
    around = _AROUND.search(text)
    if around is not None:
        raise InputError(f"{chunk.where(0)}: charges and fields around the molecule ({around[1]}) are not understood")
    sections = _sections(chunk.lines, end)
    place = _molecule_section(sections)
    if place is None:
        raise InputError(f"{chunk.where(end)}: expected charge and multiplicity after the title; got none")
    start, body = sections[place]
    match = CHARGE_AND_MULTIPLICITY.fullmatch(body[0])
    if match is None:
        raise InputError(f"{chunk.where(start)}: expected charge and multiplicity; got {shown(body[0])}")
    for k, line in enumerate(body):
        if line.lstrip().startswith("@"):
            raise InputError(f"{chunk.where(start + k)}: {shown(line)} names another file, which is not read")
    later = sections[place + 1 :]
    heading = next(
        (k for k, line in enumerate(body) if re.fullmatch(r"\s*(variables|constants):?\s*", line, re.I)), None
    )
    values = {} if heading is None else variables_of(body[heading:], chunk.first + start + heading)
    for begin, lines in later[:2]:
        if all(
            re.fullmatch(r"\s*([A-Za-z]\w*[\s=]+[-+.\deEdD]+.*|variables:?|constants:?)\s*", l, re.I) for l in lines
        ):
            values |= variables_of(lines, chunk.first + begin)
    rows = rows_of(body[1:heading], chunk.first + start + 1)
    record = Record(molecule(rows, values, bool(_BOHR.search(text)), freeze_codes=True))
    record.name = title(" ".join(sections[0][1])) if place else ""
    where = chunk.where(start)
    record.state("charge", whole(match[1], "the charge", where), where)
    record.state("multiplicity", whole(match[2], "the multiplicity", where), where)
    frozen = [line for _, lines in later for line in lines if re.fullmatch(r"\s*([BADLX]\s+)?(\d+\s+)+[FS]\b.*", line)]
    if frozen:
        record.remark("constraints", f"the constraint {shown(frozen[0].strip())} is not used; frozen atoms (-1) are")
    if re.search(r"readiso", text, re.IGNORECASE):
        record.remark("isotopes", "the isotopes after the molecule (ReadIsotopes) are not used; Iso= of an atom is")
    if solvent := _SOLVENT.search(text):
        record.remark_solvent(solvent[0])
    for note in chunk.notes:
        record.remark("jobs", note)
    return record


def _route(lines: Sequence[str]) -> tuple[int, list[str]]:
    """The line after the route section, and its lines."""
    start = next((k for k, line in enumerate(lines) if line.lstrip().startswith("#")), None)
    if start is None:
        return 0, []
    end = next((k for k in range(start, len(lines)) if not lines[k].strip()), len(lines))
    return end, list(lines[start:end])


def _sections(lines: Sequence[str], start: int) -> list[Section]:
    """Groups of lines between blank ones."""
    sections: list[Section] = []
    for k in range(start, len(lines)):
        if not lines[k].strip():
            continue
        if k == start or not lines[k - 1].strip() or not sections:
            sections.append((k, []))
        sections[-1][1].append(lines[k])
    return sections


def _molecule_section(sections: Sequence[Section]) -> int | None:
    """Which section holds the molecule: the second; the first where the title is blank."""

    def fits(k: int) -> bool:
        return k < len(sections) and CHARGE_AND_MULTIPLICITY.fullmatch(sections[k][1][0]) is not None

    if fits(0) and len(sections[0][1]) > 1 and is_atom_row(sections[0][1][1]):
        return 0
    return 1 if fits(1) else None
