"""Several models on the same structures: answers, zeros, deviations, failures, figures, and the commands."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from command import call
from hybrid_models import hybrid, rattled
from nnp_models import make_nnp

from nddo_ml import NDDO, AtomFeatures, InputError, Systems, save_model
from nddo_ml.compare.comparison import compare, deviations, elementwise_part, formulas, relative_energies
from nddo_ml.compare.figures import write_figures
from nddo_ml.labelling.level import Level
from nddo_ml.models.open import open_model
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

FRAMES = [rattled(name, seed) for name, seed in (("CH3OH", 1), ("CH3OH", 2), ("H2O", 3), ("CH4", 4), ("C2H6", 5))]


@pytest.fixture(scope="module")
def models():
    features = AtomFeatures.default(["H", "C", "N", "O"], 3.5, data=[Systems.from_ase(FRAMES)])
    corrected = hybrid(features, "PM3", 0.05)
    corrected.name = "hybrid"
    return [NDDO("PM3"), corrected, make_nnp(("H", "C", "N", "O"), FRAMES[:3])]


def labelled(model, frames=FRAMES, shift=None):
    """Copies of frames that carry a model's results, energies shifted by element."""
    prediction = model(Systems.from_ase(frames), forces=True)
    sizes = [len(a) for a in frames]
    made = []
    for k, atoms in enumerate(frames):
        part = slice(sum(sizes[:k]), sum(sizes[: k + 1]))
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(
            copy,
            energy=float(prediction.energy[k]) + sum((shift or {}).get(s, 0.0) for s in atoms.symbols),
            forces=prediction.forces[part].numpy(),
            dipole=prediction.dipole[k].numpy(),
            charges=prediction.charges[part].numpy(),
        )
        made.append(copy)
    return made


def test_answers_are_those_of_the_models(models):
    comparison = compare(models, FRAMES)
    assert [a.name for a in comparison.answers] == [m.name for m in models]
    assert comparison.relative_to == "atoms"
    for model, answers in zip(models, comparison.answers, strict=True):
        prediction = model(Systems.from_ase(FRAMES), forces=True)
        torch.testing.assert_close(answers.energy, prediction.energy, rtol=0, atol=1e-7)
        torch.testing.assert_close(answers.forces, prediction.forces, rtol=0, atol=1e-5)
        assert answers.seconds > 0
        assert (answers.dipole is None) == (prediction.dipole is None)
    torch.testing.assert_close(
        comparison.answers[0].dipole, models[0](Systems.from_ase(FRAMES)).dipole, rtol=0, atol=1e-5
    )


def test_zero_of_separated_atoms(models):
    """The hybrid's isolated atoms are its parent's; the energy is that of atomisation."""
    comparison = compare(models, [molecule("H2"), molecule("CH4")])
    parent, corrected, potential = comparison.answers
    assert potential.atoms_extrapolated
    assert not parent.atoms_extrapolated
    assert parent.atoms == pytest.approx(corrected.atoms)
    hydrogen = NDDO("PM3")(Systems.from_ase(Atoms("H"))).energy
    carbon = NDDO("PM3")(Systems.from_ase(Atoms("C"), multiplicity=3)).energy
    expected = float(NDDO("PM3")(Systems.from_ase(molecule("CH4"))).energy - carbon - 4 * hydrogen)
    assert float(comparison.relative(parent)[1]) == pytest.approx(expected, abs=1e-6)


def test_zero_by_formula(models):
    comparison = compare(models[:1], FRAMES, relative_to="first")
    energy = comparison.answers[0].energy
    relative = comparison.relative(comparison.answers[0])
    assert formulas(comparison.data)[:3] == ["H4CO", "H4CO", "H2O"]
    assert relative.tolist() == pytest.approx([0.0, float(energy[1] - energy[0]), 0.0, 0.0, 0.0])
    lowest = relative_energies(comparison.answers[0], comparison.data, "minimum")
    assert float(lowest[:2].min()) == 0.0
    assert float(lowest[:2].max()) == pytest.approx(abs(float(relative[1])))


