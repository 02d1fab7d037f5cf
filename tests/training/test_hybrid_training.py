"""Training of a hybrid: its configuration, warm starts, masks, and that the errors fall."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hybrid_models import batch, randomized, rattled

from nddo_ml import NDDO, InputError, load_model
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.predictors.warm_starts import WarmStarts
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.training.build import build_model
from nddo_ml.training.config import read_config
from nddo_ml.training.loss import Loss
from nddo_ml.training.run import train

OPTIONS = {"cutoff": 3.5, "parameters": {"hidden": [4]}, "pairs": {"hidden": [4], "embedding": 2, "radial": 4}}


def labelled(n: int = 8) -> list[Atoms]:
    """Small molecules with the energies, dipoles, charges and forces of PM3."""
    frames = [rattled(name, k, 0.08) for k in range(n) for name in ("H2O", "CH4")]
    prediction = NDDO("PM3")(batch(*frames), forces=True)
    first = 0
    for k, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=float(prediction.energy[k]) + 100 * len(atoms),
            forces=prediction.forces[first : first + len(atoms)].numpy(),
            dipole=prediction.dipole[k].numpy(),
        )
        first += len(atoms)
    return frames


CONFIG = """
seed = 3
output = "{folder}/run"
[model]
kind = "nddo"
cutoff = 3.5
[model.parameters]
hidden = [4]
[model.pairs]
hidden = [4]
embedding = 2
radial = 4
[data]
train = ["{folder}/train.extxyz"]
validation_fraction = 0.2
[loss]
energy = 100.0
forces = 1.0
dipole = 1.0
[[phases]]
epochs = 4
batch = 4
lr = 1e-2
clip = 10.0
"""


def test_training_lowers_the_errors_and_saves_a_hybrid(tmp_path) -> None:
    write(tmp_path / "train.extxyz", labelled())
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path))
    result = train(read_config(tmp_path / "config.toml"))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) == 4
    frames = labelled()
    target = torch.cat([torch.from_numpy(a.get_forces()) for a in frames])
    systems = batch(*frames)
    error, before = ((m(systems, forces=True).forces - target).abs().mean() for m in (result.model, NDDO("AM1")))
    assert float(error) < 0.7 * float(before)
    assert all("not_converged" not in entry for entry in log)
    loaded = load_model(tmp_path / "run" / "model.pt")
    assert isinstance(loaded, NDDO)
    assert len(loaded.corrections) == 2
    assert torch.equal(loaded(systems).energy, result.model(systems).energy)


def test_a_committee_is_one_hybrid_with_half_of_each_members_shifts(tmp_path) -> None:
    write(tmp_path / "train.extxyz", labelled(4))
    (tmp_path / "config.toml").write_text("committee = 2\n" + CONFIG.format(folder=tmp_path))
    model = train(read_config(tmp_path / "config.toml")).model
    corrections = list(model.corrections)
    members = [model.with_corrections([c.scaled(2.0) for c in pair]) for pair in (corrections[:2], corrections[2:])]
    systems = batch(rattled("CH4", 50))
    energies = [float(m(systems).energy) for m in (model, *members)]
    assert energies[1] != pytest.approx(energies[2], abs=1e-4)
    assert energies[0] == pytest.approx(sum(energies[1:]) / 2, abs=0.2 * abs(energies[1] - energies[2]))
    assert float(load_model(tmp_path / "run" / "model.pt")(systems).energy) == pytest.approx(energies[0], abs=1e-9)


AFTER = """
[after.energy]
hidden = [4]
[after.loss]
energy = 100.0
[[after.phases]]
epochs = 3
batch = 4
"""


@pytest.mark.parametrize("committee", [1, 2])
def test_atomic_energies_are_trained_after_the_hybrid(tmp_path, committee) -> None:
    write(tmp_path / "train.extxyz", labelled(4))
    (tmp_path / "config.toml").write_text(f"committee = {committee}\n" + CONFIG.format(folder=tmp_path) + AFTER)
    config = read_config(tmp_path / "config.toml")
    model = train(config).model
    members = [("nddo", 3), ("nddo", 4)][:committee]
    assert [(job.model.kind, job.seed) for job in config.single()] == [*members, ("delta", 3)]
    log = [json.loads(s) for s in (tmp_path / "run" / "after" / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2, 3]
    *field, added = model.corrections
    assert isinstance(added, AtomicEnergyCorrection)
    systems = batch(rattled("CH4", 50))
    before = load_model(tmp_path / "run" / "mixture.pt")(systems).energy
    torch.testing.assert_close(model.with_corrections(field)(systems).energy, before, rtol=0, atol=1e-9)
    assert float((model(systems).energy - before).abs()) > 1e-6
    if committee == 1:
        moved = (tmp_path / "run").rename(tmp_path / "moved")
        entries: list[object] = []
        again = train(replace(config, output=str(moved)), on_epoch=entries.append).model
        assert not entries
        assert torch.equal(again(systems).energy, model(systems).energy)


def test_only_a_hybrid_has_a_part_after(tmp_path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path) + AFTER)
    with pytest.raises(InputError, match=r"model.kind nddo or delta; got 'nnp'"):
        read_config(tmp_path / "config.toml", {"model.kind": "nnp"})
    with pytest.raises(InputError, match=r"after\.hidden is unknown"):
        read_config(tmp_path / "config.toml", {"after.hidden": [4]})


def test_warm_starts_take_fewer_iterations_to_the_same_result() -> None:
    data = from_frames(labelled(2))
    model = build_model("nddo", OPTIONS, data, 1)
    assert isinstance(model, NDDO)
    predict = WarmStarts(model, data.systems)
    index = torch.tensor([2, 0, 3])
    first, second = (predict(index, forces=True, stress=False) for _ in range(2))
    cold = model(data.select(index).systems, forces=True)
    assert bool((second.scf.iterations < cold.scf.iterations).all())
    torch.testing.assert_close(second.energy, cold.energy, rtol=0, atol=1e-9)
    torch.testing.assert_close(first.forces, cold.forces, rtol=0, atol=1e-5)


def test_penalty_holds_the_shifts_small() -> None:
    data = from_frames(labelled(2))
    model = build_model("nddo", OPTIONS, data, 1).train()
    assert isinstance(model, NDDO)
    some = data.select([0, 1, 2])
    loss = Loss({"energy": 1.0}, {}, shifts=2.0)
    normalizers = loss.normalizers(some.labels, some.systems.atoms_per_system)
    plain = Loss({"energy": 1.0}, {})
    for scale, size in ((0.0, 0.0), (0.3, None)):
        randomized(model, scale)
        prediction = model(some.systems)
        extra = loss(prediction, some.labels, some.systems, normalizers) - plain(
            prediction, some.labels, some.systems, normalizers
        )
        assert float(extra.detach()) == pytest.approx(2.0 * float(prediction.shift_size.detach().mean()), abs=1e-9)
        assert size is None or float(extra.detach()) == size
    assert bool((prediction.shift_size > 0).all())
    assert model.eval()(some.systems).shift_size is None


def test_a_field_that_fails_is_masked_and_leaves_no_trace_in_the_gradient() -> None:
    data = from_frames(labelled(2))
    model = build_model("nddo", OPTIONS, data, 1).train()
    assert isinstance(model, NDDO)
    model.scf_options = SCFOptions(tolerance=1e-30, max_iterations=1, max_descent=0)
    index = torch.tensor([0, 1])
    starts = WarmStarts(model, data.systems)
    prediction = starts(index, forces=True, stress=False)
    assert not bool(prediction.scf.converged.any())
    assert starts.densities[:2] == [None, None]  # what failed starts afresh
    assert bool(prediction.energy.isnan().all())
    some, loss = data.select(index), Loss({"energy": 1.0, "forces": 1.0, "dipole": 1.0}, {})
    value = loss(prediction, some.labels, some.systems, loss.normalizers(some.labels, some.systems.atoms_per_system))
    assert float(value.detach()) == 0
    for slope in torch.autograd.grad(value, list(model.parameters()), allow_unused=True):
        assert slope is None or bool((slope == 0).all())


def test_user_errors() -> None:
    data = from_frames(labelled(1))
    with pytest.raises(InputError, match=r"at least one of the tables model\.parameters"):
        build_model("nddo", {}, data, 1)
    with pytest.raises(InputError, match=r"model\.parameters\.width is unknown"):
        build_model("nddo", {"parameters": {"width": 3}}, data, 1)
    with pytest.raises(InputError, match="unknown method 'B3LYP'"):
        build_model("nddo", {"method": "B3LYP", "energy": {}}, data, 1)


def test_bounds_of_the_configuration_replace_single_ones() -> None:
    model = build_model("nddo", {"parameters": {"bounds": {"U_ss": 0.01, "K": 0}}}, from_frames(labelled(1)), 1)
    assert isinstance(model, NDDO)
    bounds = model.corrections.to_config()["members"][0]["options"]["bounds"]
    assert bounds["U_ss"] == 0.01
    assert "K" not in bounds
    assert "L" in bounds


def test_pm7_as_parent(tmp_path) -> None:
    """Its two-centre integrals go over to point charges, its pairs have parameters of their own: both follow shifts."""
    write(tmp_path / "train.extxyz", labelled(4))
    text = CONFIG.format(folder=tmp_path).replace('kind = "nddo"', 'kind = "nddo"\nmethod = "PM7"')
    (tmp_path / "config.toml").write_text(text)
    model = train(read_config(tmp_path / "config.toml")).model
    assert isinstance(model, NDDO)
    assert (model.method.name, len(model.corrections)) == ("PM7", 2)
    frames = labelled(4)
    target = torch.cat([torch.from_numpy(a.get_forces()) for a in frames])
    error, before = ((m(batch(*frames), forces=True).forces - target).abs().mean() for m in (model, NDDO("PM7")))
    assert float(error) < 0.9 * float(before)
    shifts, step = load_model(tmp_path / "run" / "model.pt"), 1e-4
    systems = batch(rattled("CH4", 50))
    force = float(shifts(systems, forces=True).forces[1, 0])
    shift = torch.zeros_like(systems.positions)
    shift[1, 0] = step
    up, down = (float(shifts(systems.with_positions(systems.positions + s * shift)).energy[0]) for s in (1, -1))
    assert force == pytest.approx((down - up) / (2 * step), abs=1e-5)
