"""xyz and extended xyz: frames as they come, comments that say something, columns by name.

The columns are parsed by ASE's reader of extended xyz, frame by frame; what surrounds them is read here, because ASE
takes bare words for true keys, stops at blank lines and gives up a file for its last frame.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.structures.labels import Kind, kinds, make_atoms, set_masses
from nddo_ml.structures.record import Chunk, Lines, Record, is_number, number, shown, title, whole

if TYPE_CHECKING:
    from ase import Atoms

_COUNT = re.compile(r"\s*(\d+)\s*", re.ASCII)
_PLAIN = "species:S:1:pos:R:3"
_SAID = re.compile(
    r"(?<![A-Za-z])(?P<key>(?:total[ _]|net[ _])?charge|chrg|multiplicity|mult|uhf)\"?\s*[:=]?\s*"
    r"(?P<value>[+\u2212\u2013-]?\d{1,4}|\d{1,4}[+-])(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
_HINT = re.compile(
    r"charge|chrg|multiplic|spin|uhf|2s\+1|\b(an|cat)?ions?\b|radical|singlet|doublet|triplet|quartet", re.IGNORECASE
)
_NUMBERS = re.compile(r"\s*([+-]?\d+\s+\d+|[+-]\d+)\s*")  # a charge, perhaps with a multiplicity
_UNIT_KEYS = ("unit", "units", "length_unit", "length_units")
_OTHER_UNITS = re.compile(r"bohrs?|a\.?u\.?|atomic(?:[ _]units?)?|nm|nanomet\w+|pm|picomet\w+", re.IGNORECASE)
_BOHR = re.compile(r"\b(bohrs?|(in|all) atomic units)\b", re.IGNORECASE)
_NAMES = ("name", "title", "label", "id")


def split(lines: Lines) -> Iterator[Chunk]:
    """The frames of a file; blank lines between them do not count. What is no frame, or none that is whole, is a chunk
    up to the next line that may begin one."""
    for line in lines:
        if not line.strip():
            continue
        first = lines.number
        count = int(line) if _COUNT.fullmatch(line) else 0
        frame = _frame(lines, line, count) if _COUNT.fullmatch(line) else [line]
        yield Chunk(frame, first)
        if len(frame) < count + 2:
            _go_on(lines)


def _go_on(lines: Lines) -> None:
    """Leave out lines up to a number of atoms."""
    for line in lines:
        if _COUNT.fullmatch(line):
            lines.back(line)
            return


def _frame(lines: Lines, head: str, count: int) -> list[str]:
    """Count, comment and atoms, as many as there are: too few where a line is no atom, more where the next is one."""
    frame = [head]
    for line in lines:
        if (len(frame) > 1 and len(line.split()) < 4) or (len(frame) >= count + 2 and not _is_surplus(line)):
            lines.back(line)
            break
        frame.append(line)
    return frame


def _is_surplus(line: str) -> bool:
    """Whether a line after a whole frame belongs to it: one atom too many, or a vector of its lattice."""
    words = line.split()
    return len(words) >= 4 and (words[0].startswith("VEC") or _is_atom(words))


def _is_atom(words: list[str]) -> bool:
    """Whether words begin with an element and coordinates, which a comment does not by chance."""
    from ase.data import atomic_numbers

    numbers = words[1:4]
    return (
        words[0].rstrip("0123456789").capitalize() in atomic_numbers
        and all(map(is_number, numbers))
        and any("." in n for n in numbers)
    )


def parse(chunk: Chunk) -> Record:
    """One frame.

    Raises:
        InputError: rows that are no atoms, keys that cannot be read.
    """
    count = _checked_count(chunk)
    comment = chunk.lines[1]
    info, bare = _comment(comment)
    _check_units(info)
    properties = str(info.get("Properties", _PLAIN))
    found, rows, leftover = _rows(chunk, properties, count)
    if info:
        info["Properties"] = properties.replace("species:I:", "species:S:")  # numbers have become symbols
        atoms = _by_ase(chunk, info, rows)
    else:
        atoms = make_atoms(found, [[float(value) for value in row.split()[1:4]] for row in rows])
    set_masses(atoms, found)
    _vectors(atoms, chunk, count)
    name = next((str(atoms.info[key]) for key in _NAMES if isinstance(atoms.info.get(key), str)), "")
    record = Record(atoms, title(name))
    extended = properties != _PLAIN
    if leftover and not extended:
        record.remark("columns", "columns after the coordinates are not used; their meaning is not said (Properties=)")
    _use_bare_words(record, bare, extended)
    return record


def _by_ase(chunk: Chunk, info: dict[str, Any], rows: Sequence[str]) -> Atoms:
    """The structure of columns with names."""
    from ase.io.extxyz import read_extxyz

    text = "\n".join([str(len(rows)), "keys", *rows]) + "\n"
    try:
        atoms: Atoms = next(iter(read_extxyz(io.StringIO(text), 0, properties_parser=lambda _: dict(info))))
    except (ValueError, TypeError, OSError, AttributeError, IndexError, KeyError) as error:
        raise InputError(f"{chunk.where(1)}: this frame's columns do not fit its keys ({_first(error)})") from None
    return atoms


def _checked_count(chunk: Chunk) -> int:
    """The number of atoms, which the frame must have."""
    head = chunk.lines[0]
    if _COUNT.fullmatch(head) is None:
        raise InputError(
            f"{chunk.where(0)}: expected a structure, which begins with its number of atoms; got {shown(head)}"
        )
    count, found = int(head), sum(not line.startswith("VEC") for line in chunk.lines[2:])
    if count == 0:
        raise InputError("expected at least one atom; the frame has none")
    if found != count:
        end = chunk.where(len(chunk.lines) - 1)
        raise InputError(f"{end}: expected a structure of {head.strip()[:30]} atoms; got {found}")
    words = chunk.lines[1].split()
    if len(words) == 4 and _is_atom(words):
        raise InputError(
            f"{chunk.where(1)}: expected a comment, which may be empty; got the atom {shown(chunk.lines[1])}"
        )
    return count


def _comment(comment: str) -> tuple[dict[str, Any], list[str]]:
    """Keys with values, as ASE reads them, and the words without."""
    text = comment
    if not any(quote in comment for quote in "\"'{["):
        text = re.sub(r"[;,]\s*(?=[A-Za-z0-9_+]+\s*=)", " ", comment)
        text = re.sub(r"(?<=[A-Za-z0-9_])\s*=\s*(?=[^\s=])", "=", text)
    if "=" not in text:
        return {}, [text]
    from ase.io.extxyz import key_val_str_to_dict

    words = _words(text)
    pairs = [w for w in words if re.match(r"[\"']?([A-Za-z_]|2[sS]\+1=)[^=\s]*=?.", w) and "=" in w[:-1]]
    bare = [w for w in words if w not in pairs]
    info: dict[str, Any] = {}
    for pair in pairs:
        try:
            new = key_val_str_to_dict(pair)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"the comment line's {shown(pair, 60)} cannot be read ({_first(error)})") from None
        for key, value in new.items():
            if key in info and not np.array_equal(info[key], value):
                raise InputError(f"the comment line has {key!r} twice, with {shown(info[key])} and {shown(value)}")
            info[key] = value
    return info, bare


def _words(text: str) -> list[str]:
    """The words of a comment; quotes and brackets keep theirs together."""
    words = re.findall(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\\.|[^\s"'{\[])+|\S""", text)
    return words or shlex.split(text, posix=False)


