"""Corrections fade to the parent outside the data, smoothly, and are what they were inside."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from finite_differences import force_from_energies
from hybrid_models import CUTOFF, batch, corrections, randomized, rattled

from nddo_ml import NDDO, InputError, Systems, load_model, save_model
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.scf.solve import SCFOptions

SEEN = ("CH3OH", "H2O", "CH4", "NH3", "C2H6", "HCN", "C2H4", "H2CO")
SMALL = {"directions": 4, "centers": 4}


def of(features: AtomFeatures) -> NDDO:
    return randomized(NDDO("AM1", correction=corrections(features), scf=SCFOptions(tolerance=1e-11)))


@pytest.fixture(scope="module")
def plain() -> AtomFeatures:
    data = [batch(*(rattled(name, k, 0.05) for name in SEEN)) for k in range(8)]
    return AtomFeatures.default(["H", "C", "N", "O"], CUTOFF, bonded=True, data=data)


@pytest.fixture(scope="module")
def faded(plain: AtomFeatures) -> AtomFeatures:
    data = batch(*(rattled(name, k, 0.05) for name in SEEN for k in range(8)))
    with torch.no_grad():
        domain = Domain.fit(plain(data).values, data.numbers, 1.5, **SMALL)
    return AtomFeatures(plain.functions, plain.scaler, plain.bonded, domain)


def pulled(x: float) -> Atoms:
    """Methanol whose hydroxyl group is ``x`` Å farther away than in equilibrium."""
    atoms = molecule("CH3OH")
    axis = atoms.positions[1] - atoms.positions[0]
    for k in (1, 3):
        atoms.positions[k] += x * axis / (axis @ axis) ** 0.5
    return atoms


def test_inside_nothing_changes(plain: AtomFeatures, faded: AtomFeatures) -> None:
    inside = batch("CH3OH", "C2H6")
    assert bool((faded(inside).trust == 1).all())
    one, other = of(plain)(inside, forces=True), of(faded)(inside, forces=True)
    torch.testing.assert_close(other.energy, one.energy, rtol=0, atol=1e-11)  # by torch and in closed form
    torch.testing.assert_close(other.forces, one.forces, rtol=0, atol=1e-12)


def test_far_outside_it_is_the_parent(faded: AtomFeatures) -> None:
    outside = batch(Atoms("OH2", [[0, 0, 0], [0, 0, 0.7], [0, 0, -0.7]]), Atoms("NO", [[0, 0, 0], [0, 0, 1.4]]))
    assert bool((faded(outside).trust == 0).all())
    one, other = NDDO("AM1", scf=SCFOptions(tolerance=1e-11))(outside, forces=True), of(faded)(outside, forces=True)
    torch.testing.assert_close(other.energy, one.energy, rtol=0, atol=1e-10)
    torch.testing.assert_close(other.forces, one.forces, rtol=0, atol=1e-7)


def test_on_the_way_forces_are_exact(faded: AtomFeatures) -> None:
    model = of(faded)
    partly = 0
    for x in (0.16, 0.18, 0.2, 0.22, 0.24):
        systems = batch(pulled(x))
        trust = faded(systems).trust
        partly += int(((trust > 0.01) & (trust < 0.99)).sum())
        forces = model(systems, forces=True).forces
        for atom, axis in ((0, 0), (1, 1), (2, 0)):
            slope = force_from_energies(model, systems, atom, axis, step=1e-5)  # it is a steep way
            assert float(forces[atom, axis]) == pytest.approx(slope, rel=5e-6, abs=5e-6)
    assert partly >= 3


def test_the_way_is_smooth(faded: AtomFeatures) -> None:
    def bends(n: int) -> float:
        """The largest second difference of the trust in steps of 0.6/n Å."""
        frames = [pulled(0.6 * k / n) for k in range(n + 1)]
        trust = faded(batch(*frames)).trust.view(len(frames), -1)
        assert float(trust[0].min()) == 1
        assert float(trust.min()) == 0
        return float(trust.diff(n=2, dim=0).abs().max())

    assert bends(1200) < 0.3 * bends(600)  # a quarter where it has a second derivative


def test_a_half_broken_bond_of_heavy_atoms_fades_it(faded: AtomFeatures) -> None:
    ethane = molecule("C2H6")
    trust = []
    for x in (0.0, 0.7, 2.0):
        atoms = ethane.copy()
        atoms.positions[atoms.positions[:, 2] > 0, 2] += x
        seen = faded(batch(atoms))
        trust.append(float(seen.links.whole(*(torch.zeros(0, dtype=torch.int64),) * 2, torch.zeros(0)).min()))
    assert trust[0] == 1
    assert trust[1] < 0.1
    assert trust[2] == 1


def test_other_elements_are_left_to_the_parent(faded: AtomFeatures) -> None:
    model, parent = of(faded), NDDO("AM1", scf=SCFOptions(tolerance=1e-11))
    assert model.elements == parent.elements
    salt = batch("HCl", "Cl2", "CCl4")
    assert bool((faded(salt).trust == 0).all())
    torch.testing.assert_close(model(salt).energy, parent(salt).energy, rtol=0, atol=1e-10)
    far = molecule("CH3OH") + Atoms("Cl2", [[0, 0, 8.0], [0, 0, 10.0]])
    alone = faded(batch("CH3OH")).trust
    torch.testing.assert_close(faded(batch(far)).trust[:6], alone, rtol=0, atol=0)
    near = molecule("CH3OH") + Atoms("Cl2", [[3.0, 0, 0], [5.0, 0, 0]])
    torch.testing.assert_close(faded(batch(near)).trust[:6], alone, rtol=0, atol=0)  # another molecule


def test_forces_near_another_element_are_exact(faded: AtomFeatures) -> None:
    model, systems = of(faded), batch(rattled("CH3CH2Cl", 3))
    forces = model(systems, forces=True).forces
    for atom, axis in ((0, 0), (1, 1), (2, 2), (7, 0)):
        slope = force_from_energies(model, systems, atom, axis)
        assert float(forces[atom, axis]) == pytest.approx(slope, rel=1e-5, abs=2e-6)


def test_it_is_saved(faded: AtomFeatures, tmp_path) -> None:
    model, systems = of(faded), batch(pulled(0.35), "CH3Cl")
    save_model(model, tmp_path / "faded.pt")
    again = load_model(tmp_path / "faded.pt")
    torch.testing.assert_close(again(systems).energy, model(systems).energy, rtol=0, atol=0)


def test_a_width_must_be_above_one() -> None:
    with pytest.raises(InputError, match="above 1"):
        Domain([1], 3, 1.0)


def test_trust_does_not_depend_on_the_batch(faded: AtomFeatures) -> None:
    frames = [pulled(0.4), molecule("CH3Cl"), molecule("H2O")]
    together = faded(Systems.from_ase(frames)).trust
    alone = torch.cat([faded(batch(frame)).trust for frame in frames])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def domain_of(plain: AtomFeatures, seen: Systems, held_out: Systems | None = None, **options: bool) -> AtomFeatures:
    def environments(systems: Systems) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return plain(systems).values, systems.numbers

    others = () if held_out is None else (environments(held_out),)
    domain = Domain.fit(*environments(seen), 1.5, others, **SMALL, **options)
    return AtomFeatures(plain.functions, plain.scaler, plain.bonded, domain)


def test_data_with_breaking_bonds_are_trusted_where_bonds_break(plain: AtomFeatures) -> None:
    data = batch(*(pulled(0.05 * k) for k in range(20)))
    halfway = batch(pulled(0.7))
    kept, faded = (domain_of(plain, data, breaking=b)(halfway).trust for b in (True, False))
    assert bool((kept == 1).all())
    assert float(faded.min()) < 0.5


def test_held_out_molecules_widen_the_borders(plain: AtomFeatures) -> None:
    data = batch(*(rattled("CH3OH", k, 0.05) for k in range(20)))
    other = batch("C2H6")
    narrow, wide = (domain_of(plain, data, held_out) for held_out in (None, other))
    assert float(narrow(other).trust.max()) < 1
    assert bool((wide(other).trust > 0.99).all())
    assert torch.equal(narrow(data).trust.sign(), wide(data).trust.sign())
