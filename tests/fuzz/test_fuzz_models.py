"""Model files and n2p2 folders that are wrong in any way end in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from fuzzing import COUNTS, FAST, MANY, examples, mutated_bytes, mutated_plain, mutated_words, outcome
from hypothesis import given
from hypothesis import strategies as st

from bp_descriptors import Scaler, SymmetryFunctions
from nddo_ml import NDDO, NNP, InputError, load_model, save_model
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.storage import save_atomically

N2P2 = Path(__file__).parents[1] / "data" / "mlearn_si" / "n2p2_model"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A small potential and a small hybrid."""
    functions = SymmetryFunctions.default(["H", "O"], 3.0, size="small")
    scaler = Scaler(functions, torch.zeros(4, 2, functions.n_features, dtype=torch.float64), "none")
    shapes = {z: NetworkShape.uniform(functions.features_of(z), (3,)) for z in (1, 8)}
    save_model(NNP(functions, scaler, [ElementNetworks(shapes, 1)], {1: 0.0, 8: 0.0}), tmp_path / "nnp.pt")
    correction = ParameterCorrection(AtomFeatures.default(["H", "O"], 3.0), hidden=(3,), seed=1)
    save_model(NDDO("AM1", correction=correction), tmp_path / "hybrid.pt", {"made": "up"})
    return [tmp_path / "nnp.pt", tmp_path / "hybrid.pt"]


def _damaged(files: list[Path], n: int) -> None:
    whole = [file.read_bytes() for file in files]
    bad = files[0].with_name("bad.pt")

    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        good = data.draw(st.sampled_from(whole))
        changed = data.draw(st.composite(lambda draw: mutated_bytes(draw, good))())
        if changed == good:
            return
        bad.write_bytes(changed)
        with pytest.raises(InputError):
            load_model(bad)
        COUNTS["model files, damaged: refused"] += 1

    check()


def _foreign(files: list[Path], n: int) -> None:
    """Whole files with a right checksum, in which entries are wrong."""
    payloads = [torch.load(file, weights_only=True) for file in files]
    bad = files[0].with_name("bad.pt")

    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        payload = dict(data.draw(st.sampled_from(payloads)))
        part = data.draw(st.sampled_from(["config", "config", "config", "card", "state", "kind", "version", "format"]))
        if part in ("config", "card"):
            table = data.draw(st.composite(lambda draw: mutated_plain(draw, json.loads(payload[part])))())
            payload[part] = json.dumps(table) if data.draw(st.integers(0, 9)) else table
        elif part == "state":
            state = dict(payload["state"])
            name = data.draw(st.sampled_from(sorted(state)))
            values = [None, 3, torch.tensor(float("nan")), state[name] * torch.inf, state[name].reshape(-1)[:0], "x"]
            state[name] = data.draw(st.sampled_from(values))
            payload["state"] = data.draw(st.sampled_from([state, [], None, {}]))
        else:
            payload[part] = data.draw(st.sampled_from([None, 3, "x", [], 7.5, {}, "NDDO", 2**40]))
        save_atomically(payload, bad)
        outcome("model files, foreign", lambda: load_model(bad), InputError)

    check()


def test_damaged_model_files(files: list[Path]) -> None:
    _damaged(files, 2 * FAST)


def test_foreign_model_files(files: list[Path]) -> None:
    _foreign(files, 2 * FAST)


@pytest.mark.slow
def test_many_model_files(files: list[Path]) -> None:
    _damaged(files, MANY)
    _foreign(files, MANY)
    print({k: v for k, v in COUNTS.items() if k.startswith("model")})


def _folders(tmp_path: Path, n: int) -> None:
    folder = tmp_path / "n2p2"
    shutil.copytree(N2P2, folder)
    good = {p: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix in (".nn", ".data")}

    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from([p for p in good if p.name == "input.nn"] * 3 + list(good)))
        if data.draw(st.integers(0, 3)):
            text = data.draw(st.composite(lambda draw: mutated_words(draw, good[file].decode()))())
            file.write_text(text, encoding="utf-8", errors="replace")
        else:
            file.write_bytes(data.draw(st.composite(lambda draw: mutated_bytes(draw, good[file]))()))
        outcome("n2p2 folders", lambda: NNP.from_n2p2(folder), InputError)
        file.write_bytes(good[file])

    check()


def test_n2p2_folders(tmp_path: Path) -> None:
    _folders(tmp_path, 2 * FAST)


@pytest.mark.slow
def test_many_n2p2_folders(tmp_path: Path) -> None:
    _folders(tmp_path, MANY)
    print({k: v for k, v in COUNTS.items() if k.startswith("n2p2")})
