"""Reading structures: the one way in for commands and ``Systems.from_file``; lazily, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TypeVar

from nddo_ml.errors import InputError
from nddo_ml.structures import through_ase
from nddo_ml.structures.boxes import take_out
from nddo_ml.structures.charge_spin import resolve_charge_and_spin, signed
from nddo_ml.structures.contacts import close_contacts
from nddo_ml.structures.formats import format_of
from nddo_ml.structures.record import Record, title
from nddo_ml.structures.structure import Refused, Structure
from nddo_ml.structures.text import Source, head_of, lines_of, opened, parse_source, text_of

T = TypeVar("T")
Frame = tuple[int | None, Record | str]  # its number, and the record or the reason why there is none


def read_structures(
    sources: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    charge: int | None = None,
    multiplicity: int | None = None,
    pbc: bool | None = None,
    smiles: Sequence[str] = (),
) -> Iterator[Structure | Refused]:
    """All structures of the sources, one after another, and a ``Refused`` for each that cannot be read.

    Args:
        sources: files; ``-`` is standard input, ``file@0:10`` selects frames (a number or a Python slice).
        charge: e, of every structure, whatever the files say.
        multiplicity: 2S + 1, likewise.
        pbc: False takes what stands in a cell as molecules; True makes every cell periodic; None as the file says.
        smiles: molecules by their SMILES, made by RDKit.

    Charge and multiplicity follow :func:`~nddo_ml.structures.charge_spin.resolve_charge_and_spin`.
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else sources
    stdin_read = False
    for entry in given:
        text = os.fspath(entry)
        if text == "-" and stdin_read:
            yield Refused("-", None, "standard input can be read once only")
            continue
        stdin_read |= text == "-"
        yield from _finished(text, _frames_of(text), charge, multiplicity, pbc)
    for line in smiles:
        from nddo_ml.structures.smiles import record_of

        yield from _finished(line, _guarded(iter([line]), record_of), charge, multiplicity, pbc)


def read_files(
    sources: Iterable[str | os.PathLike[str]],
    *,
    charge: int | None = None,
    multiplicity: int | None = None,
    pbc: bool | None = None,
    smiles: Sequence[str] = (),
) -> tuple[list[Structure], list[InputError]]:
    """The structures that can be read, and one error for each that cannot; arguments as :func:`read_structures`."""
    structures: list[Structure] = []
    errors: list[InputError] = []
    for entry in read_structures(sources, charge=charge, multiplicity=multiplicity, pbc=pbc, smiles=smiles):
        if isinstance(entry, Structure):
            structures.append(entry)
        else:
            errors.append(entry.error)
    return structures, errors


def _frames_of(text: str) -> Iterator[Frame]:
    """The frames of a source that are asked for."""
    try:
        source = parse_source(text)
    except InputError as error:
        yield None, _without(str(error), text)
        return
    frames = _guarded_source(source)
    if source.frames is None:
        yield from frames
        return
    yield from _selected(frames, source.frames)


def _selected(frames: Iterator[Frame], wanted: slice | int) -> Iterator[Frame]:
    """Frames by number or slice; numbers from the end need all of them at once."""
    selection = slice(wanted, wanted + 1 or None) if isinstance(wanted, int) else wanted
    bounds = (selection.start, selection.stop, selection.step)
    chosen: Iterator[Frame]
    if all(b is None or b >= 0 for b in bounds):
        chosen = islice(frames, selection.start, selection.stop, selection.step)
    else:
        chosen = iter(list(frames)[selection])
    empty = True
    for frame in chosen:
        empty = False
        yield frame
    if empty:
        shown = wanted if isinstance(wanted, int) else ":".join("" if b is None else str(b) for b in bounds)
        yield None, f"there is no frame {shown}"


def _guarded_source(source: Source) -> Iterator[Frame]:
    """All frames of a source; what stops the reading is the last of them."""
    number = 0
    try:
        for frame in _all_frames(source):
            yield frame
            number += 1
        if number == 0:
            yield None, "expected at least one structure; the file holds none"
    except InputError as error:
        message = _without(str(error), source.name)
        yield (None if number == 0 and message != str(error) else number), message
    except (
        OSError,
        EOFError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        MemoryError,
        RecursionError,
    ) as error:
        yield number, f"cannot be read; {through_ase.reason(error)}"


def _all_frames(source: Source) -> Iterator[Frame]:
    with opened(source) as stream:
        encoding, head = head_of(stream)
        found = format_of(source.suffix, head) if encoding is not None else None
        if found is not None and encoding is not None:
            with closing(lines_of(stream, encoding, Path(source.name).parent)) as lines:
                yield from _guarded(found.split(lines), found.parse)
            return
        data = stream.read()
        text = None if encoding is None else text_of(data, encoding)
    name = "standard input" if source.name == "-" else source.name
    yield from enumerate(through_ase.read(data, text, name))


def _guarded(chunks: Iterator[T], parse: Callable[[T], Record]) -> Iterator[Frame]:
    """Each chunk parsed; one that is damaged does not cost the others."""
    for number, chunk in enumerate(chunks):
        try:
            yield number, parse(chunk)
        except InputError as error:
            yield number, str(error)
        except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
            yield number, f"cannot be read; {through_ase.reason(error)}"


def _finished(
    source: str, frames: Iterator[Frame], charge: int | None, multiplicity: int | None, pbc: bool | None
) -> Iterator[Structure | Refused]:
    """Records with their charge and spin settled; each kind of remark once a source."""
    told: set[str] = set()
    for number, found in frames:
        if isinstance(found, str) or number is None:
            yield Refused(source, number, str(found))
            continue
        try:
            structure, remarks = _settled(source, number, found, charge, multiplicity, pbc)
        except InputError as error:
            yield Refused(source, number, str(error))
            continue
        new = tuple(text for kind, text in remarks if kind not in told)
        told.update(kind for kind, _ in remarks if kind != "contact")
        yield Structure(source, number, structure.atoms, structure.name, structure.charge, structure.multiplicity, new)


def _settled(
    source: str, frame: int, record: Record, charge: int | None, multiplicity: int | None, pbc: bool | None
) -> tuple[Structure, list[tuple[str, str]]]:
    atoms = record.atoms
    if len(atoms) == 0:
        raise InputError("expected at least one atom; got none")
    if pbc is False and take_out(atoms):
        record.remark("box", "molecules that the boundary of the cell cuts are put together")
    if pbc is True:
        atoms.pbc = atoms.cell.any(1)
    found = resolve_charge_and_spin(atoms, charge, multiplicity, record.stated)
    remarks = [*record.remarks, *found.remarks]
    if found.assumed and found.multiplicity == 2 and not atoms.pbc.any():
        electrons = int(atoms.numbers.sum()) - found.charge
        left = f"charge {signed(found.charge)} leaves {electrons} electron{'s' * (electrons > 1)}, an odd number"
        remarks.append(("doublet", f"{left}: a doublet is assumed"))
    for key in found.used_keys:
        del atoms.info[key]
    atoms.info |= {"charge": found.charge, "multiplicity": found.multiplicity}
    if record.name and "name" not in atoms.info:
        atoms.info["name"] = record.name
    if contact := close_contacts(atoms):
        remarks.append(("contact", contact))
    made = Structure(source, frame, atoms, title(record.name), found.charge, found.multiplicity)
    return made, remarks


def _without(message: str, name: str) -> str:
    """A message without the source's name in front, which is added again."""
    for prefix in (f"{name}: ", f"{Path(name)}: " if name != "-" else "-: "):
        message = message.removeprefix(prefix)
    return message
