"""Fields and point charges around molecules."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule

from nddo_ml import NDDO, NNP, InputError, Systems, load_model, save_model
from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.field import UniformField
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.parameters import parameters_of
from nddo_ml.methods.tables import load_method
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

pytestmark = pytest.mark.usefixtures("engine")

FIELD = (0.3, -0.2, 0.5)  # V/Å
# MOPAC 22.0.6 (Debian), ``1SCF GRAD PRECISE RELSCF=0.001 NOREOR NOSYM GEO-OK FIELD=(-0.3,0.2,-0.5)``: heat of formation
# in kcal/mol of molecules of ASE's g2 set, coordinates rounded to 1e-6 Å. Its FIELD has the opposite sign.
MOPAC = {
    ("H2O", "AM1"): -54.8564127570853,
    ("CH3CONH2", "PM7"): -60.2355798985554,
    ("CH3Cl", "MNDO"): -18.3678549005999,
}


def of(name: str) -> Systems:
    atoms = molecule(name)
    atoms.positions = atoms.positions.round(6)
    return Systems.from_ase(atoms)


@pytest.mark.parametrize(("name", "method"), MOPAC)
def test_field_equals_mopac(name: str, method: str) -> None:
    prediction = NDDO(method)(of(name), environment=UniformField.of(FIELD))
    assert float(prediction.heat_of_formation[0]) == pytest.approx(MOPAC[name, method], abs=1e-5)


@pytest.mark.parametrize(("name", "method"), [("H2O", "AM1"), ("SO2", "PM6"), ("CH3SH", "MNDO/d")])
def test_dipole_is_minus_the_derivative_by_the_field(name: str, method: str) -> None:
    model, systems, step = NDDO(method), of(name), 1e-3
    prediction = model(systems, environment=UniformField.of(FIELD))
    for axis in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[axis]
        up, down = (
            float(model(systems, environment=UniformField(torch.tensor(FIELD).double() + s * shift)).energy[0])
            for s in (1, -1)
        )
        assert (down - up) / (2 * step) == pytest.approx(float(prediction.dipole[0, axis]), abs=1e-5)


def around(system: int = 0) -> PointCharges:
    water = [[2.9, 0.2, 0.4], [3.4, 0.9, 0.1], [3.3, -0.6, 0.2], [-3.0, 0.5, -2.0]]
    return PointCharges.of([-0.8, 0.4, 0.4, 1.0], water, [system] * 4, radius=[0.0, 0.0, 0.3, 0.0])


@pytest.mark.parametrize(("name", "method"), [("CH3OH", "PM7"), ("SO2", "PM6"), ("CH3", "AM1")])
def test_forces_on_both_sides_are_derivatives(name: str, method: str) -> None:
    model, systems, charges = NDDO(method), of(name), around()
    prediction = model(systems, forces=True, environment=charges)
    step = 1e-4
    for atom, axis in ((0, 0), (1, 2), (2, 1)):
        shift = torch.zeros_like(systems.positions)
        shift[atom, axis] = step
        up, down = (
            model(systems.with_positions(systems.positions + s * shift), environment=charges).energy for s in (1, -1)
        )
        assert float((down - up) / (2 * step)) == pytest.approx(float(prediction.forces[atom, axis]), abs=2e-6)
    for site, axis in ((0, 0), (2, 1), (3, 2)):
        shift = torch.zeros_like(charges.positions)
        shift[site, axis] = step
        up, down = (
            model(systems, environment=charges.with_positions(charges.positions + s * shift)).energy for s in (1, -1)
        )
        expected = float((down - up) / (2 * step))
        assert float(prediction.environment_forces[site, axis]) == pytest.approx(expected, abs=2e-6)
    together = prediction.forces.sum(0) + prediction.environment_forces.sum(0)
    assert float(together.abs().max()) < 1e-9  # nothing pushes the whole


def test_batch_is_the_systems_one_by_one() -> None:
    frames = [molecule("H2O"), molecule("C2H4"), molecule("CH3")]
    charges = [around(k) for k in range(3)]
    every = PointCharges.of(
        torch.cat([c.charges for c in charges]),
        torch.cat([c.positions + 0.1 * k for k, c in enumerate(charges)]),
        torch.cat([c.system_idx for c in charges]),
        torch.cat([c.radius for c in charges]),
    )
    model = NDDO("AM1")
    together = model(frames, forces=True, environment=every)
    for k, atoms in enumerate(frames):
        alone = model(atoms, forces=True, environment=around().with_positions(around().positions + 0.1 * k))
        assert float(together.energy[k]) == pytest.approx(float(alone.energy[0]), abs=1e-9)
        assert torch.allclose(together.environment_forces[4 * k : 4 * k + 4], alone.environment_forces, atol=1e-6)


def test_far_charges_are_a_field() -> None:
    """Two opposite charges at ±L make the field 2 k q/L² at the origin."""
    far, field = 2000.0, 0.02
    q = field * far**2 / (2 * HARTREE_EV * BOHR_ANGSTROM)
    charges = PointCharges.of([q, -q], [[-far, 0, 0], [far, 0, 0]])
    model, systems = NDDO("PM3"), of("CH3OH")
    expected = model(systems, environment=UniformField.of((field, 0, 0)))
    found = model(systems, environment=charges)
    assert float(found.energy[0]) == pytest.approx(float(expected.energy[0]), abs=2e-6)
    assert torch.allclose(found.charges, expected.charges, atol=1e-6)


def test_a_core_and_a_smeared_charge() -> None:
    """``q Z e²/√(R² + (ρ_A + ρ)²)`` by hand, ρ_A = e²/(2 g_ss) of hydrogen."""
    systems = Systems.build(torch.tensor([1]), torch.zeros(1, 3, dtype=torch.float64))
    parameters = parameters_of(systems, load_method("AM1"))
    layout = build_layout(systems.system_idx, parameters.width, 1)
    charge = PointCharges.of([0.5], [[0.0, 0.0, 2.0]], radius=0.7).over(1)
    found = charge.embed(systems, parameters, layout)
    coulomb = parameters.constants.hartree_ev * parameters.constants.bohr_angstrom  # eV Å
    radius = 0.5 * coulomb / float(parameters.g_ss[0])
    assert float(found.energy[0]) == pytest.approx(0.5 * coulomb / (2.0**2 + (radius + 0.7) ** 2) ** 0.5, rel=1e-10)


def test_a_neutral_atom_does_not_feel_a_distant_charge() -> None:
    systems = Systems.from_ase(Atoms("Ar"))
    model = NDDO("PM6")
    alone = float(model(systems).energy[0])
    near = [float(model(systems, environment=PointCharges.of([1.0], [[r, 0, 0]])).energy[0]) - alone for r in (4, 8)]
    assert abs(near[0]) < 0.2
    assert abs(near[1]) < 0.1 * abs(near[0])


def test_hybrids_feel_their_surroundings() -> None:
    model, charges = load_model("hybrid-chno"), around()
    systems = of("CH3OH")
    prediction = model(systems, forces=True, environment=charges)
    assert abs(float(prediction.energy[0] - model(systems).energy[0])) > 0.01
    step = 1e-4
    shift = torch.zeros_like(systems.positions)
    shift[1, 0] = step
    up, down = (
        model(systems.with_positions(systems.positions + s * shift), environment=charges).energy for s in (1, -1)
    )
    assert float((down - up) / (2 * step)) == pytest.approx(float(prediction.forces[1, 0]), abs=5e-6)


def test_one_environment_for_every_call(tmp_path) -> None:
    field = UniformField.of(FIELD)
    model = NDDO("AM1", environment=field)
    assert float(model(of("H2O")).energy[0]) == float(NDDO("AM1")(of("H2O"), environment=field).energy[0])
    assert model.isolated_energies([1]) == NDDO("AM1").isolated_energies([1])
    with pytest.raises(InputError, match="saved without its surroundings"):
        save_model(model, tmp_path / "model.pt")
    with pytest.raises(InputError, match="the same for every system"):
        NDDO("AM1", environment=around())


def test_what_is_refused() -> None:
    systems = of("H2O")
    model = NDDO("AM1")
    with pytest.raises(InputError, match="system 0, atom 0: point charge 1 stands on it"):
        model(systems, environment=PointCharges.of([1.0, 1.0], [[5.0, 0, 0], systems.positions[0].tolist()]))
    with pytest.raises(InputError, match="surround systems 0 to 0; got system 3"):
        model(systems, environment=PointCharges.of([1.0], [[5.0, 0, 0]], [3]))
    with pytest.raises(InputError, match="n charges and their positions"):
        PointCharges.of([1.0, 2.0], [[5.0, 0, 0]])
    with pytest.raises(InputError, match="finite"):
        PointCharges.of([float("nan")], [[5.0, 0, 0]])
    with pytest.raises(InputError, match="three finite numbers"):
        UniformField.of((0.1, 0.2))
    potential = load_model("nnp-chno")
    assert isinstance(potential, NNP)
    with pytest.raises(InputError, match="no electrons to feel"):
        potential(systems, environment=UniformField.of(FIELD))