def test_a_model_does_not_deviate_from_its_own_labels(models):
    comparison = compare(models, labelled(models[0], shift={"H": 0.3, "C": -7.0, "O": 11.0}))
    own, other = (comparison.errors(a) for a in comparison.answers[:2])
    assert set(own) == {"energy", "relative energy", "forces", "dipole", "charges"}
    assert all(e["mae"] < 1e-4 for e in own.values())
    assert own["relative energy"]["n"] == 1
    assert own["forces"]["n"] == 3 * sum(len(a) for a in FRAMES)
    assert all(other[q]["mae"] > own[q]["mae"] for q in own)
    assert set(comparison.errors(comparison.answers[2])) == {"energy", "relative energy", "forces"}


def test_deviations_in_their_units(models):
    comparison = compare(models[:2], labelled(models[0]))
    parent, corrected = comparison.answers
    errors = deviations(corrected, parent, comparison.data)
    relative = (corrected.energy - parent.energy)[:2]
    assert errors["relative energy"]["mae"] == pytest.approx(abs(float(relative[1] - relative[0])) * EV_KCAL_MOL)
    assert errors["forces"]["max"] == pytest.approx(float((corrected.forces - parent.forces).abs().max()) * EV_KCAL_MOL)
    lengths = (corrected.dipole - parent.dipole).norm(dim=1) * DEBYE_PER_E_ANGSTROM
    assert errors["dipole"]["mae"] == pytest.approx(float(lengths.mean()))


def test_elementwise_part_leaves_out_what_is_missing(models):
    data = compare(models[:1], FRAMES).data
    energy = data.composition @ torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
    energy[1] = torch.nan
    assert elementwise_part(energy, data).tolist() == pytest.approx([7.0, 7.0, 7.0, 2.0, 2.0])


def test_failures_are_told_and_the_rest_is_done(models):
    frames = [molecule("CH4"), molecule("CH3SH"), molecule("H2O")]
    comparison = compare(models, frames)
    parent, corrected, potential = comparison.answers
    assert not parent.failures
    for answers in (corrected, potential):
        assert list(answers.failures) == [1]
        assert "no element S" in answers.failures[1]
        assert answers.energy.isnan().tolist() == [False, True, False]
        assert bool(answers.forces[5:11].isnan().all())
        assert not answers.unconverged


def test_the_potential_says_where_it_extrapolates(models):
    squeezed = molecule("CH3OH")
    squeezed.positions *= 0.8
    potential = compare(models, [FRAMES[0], squeezed]).answers[2]
    assert list(potential.extrapolations) == [1]
    found = potential.extrapolations[1]
    assert found.functions > 0
    assert set(found.atoms) <= set(range(6))
    assert found.excess > 0
    assert found.worst.atom in found.atoms


def test_refuses_models_of_one_name(models):
    with pytest.raises(InputError, match="distinct names"):
        compare([models[0], NDDO("PM3")], FRAMES)
    with pytest.raises(InputError, match="at least one"):
        compare([], FRAMES)
    with pytest.raises(InputError, match="first, last, minimum, atoms"):
        compare(models, FRAMES, relative_to="zero")


def test_pyscf_is_the_reference_of_frames_without_labels(models):
    comparison = compare(models[:1], [molecule("H2O"), molecule("H2")], level=Level("pbe", "sto-3g", grid=(20, 50)))
    reference = comparison.reference
    assert reference is comparison.answers[-1]
    assert reference.name == "pbe/sto-3g"
    assert set(reference.atoms) == {1, 8}
    assert bool((comparison.relative(reference) < 0).all())
    assert set(comparison.errors(comparison.answers[0])) == {"energy", "forces", "dipole", "charges"}


def test_figures(models, tmp_path):
    frames = labelled(models[0])
    written = write_figures(compare(models, frames), frames, tmp_path / "figures")
    assert [p.name for p in written] == ["parity.png"]
    assert written[0].read_bytes()[:4] == b"\x89PNG"
    assert not write_figures(compare(models[:1], FRAMES), FRAMES, tmp_path)


def test_open_model_by_method_file_or_nothing(models, tmp_path):
    assert open_model("pm3").name == "PM3"
    assert open_model("AM1", uhf=True).uhf is True
    save_model(models[1], tmp_path / "h.pt")
    assert open_model(tmp_path / "h.pt", uhf=True).uhf is True
    with pytest.raises(InputError, match="no such file, method or shipped model"):
        open_model("PM5")


