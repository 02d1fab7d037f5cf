"""Parameter shifts, pair functions and atomic energies: what they must and must not change."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from hybrid_models import CUTOFF, batch, corrections, hybrid, randomized, rattled
from scipy.spatial.transform import Rotation

from nddo_ml import NDDO, InputError, Systems, load_model, save_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import BOUNDS, ParameterCorrection
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.terms.dispersion import DispersionD3

KINDS = [ParameterCorrection, PairCorrection, AtomicEnergyCorrection]
pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize("method", ["AM1", "PM6", "MNDO"])
def test_new_networks_change_nothing(features: AtomFeatures, method: str) -> None:
    systems = batch("H2O", "CH3", "HCN")
    parent = NDDO(method)(systems, forces=True)
    new = NDDO(method, correction=corrections(features))(systems, forces=True)
    torch.testing.assert_close(new.energy, parent.energy, rtol=0, atol=1e-9)
    torch.testing.assert_close(new.forces, parent.forces, rtol=0, atol=1e-5)
    torch.testing.assert_close(new.charges, parent.charges, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_can_be_switched_on_alone(features: AtomFeatures, kind: type) -> None:
    systems = batch("H2O")
    model = randomized(NDDO("AM1", correction=kind(features, seed=1)))
    assert abs(float(model(systems).energy - NDDO("AM1")(systems).energy)) > 1e-4


def test_isolated_atoms_are_those_of_the_parent(features: AtomFeatures) -> None:
    atoms = batch("H", "C", "N", "O")
    model, parent = hybrid(features), NDDO("AM1")
    torch.testing.assert_close(model(atoms).energy, parent(atoms).energy, rtol=0, atol=1e-10)
    shifts = model.corrections.members[0].deltas(model.parameters_of(atoms), features(atoms))
    assert all(bool((d == 0).all()) for d in shifts.values())


def test_dissociation_ends_at_the_parents_atoms(features: AtomFeatures) -> None:
    model, parent = hybrid(features, uhf=True), NDDO("AM1", uhf=True, scf=SCFOptions(tolerance=1e-10))
    far = batch(Atoms("N2", [[0, 0, 0], [0, 0, CUTOFF]]))
    torch.testing.assert_close(model(far).energy, parent(far).energy, rtol=0, atol=1e-9)
    near = batch(*(Atoms("N2", [[0, 0, 0], [0, 0, CUTOFF - 0.5 + d]]) for d in (0, 1e-5)))
    energy = model(near, forces=True)
    slope = float(energy.energy[1] - energy.energy[0]) / 1e-5
    assert float(energy.forces[0, 2]) == pytest.approx(slope, rel=1e-3)


def test_forces_are_the_derivative_of_the_energy(features: AtomFeatures) -> None:
    model = hybrid(features, terms=(DispersionD3(),))
    systems = batch(rattled("CH3OH", 1), rattled("NH2", 2), Atoms("CO", [[0, 0, 0], [0, 0, 1.2]]))
    forces = model(systems, forces=True).forces
    step = 1e-4
    for atom, axis in ((0, 0), (3, 2), (7, 1), (9, 2), (10, 0)):
        shift = torch.zeros_like(systems.positions)
        shift[atom, axis] = step
        ends = [model(systems.with_positions(systems.positions + s * shift)).energy.sum() for s in (1, -1)]
        assert float(forces[atom, axis]) == pytest.approx(-float(ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-6)


def test_invariance(features: AtomFeatures) -> None:
    model, atoms = hybrid(features), rattled("CH3OH", 3)
    one = model(Systems.from_ase(atoms), forces=True)
    turn, order = Rotation.random(random_state=1).as_matrix(), [4, 2, 0, 5, 1, 3]
    turned = Atoms(atoms.numbers[order], atoms.positions[order] @ turn.T + [1.0, -2.0, 3.0])
    other = model(Systems.from_ase(turned), forces=True)
    torch.testing.assert_close(other.energy, one.energy, rtol=0, atol=1e-9)
    torch.testing.assert_close(other.forces, one.forces[order] @ torch.from_numpy(turn).T, rtol=0, atol=1e-7)
    torch.testing.assert_close(other.charges, one.charges[order], rtol=0, atol=1e-8)


def test_batch_equals_loop(features: AtomFeatures) -> None:
    model, frames = hybrid(features), [molecule(n) for n in ("H2O", "CH3", "C2H4", "H", "HCN")]
    together = model(batch(*frames), forces=True)
    apart = [model(batch(f), forces=True) for f in frames]
    torch.testing.assert_close(together.energy, torch.cat([p.energy for p in apart]), rtol=0, atol=1e-9)
    torch.testing.assert_close(together.forces, torch.cat([p.forces for p in apart]), rtol=0, atol=1e-7)


def test_shifts_are_bounded_and_keep_their_sign(features: AtomFeatures) -> None:
    model = hybrid(features, scale=20.0)
    systems = batch(rattled("CH3OH", 4), rattled("HCN", 5))
    parent = model.parameters_of(systems)
    shifted = model.corrections.at(systems).shifted(parent)
    for name in BOUNDS:
        if name == "h_pp":
            old, new = parent.g_pp - parent.g_p2, shifted.g_pp - shifted.g_p2
        else:
            old, new = getattr(parent, name), getattr(shifted, name)
        assert bool(((new - old).abs() <= BOUNDS[name] * old.abs() + 1e-12).all())
        assert bool((new * old >= 0).all())
        assert bool((new != old).any())
    assert torch.equal(shifted.core_charge, parent.core_charge)
    torch.testing.assert_close(shifted.multipoles.radius[:, 0], 0.5 * parent.constants.hartree_ev / shifted.g_ss)


def test_pair_factors_are_symmetric_and_one_beyond_the_cutoff(features: AtomFeatures) -> None:
    correction = randomized(NDDO("AM1", correction=PairCorrection(features, seed=4)), 0.5).corrections.members[0]
    assert isinstance(correction, PairCorrection)

    def factors(atoms: Atoms) -> tuple[torch.Tensor, torch.Tensor]:
        model = NDDO("AM1", correction=correction)
        systems = Systems.from_ase(atoms)
        (found,) = model.corrections.at(systems).pair_factors(model.hamiltonian(systems).layout)
        assert found is not None
        return found.resonance[0], found.core[0]

    block, core = factors(Atoms("CN", [[0, 0, 0], [0, 0, 1.2]]))
    back, core_back = factors(Atoms("NC", [[0, 0, 0], [0, 0, 1.2]]))
    torch.testing.assert_close(block, back.T)
    torch.testing.assert_close(core, core_back)
    assert block[0, 3] != block[3, 0]
    block, core = factors(Atoms("CN", [[0, 0, 0], [0, 0, CUTOFF]]))
    assert bool((block == 1).all())
    assert bool((core == 1).all())


def test_charges_add_up_and_the_tail_is_the_parents(features: AtomFeatures) -> None:
    model = hybrid(features)
    prediction = model(batch("H2O", "OH"), forces=True)
    assert float(prediction.charges.sum()) == pytest.approx(0, abs=1e-10)
    ion = model(batch("OH", charge=[-1], multiplicity=[1]))
    assert float(ion.charges.sum()) == pytest.approx(-1, abs=1e-10)


def test_neutral_fragments_do_not_interact_far_away(features: AtomFeatures) -> None:
    model = hybrid(features)
    near, far = molecule("CH4"), molecule("CH4")
    far.translate((60.0, 0, 0))
    pair = model(batch(near + far)).energy
    torch.testing.assert_close(pair, 2 * model(batch(near)).energy, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["MNDO", "PM3", "RM1", "PM6"])
def test_any_parent(features: AtomFeatures, method: str) -> None:
    systems = batch("H2O", rattled("CH3", 6))
    found = hybrid(features, method)(systems, forces=True)
    assert bool(found.scf.converged.all())
    assert bool((found.energy != NDDO(method)(systems).energy).all())


def test_save_and_load(features: AtomFeatures, tmp_path) -> None:
    fitted = AtomFeatures.default(["H", "C", "N", "O"], CUTOFF, data=[batch("CH3OH", "HCN", "H2O")])
    model = randomized(NDDO("PM3", correction=corrections(fitted), terms=(DispersionD3(),), name="small"))
    save_model(model, tmp_path / "model.pt", {"data": "none"})
    loaded = load_model(tmp_path / "model.pt")
    assert isinstance(loaded, NDDO)
    assert (loaded.name, loaded.card) == ("small", {"data": "none"})
    shared = {m.features for m in loaded.corrections}
    assert len(shared) == 1
    systems = batch("H2O", "CH3")
    assert torch.equal(loaded(systems, forces=True).forces, model(systems, forces=True).forces)


def test_user_errors(features: AtomFeatures) -> None:
    with pytest.raises(InputError, match="AM1\\+NN has no element Cl"):
        NDDO("AM1", correction=ParameterCorrection(features))(batch("HCl"))
    with pytest.raises(InputError, match="bounds are fractions"):
        ParameterCorrection(features, {"U_ss": 2.0})
    with pytest.raises(InputError, match="bounds are fractions"):
        ParameterCorrection(features, {"charge": 0.1})
    with pytest.raises(InputError, match="between 0 and 1"):
        PairCorrection(features, bounds=(0.1, 1.5))
    with pytest.raises(InputError, match="expected a correction, such as ParameterCorrection"):
        NDDO("AM1", correction=[DispersionD3()])


def test_single_precision(features: AtomFeatures) -> None:
    model = hybrid(features)
    model.scf_options = SCFOptions(tolerance=1e-3)
    systems = batch(rattled("CH3OH", 7))
    single = model(systems.to(dtype=torch.float32), forces=True)
    assert single.energy.dtype == single.forces.dtype == torch.float32
    torch.testing.assert_close(single.forces.double(), model(systems, forces=True).forces, rtol=0, atol=2e-2)
