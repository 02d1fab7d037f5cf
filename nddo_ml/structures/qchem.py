"""Input of Q-Chem: ``$molecule``, one or several jobs, fragments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from nddo_ml.errors import InputError
from nddo_ml.structures.coordinates import CHARGE_AND_MULTIPLICITY, molecule, rows_of, variables_of
from nddo_ml.structures.record import Chunk, Lines, Record, shown, whole

_BEGIN = re.compile(r"\s*\$molecule\b", re.IGNORECASE)


def looks_like(head: Sequence[str]) -> bool:
    """A section $molecule or $rem."""
    return any(re.match(r"\s*\$(molecule|rem)\b", line, re.IGNORECASE) for line in head)


def split(lines: Lines) -> Iterator[Chunk]:
    """The jobs between lines of @@@; those that read the molecule of the one before are named."""
    jobs: list[tuple[int, list[str]]] = [(1, [])]
    for line in lines:
        text = line.split("!", 1)[0]
        if line.strip().startswith("@@@"):
            jobs.append((lines.number + 1, []))
            continue
        if _BEGIN.match(text) and any(_BEGIN.match(other) for other in jobs[-1][1]):  # files that were joined
            jobs.append((lines.number, []))
        jobs[-1][1].append(text)
    jobs = [job for job in jobs if any(line.strip() for line in job[1])]
    own = [job for job in jobs if not re.search(r"\$molecule\s+read\s", "\n".join(job[1]) + "\n", re.IGNORECASE)]
    left = tuple(f"line {job[0]}: a job that reads the molecule before is not read" for job in jobs if job not in own)
    for k, (first, body) in enumerate(own or jobs):
        yield Chunk(body, first, lines.folder, left if own and k == 0 else ())


def parse(chunk: Chunk) -> Record:
    """One job.

    Raises:
        InputError: no molecule, charges around it, rows that cannot be read.
    """
    text = "\n".join(chunk.lines)
    around = re.search(
        r"^\s*\$(external_charges|qm_atoms|efp_fragments|multipole_field)", text, re.IGNORECASE | re.MULTILINE
    )
    if around is not None:
        raise InputError(f"charges, atoms and fields around the molecule (${around[1]}) are not understood")
    start = next((k for k, line in enumerate(chunk.lines) if re.match(r"\s*\$molecule\b", line, re.IGNORECASE)), None)
    if start is None:
        raise InputError(f"{chunk.where(0)}: expected a section $molecule; got none")
    end = next(
        (k for k in range(start, len(chunk.lines)) if re.match(r"\s*\$end\b", chunk.lines[k], re.IGNORECASE)), None
    )
    if end is None:
        raise InputError(f"{chunk.where(start)}: expected $end after the molecule; the file ends")
    body = [k for k in range(start + 1, end) if chunk.lines[k].strip()]
    first = chunk.lines[body[0]] if body else ""
    match = CHARGE_AND_MULTIPLICITY.fullmatch(first)
    if match is None:
        raise InputError(f"{chunk.where(start + 1)}: expected charge and multiplicity; got {shown(first)}")
    dividers = [k for k in body if chunk.lines[k].strip().startswith("--")]
    heads = [after for k, after in pairwise(body) if k in dividers]  # of fragments: charge and multiplicity
    inner = [k for k in body[1:] if k not in dividers and k not in heads]
    values = [k for k in inner if "=" in chunk.lines[k] and re.match(r"\s*[A-Za-z]\w*\s*=", chunk.lines[k])]
    rows = [row for k in inner if k not in values for row in rows_of([chunk.lines[k]], chunk.first + k)]
    variables = {n: v for k in values for n, v in variables_of([chunk.lines[k]], chunk.first + k).items()}
    bohr = re.search(r"^\s*input_bohr\s*=?\s*(true|1)", text, re.IGNORECASE | re.MULTILINE) is not None
    record = Record(molecule(rows, variables, bohr))
    where = chunk.where(body[0])
    record.state("charge", whole(match[1], "the charge", where), where)
    if heads:
        record.state("charge", sum(_fragment_charge(chunk, k) for k in heads), "the sum of the fragments' charges")
    record.state("multiplicity", whole(match[2], "the multiplicity", where), where)
    for note in chunk.notes:
        record.remark("jobs", note)
    if re.search(r"^\s*\$opt\b", text, re.IGNORECASE | re.MULTILINE):
        record.remark("constraints", "the constraints of $opt are not used")
    if re.search(r"^\s*\$isotopes\b", text, re.IGNORECASE | re.MULTILINE):
        record.remark("isotopes", "the isotopes of $isotopes are not used")
    if solvent := re.search(r"^\s*(solvent_method\b.*|\$(solvent|smx|pcm)\b)", text, re.IGNORECASE | re.MULTILINE):
        record.remark_solvent(" ".join(solvent[1].split()))
    return record


def _fragment_charge(chunk: Chunk, k: int) -> int:
    match = CHARGE_AND_MULTIPLICITY.fullmatch(chunk.lines[k])
    if match is None:
        raise InputError(
            f"{chunk.where(k)}: expected a fragment's charge and multiplicity; got {shown(chunk.lines[k])}"
        )
    return whole(match[1], "the charge", chunk.where(k))