def test_command(models, tmp_path, capsys):
    write(tmp_path / "a.extxyz", labelled(models[0]))
    for name, model in (("h.pt", models[1]), ("p.pt", models[2])):
        save_model(model, tmp_path / name)
    options = ["--method", "PM3", "--model", tmp_path / "h.pt", "-m", tmp_path / "p.pt"]
    assert call("compare", tmp_path / "a.extxyz", *options, "--json", "-", "--figures", tmp_path / "f") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [m["name"] for m in found["models"]] == ["PM3", "hybrid", "NNP"]
    assert found["reference"] == "labels"
    assert found["models"][0]["errors"]["energy"]["mae"] < 1e-4
    assert found["models"][0]["errors"]["energy"]["unit"] == "kcal/mol"
    first = found["structures"][0]["results"]
    assert set(first) == {"PM3", "hybrid", "NNP", "labels"}
    assert np.shape(first["PM3"]["forces_eV_A"]) == (6, 3)
    assert first["NNP"]["charges_e"] is None
    assert found["structures"][4]["results"]["NNP"]["extrapolation"]["atoms"]
    assert "nearest to the reference" in captured.err
    assert (tmp_path / "f" / "parity.png").is_file()


def test_without_models_the_shipped_ones_and_the_parent(models, tmp_path, monkeypatch, capsys):
    for name, model in (("hybrid-chno", models[1]), ("nnp-chno", models[2])):
        save_model(model, tmp_path / "models" / f"{name}.pt")
    monkeypatch.setattr("nddo_ml.models.saved.MODELS_DIR", tmp_path / "models")
    write(tmp_path / "w.xyz", molecule("H2O"))
    assert call("compare", tmp_path / "w.xyz", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in found["models"]] == ["PM3", "hybrid", "NNP"]
    assert found["relative_to"] == "atoms"


def test_command_tells_what_is_wrong(models, tmp_path, capsys):
    write(tmp_path / "a.xyz", [molecule("CH3SH"), molecule("H2O")])
    (tmp_path / "b.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0\n")
    save_model(models[2], tmp_path / "p.pt")
    assert call("compare", tmp_path / "a.xyz", tmp_path / "b.xyz", "--model", "AM1", "--model", tmp_path / "p.pt") == 2
    captured = capsys.readouterr()
    error = " ".join(captured.err.split())
    assert "a.xyz, frame 0: NNP: atom 1: NNP has no element S" in error
    assert "b.xyz, frame 0, atoms 0 (H) and 1 (H)" in error
    assert "H2O" in captured.out


def test_command_takes_charge_and_multiplicity(tmp_path, capsys):
    ammonium = molecule("CH4")
    ammonium.numbers[0] = 7
    write(tmp_path / "a.xyz", ammonium)
    assert call("compare", tmp_path / "a.xyz", "--model", "AM1", "--charge", 1, "--summary", "--json", "-") == 0
    captured = capsys.readouterr()
    assert "a.xyz" not in captured.err
    results = json.loads(captured.out)["structures"][0]["results"]["AM1"]
    assert sum(results["charges_e"]) == pytest.approx(1.0)


def test_unrestricted_hybrids_and_potentials(models, tmp_path, capsys):
    """A hydrogen molecule far apart: two atoms by the hybrid's unrestricted field; a potential has no spins."""
    write(tmp_path / "h.xyz", Atoms("HH", [[0, 0, 0], [0, 0, 6.0]]))
    for name, model in (("h.pt", models[1]), ("p.pt", models[2])):
        save_model(model, tmp_path / name)
    assert call("energy", tmp_path / "h.xyz", "--model", tmp_path / "h.pt", "--uhf", "--json", "-") == 0
    energy = json.loads(capsys.readouterr().out)[0]["energy_eV"]
    assert energy == pytest.approx(2 * float(NDDO("PM3")(Systems.from_ase(Atoms("H"))).energy), abs=1e-3)
    assert call("energy", tmp_path / "h.xyz", "--model", tmp_path / "p.pt", "--uhf") == 2
    assert "has no electrons" in " ".join(capsys.readouterr().err.split())


def test_evaluate_takes_a_method(models, tmp_path, capsys):
    write(tmp_path / "a.extxyz", labelled(models[0]))
    assert call("evaluate", "PM3", tmp_path / "a.extxyz", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["labels"]["forces"]["mae"] < 1e-6
