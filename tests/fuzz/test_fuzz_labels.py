"""Files of labels that are damaged in any way: what was in them is in them still, or beside them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from fuzzing import COUNTS, FAST, MANY, examples, mutated_bytes, mutated_words, no_hang
from hypothesis import given
from hypothesis import strategies as st

from nddo_ml import InputError
from nddo_ml.labelling.store import LabelFile


def written(path: Path) -> list[bytes]:
    """The frames of a new file of labels, as they stand in it."""
    ends = [0]
    with LabelFile(path, "L") as file:
        for k, name in enumerate(("H2O", "CH4", "H2", "H2O", "NH3")):
            atoms = molecule(name)
            atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - k, forces=atoms.positions)
            file.append(f"{k:016x}", atoms)
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    return [whole[a:b] for a, b in pairwise(ends)]


def common(one: bytes, other: bytes) -> int:
    """The number of bytes with which both begin."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def untouched(frames: list[bytes], damaged: bytes) -> list[int]:
    """Frames before and after the damage that do not border on it."""
    whole = b"".join(frames)
    before, after = common(whole, damaged), common(whole[::-1], damaged[::-1])
    ends = [sum(map(len, frames[: k + 1])) for k in range(len(frames))]
    first = [k for k, end in enumerate(ends) if end <= before][:-1]
    last = [k for k, end in enumerate(ends) if end - len(frames[k]) >= max(before, len(whole) - after)][1:]
    return [*first, *last]


def check(folder: Path, frames: list[bytes], damaged: bytes) -> None:
    """Opened or refused, nothing is lost; what is appended then can be read."""
    for old in folder.iterdir():
        old.unlink()
    path = folder / "labels.extxyz"
    path.write_bytes(damaged)
    try:
        with no_hang(), LabelFile(path, "L") as file:
            assert {f"{k:016x}" for k in untouched(frames, damaged)} <= file.done
            file.append("f" * 16, molecule("H2"))
            remark = file.remark
    except InputError:
        COUNTS["labels: refused"] += 1
        assert path.read_bytes() == damaged
        return
    now, aside = path.read_bytes(), folder / "labels.extxyz.damaged"
    COUNTS[f"labels: {'copied aside' if aside.exists() else 'read'}"] += 1
    assert bool(remark) == aside.exists()
    if not aside.exists():
        assert now.startswith(damaged)
    elif "moved" in remark:
        assert now.startswith(damaged.removesuffix(aside.read_bytes()))
    else:
        assert aside.read_bytes() == damaged
    assert all(frames[k] in now for k in untouched(frames, damaged))
    with LabelFile(path, "L") as file:
        assert not file.remark
        assert "f" * 16 in file.done


def _labels(folder: Path, n: int) -> None:
    frames = written(folder / "good.extxyz")
    whole = b"".join(frames)

    @examples(n)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            text = data.draw(st.composite(lambda draw: mutated_words(draw, whole.decode()))())
            damaged = text.encode(errors="replace")
        else:
            damaged = data.draw(st.composite(lambda draw: mutated_bytes(draw, whole))())
        check(folder, frames, damaged)

    run()


def test_damaged_labels(tmp_path: Path) -> None:
    _labels(tmp_path, 2 * FAST)


@pytest.mark.slow
def test_many_damaged_labels(tmp_path: Path) -> None:
    _labels(tmp_path, 2 * MANY)
    print({k: v for k, v in COUNTS.items() if k.startswith("labels")})


@pytest.mark.parametrize("count", [b"1", b"2", b"4", b"1000000"])
@pytest.mark.parametrize("frame", range(5))
def test_no_wrong_count_costs_a_label(tmp_path: Path, frame: int, count: bytes) -> None:
    frames = written(tmp_path / "good.extxyz")
    changed = [*frames]
    changed[frame] = count + frames[frame][1:]
    check(tmp_path, frames, b"".join(changed))
