"""A fuzzer of structure files: the writer knows the molecule, so that a silent wrong charge is seen.

Files are read whole, in other encodings, and damaged: cut off, with bytes changed, lines lost, doubled and swapped.
What is read of a damaged file is compared where its atoms are still those that were written.
"""

import json
import re
from collections import Counter

import numpy as np
import pytest
from fake_model import MorseModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers import WRITERS, Truth, truths

from nddo_ml.cli import common, main
from nddo_ml.structures import Refused, Structure
from nddo_ml.structures.read import read_structures

SECONDS = 10
QUICK = dict(deadline=1000 * SECONDS, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
SUFFIXES = sorted({w.suffix for w in WRITERS.values()} | {"smi", "cif", "gen", "db", "vasp", "cube", "xsf"})
COUNTS: Counter[str] = Counter()

records = st.tuples(st.sampled_from(sorted(WRITERS)), st.lists(truths(), min_size=1, max_size=3), st.integers(0, 59))
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32")
SWAPS = [
    ("charge", "chrage"),
    ("CHG", "CGH"),
    (" ", "\t"),
    ("\n", "\n\n"),
    ("1", "99999999999999999999"),
    ("0", "1e308"),
]
SWAPS += [("H", "Xx"), (".", ","), ("=", " "), ("1", "nan"), ("M  END", ""), ("\n", " "), ("-", "--"), ("0", "١")]
damage = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("byte"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
        st.tuples(st.just("drop line"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("double line"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("swap columns"), st.floats(0, 1), st.integers(0, 5)),
        st.tuples(st.just("word"), st.floats(0, 1), st.integers(0, len(SWAPS) - 1)),
        st.tuples(st.just("count"), st.floats(0, 1), st.integers(0, 10**30)),
    ),
    min_size=1,
    max_size=3,
)


def written(record: tuple[str, list[Truth], int]) -> tuple[str, str, list[Truth]]:
    """Suffix, text and molecules of a file."""
    name, molecules, style = record
    writer = WRITERS[name]
    molecules = molecules if writer.several else molecules[:1]
    return writer.suffix, "".join(writer.write(t, style) for t in molecules), molecules


def same_atoms(found: Structure, truth: Truth) -> bool:
    return (
        len(found.atoms) == len(truth.symbols)
        and found.atoms.numbers.tolist() == truth.numbers
        and np.allclose(found.atoms.positions, truth.positions, atol=1e-6)
    )


def right(found: Structure, truth: Truth, name: str) -> bool:
    spin = truth.multiplicity if WRITERS[name].spin else truth.lowest
    if name in ("arrays", "json") and not any(truth.unpaired):
        spin = truth.lowest
    return (found.charge, found.multiplicity) == (truth.charge, spin)


def check_whole(record, encoding, newline, path) -> None:
    """A file that only looks different says the same."""
    suffix, text, molecules = written(record)
    file = path / f"whole.{suffix}"
    file.write_bytes(text.replace("\n", newline).encode(encoding))
    found = list(read_structures(file))
    COUNTS[f"{record[0]}, whole"] += 1
    assert [str(f) for f in found if isinstance(f, Refused)] == []
    assert len(found) == len(molecules)
    for structure, truth in zip(found, molecules, strict=True):
        assert same_atoms(structure, truth)
        assert right(structure, truth, record[0])


def damaged(data: bytes, steps) -> bytes:
    for kind, where, how in steps:
        if not data:
            break
        k = min(int(where * len(data)), len(data) - 1)
        lines = data.split(b"\n")
        row = min(int(where * len(lines)), len(lines) - 1)
        if kind == "cut":
            data = data[:k]
        elif kind in ("byte", "flip"):
            data = data[:k] + bytes([how if kind == "byte" else data[k] ^ (1 << how)]) + data[k + 1 :]
        elif kind == "drop line":
            data = b"\n".join(lines[:row] + lines[row + 1 :])
        elif kind == "double line":
            data = b"\n".join([*lines[:row], lines[row], *lines[row:]])
        elif kind == "swap columns":
            words = lines[row].split()
            if len(words) > 1:
                i = how % (len(words) - 1)
                words[i], words[i + 1] = words[i + 1], words[i]
            data = b"\n".join([*lines[:row], b" ".join(words), *lines[row + 1 :]])
        elif kind == "word":
            old, new = (w.encode() for w in SWAPS[how])
            at = data.find(old, k)
            data = data if at < 0 else data[:at] + new + data[at + len(old) :]
        else:
            words = lines[row].split()
            data = b"\n".join([*lines[:row], b" ".join([str(how).encode(), *words[1:]]), *lines[row + 1 :]])
    return data


def said_otherwise(before: bytes, after: bytes) -> bool:
    """Whether the damage touched what the file says of charge and spin, so that there is no truth any more."""
    return _statements(before) != _statements(after)


def _statements(data: bytes) -> list[bytes]:
    """The lines with charges; in formats that have them in the rows of atoms, all rows."""
    words = (
        b"charge",
        b"mult",
        b"spin",
        b"uhf",
        b"CHG",
        b"RAD",
        b"* xyz",
        b"CHARGE",
        b"LET",
        b"HETATM",
        b"LIG",
        b"ICHARG",
    )
    lines = data.replace(b"\r", b"\n").split(b"\n")
    return [line for line in lines if any(w in line for w in words) or re.fullmatch(rb"\s*-?\d+ \d+\s*", line)]


def check_damaged(record, steps, path) -> None:
    """Damage ends in structures and sentences; atoms as they were written have their charge, or a remark."""
    suffix, text, molecules = written(record)
    before = text.encode()
    after = damaged(before, steps)
    file = path / f"damaged.{suffix}"
    file.write_bytes(after)
    found = list(read_structures(file))
    COUNTS[f"{record[0]}, damaged"] += 1
    assert found
    for entry in found:
        assert isinstance(entry, Structure | Refused)
        assert "\n" not in str(entry) or isinstance(entry, Structure)
    cut_only = all(kind == "cut" for kind, *_ in steps)  # says nothing else, but less
    if not cut_only and said_otherwise(before, after):
        return
    for structure in found:
        if isinstance(structure, Structure) and not structure.remarks:
            same = [t for t in molecules if same_atoms(structure, t)]
            assert not same or any(right(structure, t, record[0]) for t in same)


def check_command(record, steps, path, capsys) -> None:
    """The command ends with 0, 1 or 2 and whole JSON."""
    suffix, text, _ = written(record)
    file = path / f"command.{suffix}"
    file.write_bytes(damaged(text.encode(), steps))
    with pytest.raises(SystemExit) as left:
        main(["energy", str(file), "--json", str(path / "out.json")])
    COUNTS[f"{record[0]}, command"] += 1
    assert left.value.code in (0, 1, 2, None)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    if left.value.code in (0, None):
        assert json.loads((path / "out.json").read_text())


@settings(max_examples=60, **QUICK)
@given(records, st.sampled_from(ENCODINGS), st.sampled_from(("\n", "\r\n")))
def test_whole_files(tmp_path, record, encoding, newline):
    check_whole(record, encoding, newline, tmp_path)


@settings(max_examples=80, **QUICK)
@given(records, damage)
def test_damaged_files(tmp_path, record, steps):
    check_damaged(record, steps, tmp_path)


@settings(max_examples=30, **QUICK)
@given(
    st.binary(max_size=400), st.sampled_from(sorted({w.suffix for w in WRITERS.values()} | {"smi", "cif", "gen", "db"}))
)
def test_noise(tmp_path, data, suffix):
    (tmp_path / f"noise.{suffix}").write_bytes(data or b" ")
    assert list(read_structures(tmp_path / f"noise.{suffix}"))


@settings(max_examples=10, **QUICK)
@given(records, damage)
def test_commands(tmp_path, monkeypatch, capsys, record, steps):
    monkeypatch.setattr(common, "load_model", lambda *options: MorseModel())
    check_command(record, steps, tmp_path, capsys)


@pytest.mark.slow
def test_many_files(tmp_path, monkeypatch, capsys):
    """1,400 files; the counts by kind are printed."""
    COUNTS.clear()
    settings(max_examples=400, **QUICK)(
        given(records, st.sampled_from(ENCODINGS), st.sampled_from(("\n", "\r\n", "\r")))(
            lambda record, encoding, newline: check_whole(record, encoding, newline, tmp_path)
        )
    )()
    settings(max_examples=800, **QUICK)(
        given(records, damage)(lambda record, steps: check_damaged(record, steps, tmp_path))
    )()
    monkeypatch.setattr(common, "load_model", lambda *options: MorseModel())
    settings(max_examples=200, **QUICK)(
        given(records, damage)(lambda record, steps: check_command(record, steps, tmp_path, capsys))
    )()
    assert COUNTS.total() >= 1000
    with capsys.disabled():
        print(dict(sorted(COUNTS.items())))