def _rows(chunk: Chunk, properties: str, count: int) -> tuple[list[Kind], list[str], bool]:
    """Elements, rows with symbols and numbers as ASE takes them, and whether columns are left over."""
    from ase.data import chemical_symbols

    columns = _columns(properties)
    species = next((k for k, (name, _) in enumerate(columns) if name == "species"), None)
    rows = [line.split() for line in chunk.lines[2 : 2 + count]]
    for k, row in enumerate(rows):
        if len(row) < len(columns):
            raise InputError(f"{chunk.where(k + 2)}: expected {len(columns)} columns; got {shown(chunk.lines[k + 2])}")
    found: list[Kind] = []
    if species is not None:
        found = kinds([row[species] for row in rows])
    made = []
    for k, row in enumerate(rows):
        values = []
        for j, (text, (_, kind)) in enumerate(zip(row, columns, strict=False)):
            if j == species:
                values.append(chemical_symbols[found[k].number])
            elif kind == "R":
                values.append(text if _is_float(text) else repr(number(text, chunk.where(k + 2))))
            elif kind == "I":
                values.append(str(whole(text, "this column", chunk.where(k + 2))))
            elif kind == "L" and text not in ("T", "F", "True", "False"):
                raise InputError(f"{chunk.where(k + 2)}: expected T or F; got {shown(text)}")
            else:
                values.append(text)
        made.append(" ".join(values))
    return found, made, any(len(row) > len(columns) and is_number(row[len(columns)]) for row in rows)


