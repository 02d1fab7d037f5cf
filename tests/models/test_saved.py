"""Models on disk: the same numbers back, only safe data, and errors that name the file."""

from __future__ import annotations

import pickle

import pytest
import torch
from ase.build import molecule
from nnp_models import make_nnp

from nddo_ml import InputError, Systems, load_model, save_model
from nddo_ml.models.saved import read_card
from nddo_ml.storage import save_atomically


@pytest.fixture
def model():
    frames = [molecule("CH3OH"), molecule("H2O")]
    made = make_nnp(("H", "C", "O"), frames=frames, members=2, seed=9)
    made.extrapolation_margin = 5.0
    return made


def test_saved_model_gives_the_same_numbers(model, tmp_path):
    save_model(model, tmp_path / "a.pt", {"data": "two molecules", "licence": "CC0"})
    again = load_model(tmp_path / "a.pt")
    systems = Systems.from_ase([molecule("H2O"), molecule("CH4")])
    model.extrapolation_margin = again.extrapolation_margin = None
    a, b = model(systems, forces=True), again(systems, forces=True)
    assert torch.equal(a.energy, b.energy)
    assert torch.equal(a.forces, b.forces)
    assert again.name == model.name
    assert not again.training
    assert again.card == read_card(tmp_path / "a.pt") == {"data": "two molecules", "licence": "CC0"}


def test_margin_is_kept(model, tmp_path):
    save_model(model, tmp_path / "a.pt")
    assert load_model(tmp_path / "a.pt").extrapolation_margin == 5.0


def test_arbitrary_pickles_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("this must not run",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    torch.save({"format": "nddo-ml model", "x": Evil()}, tmp_path / "evil2.pt")
    for name in ("evil.pt", "evil2.pt"):
        with pytest.raises(InputError, match=rf"{name}: corrupt, or not a file"):
            load_model(tmp_path / name)


@pytest.mark.parametrize("length", [0, 10, 3000])
def test_truncated_file(model, tmp_path, length):
    save_model(model, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:length])
    with pytest.raises(InputError, match=r"a.pt: corrupt"):
        load_model(tmp_path / "a.pt")


def test_wrong_files_and_names(model, tmp_path):
    with pytest.raises(InputError, match="no such file, method or shipped model"):
        load_model("no-such-model")
    torch.save({"format": "something else"}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="got 'something else'"):
        load_model(tmp_path / "other.pt")
    with pytest.raises(InputError, match="only NNP and NDDO"):
        save_model(torch.nn.Linear(1, 1), tmp_path / "a.pt")


def test_weights_that_do_not_fit(model, tmp_path):
    save_model(model, tmp_path / "a.pt")
    payload = torch.load(tmp_path / "a.pt", weights_only=True)
    payload["state"].pop("energy_scale")
    save_atomically(payload, tmp_path / "a.pt")
    with pytest.raises(InputError, match="do not fit"):
        load_model(tmp_path / "a.pt")
    payload["version"] = 99
    save_atomically(payload, tmp_path / "a.pt")
    with pytest.raises(InputError, match="later version"):
        load_model(tmp_path / "a.pt")


def test_saving_is_atomic(model, tmp_path, monkeypatch):
    save_model(model, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(model, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]
