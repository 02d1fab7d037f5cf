"""Input of GAMESS (US): Cartesian coordinates without symmetry; the rest is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nddo_ml.errors import InputError
from nddo_ml.structures.coordinates import Row, molecule
from nddo_ml.structures.record import Chunk, Lines, Record, is_number, title, whole


def looks_like(head: Sequence[str]) -> bool:
    """A group $CONTRL, $DATA, …"""
    return any(re.match(r"\s*\$(contrl|data|system|basis|scf|statpt|force|guess)\b", line, re.I) for line in head)


def split(lines: Lines) -> Iterator[Chunk]:
    """The file is one job."""
    yield Chunk([line.split("!", 1)[0] for line in lines], 1)


def parse(chunk: Chunk) -> Record:
    """The job.

    Raises:
        InputError: no $DATA, symmetry, internal coordinates, fragments.
    """
    text = "\n".join(chunk.lines)
    options = " ".join(re.findall(r"\$contrl\b(.*?)\$end", text, re.IGNORECASE | re.DOTALL)).upper()
    said = dict(re.findall(r"([A-Z]\w*)\s*=\s*([^\s,]+)", options))
    if re.search(r"\$(efrag|fmo|frgrp|efield)\b", text, re.IGNORECASE):
        raise InputError("a GAMESS input with fragments or a field around the molecule is not understood")
    if said.get("COORD", "UNIQUE") not in ("UNIQUE", "CART"):
        raise InputError(f"GAMESS coordinates of the kind COORD={said['COORD']} are not understood; expected UNIQUE")
    if len(re.findall(r"^\s*\$data\b", text, re.IGNORECASE | re.MULTILINE)) > 1:
        raise InputError("expected one group $DATA; got several")
    start = next((k for k, line in enumerate(chunk.lines) if re.match(r"\s*\$data\b", line, re.IGNORECASE)), None)
    if start is None or len(chunk.lines) < start + 4:
        raise InputError(f"{chunk.where(0)}: expected a group $DATA with title, symmetry and atoms; got none")
    symmetry = chunk.lines[start + 2].split()
    if [word.upper() for word in symmetry] != ["C1"]:
        raise InputError(f"{chunk.where(start + 2)}: GAMESS input with symmetry is not understood; expected C1")
    rows: list[Row] = []
    for k in range(start + 3, len(chunk.lines)):
        words = chunk.lines[k].split()
        if words and words[0].lower() == "$end":
            break
        if len(words) == 5 and all(is_number(word) for word in words[1:]):
            nucleus = str(round(float(words[1]))) if abs(float(words[1])) < 1e4 else words[1]
            rows.append((nucleus, words[2:], chunk.where(k)))
        elif rows and words and is_number(words[-1]) and len(words) == 4 and not is_number(words[0]):
            raise InputError(f"{chunk.where(k)}: expected name, charge of the nucleus and three coordinates")
    else:
        raise InputError(f"{chunk.where(start)}: expected $END after $DATA; the file ends")
    record = Record(molecule(rows, bohr=said.get("UNITS") == "BOHR"), title(chunk.lines[start + 1]))
    for quantity, key in (("charge", "ICHARG"), ("multiplicity", "MULT")):
        if key in said:
            record.state(quantity, whole(said[key], key, "$CONTRL"), f"{key}={said[key]}")
    if solvent := re.search(r"\$(pcm|cosgms|svp)\b[^$\n]*", text, re.IGNORECASE):
        record.remark_solvent(solvent[0].strip())
    return record