def _is_float(text: str) -> bool:
    """Whether Python reads the text as a file's number; most are, and this is quick."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def _columns(properties: str) -> list[tuple[str, str]]:
    """Name and type of each column of ``Properties``."""
    fields = properties.split(":")
    columns: list[tuple[str, str]] = []
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        if kind not in ("R", "I", "S", "L") or not re.fullmatch(r"\d{1,4}", width, re.ASCII) or int(width) < 1:
            raise InputError(f"Properties={shown(properties, 80)} cannot be read: {name}:{kind}:{width}")
        columns += [(name, kind)] * int(width)
    if len(fields) % 3 or not columns or ("pos", "R") not in columns:
        raise InputError(f"Properties={shown(properties, 80)} cannot be read; expected NAME:TYPE:WIDTH and pos:R:3")
    return columns


def _vectors(atoms: Any, chunk: Chunk, count: int) -> None:
    """Lattice vectors written as VEC1 … VEC3 after the atoms."""
    vectors = chunk.lines[2 + count :]
    if not vectors:
        return
    rows = [[number(t, chunk.where(2 + count + k)) for t in line.split()[1:4]] for k, line in enumerate(vectors)]
    if len(rows) > 3 or any(len(row) != 3 for row in rows):
        raise InputError(f"{chunk.where(2 + count)}: expected VEC1 to VEC3 with three numbers each")
    atoms.set_cell(rows + [[0.0] * 3] * (3 - len(rows)))
    atoms.pbc = [k < len(rows) for k in range(3)]


def _check_units(info: Mapping[str, Any]) -> None:
    """Refuse lengths that are said not to be in Å."""
    for key, value in info.items():
        if key.lower() in _UNIT_KEYS and _OTHER_UNITS.fullmatch(str(value).strip()):
            raise InputError(f"expected coordinates in Å, as xyz files have them; the comment says {key}={value}")


def _use_bare_words(record: Record, bare: list[str], extended: bool) -> None:
    """The words of a comment that are no keys: what they say of charge and spin, and the title."""
    text = " ".join(bare).strip()
    if not text:
        return
    for match in _SAID.finditer(text):
        key, value = match["key"].lower(), whole(match["value"], match["key"], "the comment line")
        if key == "uhf":
            value += 1
        quantity = "charge" if "ch" in key else "multiplicity"
        record.state(quantity, value, f"the comment {shown(match[0])}")
    rest = _SAID.sub(" ", text)
    if _HINT.search(rest):
        record.remark("comment", f"the comment {shown(rest.strip(), 60)} is no charge and no spin: not used")
    elif _NUMBERS.fullmatch(text):
        record.remark("comment", f"the comment {shown(text)} is not used; write charge=… multiplicity=…")
    if said := _BOHR.search(text):
        record.remark("units", f"the comment says {shown(said[0])}, which is not used: xyz files are read in Å")
    if not record.name and not extended:
        record.name = title(text)


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
