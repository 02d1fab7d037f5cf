"""Terms that came with PM7: derivatives, batches, invariance, limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from finite_differences import force_from_energies
from reference_data import entries, to_systems

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.integrals.limits import integral_weight
from nddo_ml.methods.published import METHODS
from nddo_ml.terms.hydrogen_bonds_eh import HydrogenBondsEH
from nddo_ml.terms.pair_dispersion import PairDispersion
from nddo_ml.terms.silanol import SilanolBending
from nddo_ml.units import EV_KCAL_MOL

TERMS = [PairDispersion(), HydrogenBondsEH(), HydrogenBondsEH(-0.16, -0.12, reach=10.0, original=True)]


def complexes() -> Systems:
    wanted = ("water_water", "water_ammonia", "peptide_peptide", "acetate_water -1", "alanine_dipeptide")
    found = {e["id"].partition("/")[2]: e for e in entries("pm6_d3h4") if e["method"] == "PM6"}
    return to_systems([found[name] for name in wanted])


def silanol() -> Atoms:
    positions = [[0, 0, 0], [1.65, 0, 0], [2.25, 0.83, 0.1], [-0.5, 1.4, 0], [-0.5, -0.7, 1.2], [-0.5, -0.7, -1.2]]
    return Atoms("SiOHHHH", positions)


@pytest.mark.parametrize("term", TERMS)
def test_forces_are_the_derivative(term) -> None:
    systems = complexes()
    x = systems.positions.clone().requires_grad_()
    (slope,) = torch.autograd.grad(term.energy(systems.with_positions(x)).sum(), x)
    step = 1e-4
    for atom, axis in ((0, 0), (4, 1), (9, 2), (20, 0), (33, 1)):
        shift = torch.zeros_like(systems.positions)
        shift[atom, axis] = step
        up, down = (float(term.energy(systems.with_positions(systems.positions + s * shift)).sum()) for s in (1, -1))
        assert float(slope[atom, axis]) == pytest.approx((up - down) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("term", [*TERMS, SilanolBending()])
def test_batch_equals_loop_and_turns_change_nothing(term) -> None:
    systems = complexes()
    together = term.energy(systems)
    alone = torch.cat([term.energy(systems.select(torch.tensor([k]))) for k in range(systems.n_systems)])
    assert torch.allclose(together, alone, atol=1e-12)
    turn = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]], dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)  # a rotation, since the determinant is ±1
    assert torch.allclose(term.energy(systems.with_positions(systems.positions @ turn.T)), together, atol=1e-10)


def test_dispersion_of_two_argon_atoms() -> None:
    """By hand: C6 3.71 J nm⁶/mol of equal atoms, R0 = 2 × 1.88 Å, damping of the paper."""
    r = 4.0
    energy = float(PairDispersion().energy(Systems.from_ase(Atoms("Ar2", [[0, 0, 0], [r, 0, 0]])))[0]) * EV_KCAL_MOL
    damping = 1 / (1 + torch.exp(torch.tensor(-15.450118 * (r / (1.226593 * 3.76) - 1), dtype=torch.float64)))
    assert energy == pytest.approx(-2.286419 * 3.71e6 / 4184 / r**6 * float(damping), rel=1e-12)


def test_tetravalent_carbon_has_less_dispersion() -> None:
    term = PairDispersion()
    apart = [[0, 0, 0], [0, 0, 5]]
    lone = float(term.energy(Systems.from_ase(Atoms("CAr", apart)))[0])
    methane = molecule("CH4")
    with_argon = methane + Atoms("Ar", [[0, 0, 5]])
    hydrogens = Atoms("H4Ar", [*methane.positions[1:].tolist(), [0, 0, 5]])
    inner, outer = (float(term.energy(Systems.from_ase(a))[0]) for a in (methane, with_argon))
    of_hydrogens = float(term.energy(Systems.from_ase(hydrogens))[0])
    bare = float(term.energy(Systems.from_ase(hydrogens[:4]))[0])
    few, many = (
        2 * (c**2 * 3.71**2 * 13.5) ** (1 / 3) / ((c * 5.4**2) ** (1 / 3) + (3.71 * 2.5**2) ** (1 / 3))
        for c in (0.95, 1.65)
    )
    assert (outer - inner - of_hydrogens + bare) / lone == pytest.approx(few / many, rel=1e-6)


def test_two_oxygen_ends_attract_at_short_distance() -> None:
    """With strengths of zero only −2.5 exp(−80 max(R − 2.67, 0)²) cos⁴θ kcal/mol is left, of R and θ alone."""
    bare = HydrogenBondsEH(0.0, 0.0)
    donor = [[0.0, 0.0, 0.0], [0.97, 0.0, 0.0], [-0.3, 0.92, 0.0]]
    for r in (2.6, 2.75):
        acceptor = [[r, 0.3, 0.0], [r + 0.6, -0.3, 0.7], [r + 0.6, -0.3, -0.7]]
        dimer = Atoms("OHHOHH", donor + acceptor)
        apart, theta = dimer.get_distance(0, 3), np.deg2rad(dimer.get_angle(0, 1, 3))
        expected = -2.5 * np.exp(-80 * max(apart - 2.67, 0) ** 2) * np.cos(theta) ** 4
        found = float(bare.energy(Systems.from_ase(dimer))[0]) * EV_KCAL_MOL
        assert found == pytest.approx(expected, rel=1e-6)
    dimer.positions[3:] += [9.0, 0, 0]
    assert float(HydrogenBondsEH().energy(Systems.from_ase(dimer))[0]) == 0.0


def test_silanol_bending() -> None:
    atoms = silanol()
    atoms.positions[0] -= [0.12, 0, 0]  # a bond of silicon longer than 1.7 Å
    angle = torch.tensor(atoms.get_angle(0, 1, 2) * torch.pi / 180, dtype=torch.float64)
    energy = float(SilanolBending().energy(Systems.from_ase(atoms))[0]) * EV_KCAL_MOL
    stretched = 33 * (atoms.get_distance(0, 1) ** 2 - 1.7**2) + 68 * max(0.0, atoms.get_distance(1, 2) ** 2 - 1)
    expected = 15 * float((angle - 125 * torch.pi / 180) ** 2) * np.exp(-stretched)
    assert energy == pytest.approx(expected, rel=1e-5)
    assert float(SilanolBending().energy(Systems.from_ase(molecule("CH3OH")))[0]) == 0.0


def test_integrals_are_those_of_point_charges_beyond_the_limit() -> None:
    """Two ions attract as −e²/R, value and slope continuous at 7 Å."""
    limit = METHODS["PM7"].point_charges
    assert limit is not None
    r = torch.tensor([6.0, 7 - 1e-6, 7.0, 8.0], dtype=torch.float64)
    assert torch.allclose(integral_weight(r, limit), torch.tensor([1 - 2.718281828459045**-0.22, 0, 0, 0]).double())
    model = NDDO("PM7")
    frames = [Atoms("NaCl", [[0, 0, 0], [0, 0, d]]) for d in (6.999, 7.001)]
    forces = model(Systems.from_ase(frames), forces=True).forces
    assert forces is not None
    assert float((forces[0] - forces[2]).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["PM7", "PM6-DH+"])
def test_forces_of_the_method(name: str) -> None:
    systems = complexes().select(torch.tensor([1]))
    model = NDDO(name)
    forces = model(systems, forces=True).forces
    assert forces is not None
    for atom, axis in ((0, 0), (2, 1), (3, 2), (5, 0)):
        assert float(forces[atom, axis]) == pytest.approx(force_from_energies(model, systems, atom, axis), abs=1e-6)


def test_what_is_refused() -> None:
    cell = molecule("H2O", cell=[9, 9, 9], pbc=True)
    for term in (PairDispersion(), HydrogenBondsEH()):
        with pytest.raises(InputError, match="periodic cell"):
            term.energy(Systems.from_ase(cell))
    with pytest.raises(InputError, match="PM7 has no element"):
        NDDO("PM7")(Systems.from_ase(Atoms("U")))
