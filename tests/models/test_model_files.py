"""Model files carry a checksum: any changed bit is refused, older files load with one remark, foreign ones do not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings

import pytest
import torch
from nnp_models import make_nnp
from places import DATA

from nddo_ml import InputError, load_model, save_model
from nddo_ml.models.saved import MODELS_DIR
from nddo_ml.storage import UnsealedWarning, save_atomically


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small potential's file, and its payload."""
    file = tmp_path_factory.mktemp("model") / "m.pt"
    save_model(make_nnp(("H", "O"), seed=1, hidden=(3,), members=1), file, {"made": "up"})
    return file, torch.load(file, weights_only=True)


def test_every_flipped_bit_is_refused(saved, tmp_path):
    """All bytes of the archive's ends and directory, where one bit decides what is read, and some of the tensors."""
    data = saved[0].read_bytes()
    places = {*range(200), *range(len(data) - 1200, len(data)), *range(0, len(data), 97)}
    bad = tmp_path / "bad.pt"
    for k in sorted(places):
        changed = bytearray(data)
        changed[k] ^= 1 << (k % 8)
        bad.write_bytes(changed)
        with pytest.raises(InputError, match=r"bad.pt: "):
            load_model(bad)


def test_one_flipped_bit_of_a_shipped_model(tmp_path):
    data = bytearray((MODELS_DIR / "nnp-chno.pt").read_bytes())
    data[1992190] ^= 0x80
    (tmp_path / "flip.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"flip.pt: does not fit its checksum"):
        load_model(tmp_path / "flip.pt")


def test_files_of_earlier_versions(saved, tmp_path):
    """They load with one remark, unless the archive's own sums tell of damage."""
    _, payload = saved
    old = {k: v for k, v in payload.items() if k != "sealed"}
    torch.save(old, tmp_path / "old.pt")
    with pytest.warns(UnsealedWarning, match=r"old.pt: has no checksum; saving it anew gives it one") as told:
        load_model(tmp_path / "old.pt")
    assert len(told) == 1
    data = bytearray((tmp_path / "old.pt").read_bytes())
    data[data.index(payload["state"]["reference_energies"].numpy().tobytes()) + 500] ^= 1
    (tmp_path / "old.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"old.pt: corrupt.* does not fit its checksum"):
        load_model(tmp_path / "old.pt")


def test_a_checksum_that_was_cut_off(saved, tmp_path):
    buffer = io.BytesIO()
    torch.save(saved[1], buffer)
    (tmp_path / "cut.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"cut.pt: its checksum is missing"):
        load_model(tmp_path / "cut.pt")


def _changed(payload, **changes):
    return {k: v for k, v in {**payload, **changes}.items() if v is not None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: _changed(p, card=None), "expected an entry 'card'; there is none"),
        (lambda p: _changed(p, kind=3), "kind must be of type str; got int"),
        (lambda p: _changed(p, config={}), "config must be of type str; got dict"),
        (lambda p: _changed(p, config="{"), "config must be JSON"),
        (lambda p: _changed(p, config="[]"), "config must be a table"),
        (lambda p: _changed(p, config="{}"), "not the configuration of a potential"),
        (lambda p: _changed(p, state=[]), "state must be of type dict; got list"),
        (lambda p: _changed(p, state={**p["state"], "x": 3}), "weights must be tensors by name; 'x' is a int"),
        (
            lambda p: _changed(
                p, state={**p["state"], "reference_energies": p["state"]["reference_energies"] * torch.nan}
            ),
            "weights must be finite numbers; reference_energies has one that is not",
        ),
        (lambda p: _changed(p, version=99), "later version"),
        (lambda p: _changed(p, format="theirs"), "got 'theirs'"),
        (
            lambda p: _changed(p, config=p["config"].replace('"hidden": [3]', '"hidden": [3, 1000000000]')),
            "do not fit a file of",
        ),
    ],
)
def test_wrong_entries(change, message, saved, tmp_path):
    save_atomically(change(dict(saved[1])), tmp_path / "bad.pt")
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path / "bad.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.pt'}: ")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a model", json.dumps({"format": "nddo-ml model"}).encode()])
def test_foreign_files(data, tmp_path):
    (tmp_path / "foreign.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"foreign.pt: corrupt, or not a file"):
        load_model(tmp_path / "foreign.pt")


def test_shipped_files_load_without_remarks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model("nnp-chno")
        load_model(DATA / "mlearn_si" / "model.pt")


FORK = """
import multiprocessing, sys, torch
from ase.build import bulk
from nddo_ml import load_model
from nddo_ml.workflows.calculator import NDDOCalculator
def work(a):
    atoms = bulk("Si", cubic=True, a=a)
    atoms.calc = calculator
    return float(atoms.get_potential_energy())
if __name__ == "__main__":
    torch.set_num_threads(2)
    calculator = NDDOCalculator(load_model(sys.argv[1]))
    here = [work(5.30), work(5.32)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(work, [5.30, 5.32]).get(timeout=60) == here
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks with threads are Linux's")
def test_a_potential_used_by_two_threads_works_in_a_forked_child():
    model = str(DATA / "mlearn_si" / "model.pt")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, model],
        check=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
