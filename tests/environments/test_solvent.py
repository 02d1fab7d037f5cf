"""Implicit solvents: the continuum beside PySCF's, its derivatives, its limits, and the generalised-Born form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from nddo_ml import NDDO, InputError, NDDOCalculator, SCFOptions, Systems, load_model, save_model
from nddo_ml.environments.born import GeneralizedBorn, born_interaction
from nddo_ml.environments.cavity import cavity_radii, surface_of, van_der_waals_radii
from nddo_ml.environments.continuum import reaction_matrix
from nddo_ml.environments.embedding import Environment
from nddo_ml.environments.field import UniformField
from nddo_ml.environments.media import PERMITTIVITIES
from nddo_ml.environments.solvent import Solvent
from nddo_ml.environments.solvents import named_solvent, of_record
from nddo_ml.environments.together import Together
from nddo_ml.units import BOHR_ANGSTROM, EV_KCAL_MOL, HARTREE_EV
from nddo_ml.workflows.response import hessian

REFERENCES = Path(__file__).parents[1] / "references"
OPENMM = {e["name"]: e for e in json.loads((REFERENCES / "born.json").read_text())["entries"]}
PYSCF = json.loads((REFERENCES / "continuum.json").read_text())["entries"]
TIGHT = SCFOptions(tolerance=1e-9, solution="first")
ENVIRONMENTS = [Solvent("water"), Solvent(eps=5.0, points=50), GeneralizedBorn("water")]
WORDS = ["water", "eps=5", "gb"]


@pytest.mark.parametrize("entry", PYSCF, ids=[e["name"] for e in PYSCF])
def test_given_charges_equal_pyscf(entry: dict) -> None:
    """Charges on the same cavity in PySCF's C-PCM (``references/make_continuum.py``): 1e-8 hartree."""
    numbers, charges = torch.tensor(entry["numbers"]), torch.tensor(entry["charges"], dtype=torch.float64)
    positions = torch.tensor(entry["positions"], dtype=torch.float64)
    systems = Systems.build(numbers, positions, charge=round(float(charges.sum())))
    surface = surface_of(systems, cavity_radii()[numbers], entry["points"])
    sources = 1 / (surface.positions[:, :, None] - positions).norm(dim=3)
    factor = 1.0 if entry["eps"] is None else 1 - 1 / entry["eps"]
    matrix = reaction_matrix(surface, sources, factor, BOHR_ANGSTROM)[0]
    assert float(0.5 * charges @ matrix @ charges) == pytest.approx(entry["energy"], abs=1e-10)
    assert float(surface.area.sum()) / BOHR_ANGSTROM**2 == pytest.approx(entry["area"], abs=1e-8)
    assert surface.area.shape[1] == entry["surface_points"]


@pytest.mark.parametrize("entry", PYSCF, ids=[e["name"] for e in PYSCF])
def test_given_charges_equal_openmm(entry: dict) -> None:
    """The same charges in OpenMM's OBC II (``references/make_born.py``): 1e-9 of the energy."""
    numbers, charges = torch.tensor(entry["numbers"]), torch.tensor(entry["charges"], dtype=torch.float64)
    positions = torch.tensor(entry["positions"], dtype=torch.float64)
    systems = Systems.build(numbers, positions, charge=round(float(charges.sum())))
    coulomb = HARTREE_EV * BOHR_ANGSTROM * EV_KCAL_MOL * 4.184
    energy = -0.5 * (1 - 1 / 78.5) * coulomb * charges @ born_interaction(systems)[0] @ charges
    assert float(energy) == pytest.approx(OPENMM[entry["name"]]["energy_kJ_mol"], rel=1e-9)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("eps", [2.0, 78.3553, float("inf")])
def test_an_ion_has_born_s_energy(eps: float) -> None:
    """``−½ (1 − 1/ε) q²/R``: a charge in the middle of one sphere."""
    ion = Systems.from_ase(Atoms("Cl"), charge=-1, multiplicity=1)
    model = NDDO("AM1")
    found = model(ion, environment=Solvent(eps=eps)).energy - model(ion).energy
    born = -0.5 * (1 - 1 / eps) * HARTREE_EV * BOHR_ANGSTROM / float(cavity_radii()[17])
    assert float(found) == pytest.approx(born, rel=2e-5)
    found = model(ion, environment=GeneralizedBorn(eps=eps)).energy - model(ion).energy
    born = -0.5 * (1 - 1 / eps) * HARTREE_EV * BOHR_ANGSTROM / (float(van_der_waals_radii()[17]) - 0.09)
    assert float(found) == pytest.approx(born, rel=2e-5)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=WORDS)
@pytest.mark.parametrize(("name", "method"), [("CH3OH", "PM7"), ("CH3SH", "PM6"), ("CH3", "AM1")])
def test_forces_are_derivatives(name: str, method: str, environment: Environment) -> None:
    """Of s, p and d orbitals and an open shell, along a step in which points appear and vanish."""
    model, systems = NDDO(method, scf=TIGHT), Systems.from_ase(molecule(name))
    forces = model(systems, forces=True, environment=environment).forces
    generator = torch.Generator().manual_seed(1)
    step = torch.randn(systems.positions.shape, generator=generator, dtype=torch.float64)
    size = 1e-3
    moved = [systems.with_positions(systems.positions + k * size * step) for k in (-2, -1, 1, 2)]
    e = [float(model(s, environment=environment).energy) for s in moved]
    slope = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * size)
    assert slope == pytest.approx(-float((forces * step).sum()), abs=5e-6)
    assert float(forces.sum(dim=0).abs().max()) < 1e-9


def reaction_energy(r: float) -> tuple[int, float, float]:
    """Two opposite charges r apart: points of their cavity, energy and its slope, eV and Å."""
    positions = torch.tensor([[0, 0, 0], [0.3 * r, 0.4 * r, 0.75**0.5 * r]], dtype=torch.float64, requires_grad=True)
    systems = Systems.build(torch.tensor([9, 17]), positions)
    surface = surface_of(systems, cavity_radii()[systems.numbers], 50)
    sources = 1 / (surface.positions[:, :, None] - positions).norm(dim=3)
    energy = (reaction_matrix(surface, sources, 1.0, 14.4)[0] * torch.tensor([[1.0, -1], [-1, 1]])).sum() / 2
    energy.backward()
    assert positions.grad is not None
    return surface.area.shape[1], float(energy.detach()), float(positions.grad[1] @ positions.detach()[1]) / r


def test_energy_and_slope_are_smooth_where_points_vanish() -> None:
    near, far = reaction_energy(2.2), reaction_energy(3.4)
    assert near[0] < far[0] - 5
    low, high = 2.2, 3.4
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if reaction_energy(middle)[0] == near[0] else (low, middle)
    before, after = reaction_energy(low), reaction_energy(high)
    assert before[0] < after[0]
    assert before[1] == pytest.approx(after[1], abs=1e-8)
    assert before[2] == pytest.approx(after[2], abs=1e-6)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=WORDS)
def test_batch_is_the_systems_one_by_one(environment: Environment) -> None:
    frames = [molecule(n) for n in ("H2O", "CH3SH", "CH3")]
    model = NDDO("PM6", scf=TIGHT)
    together = model(frames, forces=True, environment=environment)
    first = 0
    for k, atoms in enumerate(frames):
        alone = model(atoms, forces=True, environment=environment)
        assert float(together.energy[k]) == pytest.approx(float(alone.energy[0]), abs=1e-9)
        assert torch.allclose(together.forces[first : first + len(atoms)], alone.forces, atol=1e-7)
        first += len(atoms)


def test_turned_and_renumbered_molecules() -> None:
    """The generalised-Born form is invariant; the continuum as far as the grid goes, better with more points."""
    atoms = molecule("CH3CONH2")
    turned = [atoms.copy() for _ in range(4)]
    for k, copy in enumerate(turned[1:]):
        copy.positions = Rotation.random(random_state=k).apply(copy.positions)
    spread = {}
    for environment in (GeneralizedBorn("water", surface_tension=0), Solvent("water"), Solvent("water", points=302)):
        heat = NDDO("AM1")(turned, environment=environment).heat_of_formation
        spread[environment] = float(heat.max() - heat.min())
    born, coarse, fine = spread.values()
    assert born < 1e-6
    assert coarse < 0.15
    assert fine < 0.03
    order = [3, 1, 0, 2, 8, 7, 6, 5, 4]
    heats = NDDO("AM1")([atoms, atoms[order]], environment=Solvent("water")).heat_of_formation
    assert float(heats[0]) == pytest.approx(float(heats[1]), abs=1e-5)


def test_multipoles_of_d_orbitals_turn_with_the_molecule() -> None:
    """Quarter turns leave Lebedev's grid as it is; MOPAC 22.0.6, EPS=78.4: -8.30, -9.28 and -8.26 kcal/mol."""
    turned = [molecule("SH2") for _ in range(4)]
    for atoms, axis in zip(turned, "xyz", strict=False):
        atoms.rotate(90, axis)
    turned[3].rotate(120, (1, 1, 1))
    model = NDDO("PM6")
    solvation = model(turned, environment=Solvent(eps=78.4)).heat_of_formation - model(turned).heat_of_formation
    assert (solvation - solvation[0]).abs().max() < 1e-5
    assert -4 < float(solvation[0]) < -2.5


def test_a_fock_matrix_is_the_derivative_of_the_energy() -> None:
    """The field is stationary in the solvent: Newton steps, loop and search come to one energy; it polarises."""
    systems = Systems.from_ase(molecule("CH3CONH2"))
    alone, inside = NDDO("AM1")(systems), NDDO("AM1")(systems, environment=Solvent("water"))
    start = NDDO("AM1")(systems, environment=Solvent("water"), start=alone)
    newton = NDDO("AM1", scf=SCFOptions(max_iterations=0))(systems, environment=Solvent("water"))
    assert float(start.energy) == pytest.approx(float(inside.energy), abs=1e-9)
    assert float(newton.energy) == pytest.approx(float(inside.energy), abs=1e-9)
    assert float(inside.dipole.norm()) > 1.2 * float(alone.dipole.norm())
    unpolarised = NDDO("AM1", scf=SCFOptions(max_iterations=0, max_descent=0))
    frozen = unpolarised(systems, environment=Solvent("water"), start=alone, on_failure="mask")
    assert frozen.scf is not None
    assert not bool(frozen.scf.converged)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=WORDS)
def test_second_derivatives(environment: Environment) -> None:
    model, systems, step = NDDO("AM1", scf=TIGHT), Systems.from_ase(molecule("H2O")), 1e-4
    model.surround(environment)
    matrix = hessian(model, systems)
    for k in (1, 5):
        shift = torch.zeros(9, dtype=torch.float64)
        shift[k] = step
        up, down = (
            model(systems.with_positions(systems.positions + s * shift.view(3, 3)), forces=True).forces for s in (1, -1)
        )
        assert torch.allclose((down - up).flatten() / (2 * step), matrix[k], atol=2e-4)


def test_training_differentiates_through_the_solvent() -> None:
    """A loss on charges: the adjoint against finite differences of a parameter's shift."""
    model = load_model("hybrid-chno")
    model.surround(Solvent("water"))
    systems = Systems.from_ase(molecule("CH3OH"))
    weight = max((p for p in model.parameters() if p.ndim == 2), key=lambda p: p.numel())
    model.train()
    loss = model(systems).charges.square().sum()
    loss.backward()
    assert weight.grad is not None
    at = divmod(int(weight.grad.abs().argmax()), weight.shape[1])
    found, step, values = float(weight.grad[at]), 1e-3, []
    with torch.no_grad():
        for sign in (1, -1):
            weight[at] += sign * step
            values.append(float(model.eval()(systems).charges.square().sum()))
            weight[at] -= sign * step
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(found, rel=2e-3, abs=1e-7)


def test_area_is_that_of_spheres() -> None:
    """Of one sphere, and of two that overlap: ``4πR² − 2πR h``, h the height of a cap."""
    one = Systems.from_ase(Atoms("C"))
    assert float(surface_of(one, cavity_radii()[one.numbers], 110).area.sum()) == pytest.approx(50.2655, abs=1e-3)
    two = Systems.from_ase(Atoms("CC", [(0, 0, 0), (0, 0.9, 1.2)]))
    area = float(surface_of(two, cavity_radii()[two.numbers], 974).area.sum())
    assert area == pytest.approx(2 * (4 * torch.pi * 4 - 2 * torch.pi * 2 * 1.25), rel=3e-3)
    model = NDDO("AM1")
    with_area, without = (model(two, environment=Solvent("water", surface_tension=t)).heat_of_formation for t in (1, 0))
    radius = 1.7 + 1.4
    expected = 2 * (4 * torch.pi * radius**2 - 2 * torch.pi * radius * (radius - 0.75))
    assert float(with_area - without) == pytest.approx(expected, rel=0.01)


def test_born_radii_of_distant_and_of_buried_atoms() -> None:
    far = born_interaction(Systems.from_ase(Atoms("CO", [(0, 0, 0), (0, 0, 500.0)])))
    assert float(far[0, 0, 0]) == pytest.approx(1 / (1.7 - 0.09), rel=1e-5)
    assert float(far[0, 0, 1]) == pytest.approx(1 / 500, rel=1e-5)
    methane = born_interaction(Systems.from_ase(molecule("CH4")))[0]
    assert 1 / float(methane[0, 0]) > 1.7 - 0.09 + 0.05


def test_solvents_by_name_and_by_record(tmp_path: Path) -> None:
    assert len(PERMITTIVITIES) >= 15
    assert named_solvent("Water") == Solvent("water")
    assert named_solvent("diethyl_ether") == Solvent("diethyl ether")
    assert named_solvent("eps = 12.5") == Solvent(eps=12.5)
    assert named_solvent("gb:DMSO") == GeneralizedBorn("dmso")
    for environment in (*ENVIRONMENTS, Solvent(eps=float("inf")), Solvent("water", surface_tension=0.01)):
        assert of_record(json.loads(json.dumps(environment.record()))) == environment
    model = load_model("hybrid-chno")
    model.surround(Solvent("water"))
    save_model(model, tmp_path / "wet.pt")
    assert load_model(tmp_path / "wet.pt").environment == Solvent("water")
    model.surround(UniformField.of((0, 0, 1)))
    with pytest.raises(InputError, match="without its surroundings, but for a solvent"):
        save_model(model, tmp_path / "field.pt")


def test_a_field_and_a_solvent_together() -> None:
    systems, model = Systems.from_ase(molecule("H2O")), NDDO("AM1", scf=TIGHT)
    both = Together.of([UniformField.of((0, 0, 0.2)), Solvent("water")])
    prediction = model(systems, forces=True, environment=both)
    step = torch.zeros_like(systems.positions)
    step[0, 2] = 1e-3
    up, down = (model(systems.with_positions(systems.positions + s * step), environment=both).energy for s in (1, -1))
    assert float(down - up) / 2e-3 == pytest.approx(float(prediction.forces[0, 2]), abs=1e-5)
    assert set(both.record()) == {"field_V_A", "solvent"}


def test_calculator_in_water() -> None:
    atoms = molecule("CH3OH")
    atoms.calc = NDDOCalculator("AM1", environment=Solvent("water"))
    inside = atoms.get_potential_energy()
    assert inside == pytest.approx(float(NDDO("AM1")(molecule("CH3OH"), environment=Solvent("water")).energy))
    atoms.calc.environment = None
    assert abs(atoms.get_potential_energy() - inside) > 0.05


def test_single_precision() -> None:
    systems = Systems.from_ase(molecule("H2O"))
    single = Systems.from_ase(molecule("H2O"), dtype=torch.float32)
    for environment in (Solvent("water"), GeneralizedBorn("water")):
        expected, found = (NDDO("AM1")(s, environment=environment).energy for s in (systems, single))
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(float(expected), abs=2e-3)


def test_what_is_refused() -> None:
    for make, sentence in (
        (lambda: Solvent("wine"), "unknown solvent 'wine'; known are water, dmso"),
        (lambda: Solvent(), "a name or a permittivity"),
        (lambda: Solvent(eps=0.5), "at least 1"),
        (lambda: Solvent("water", points=100), "one of 26, 50, 110"),
        (lambda: named_solvent("eps=x"), "eps=NUMBER"),
        (lambda: of_record({"field_V_A": [0, 0, 1]}), "a solvent alone"),
    ):
        with pytest.raises(InputError, match=sentence):
            make()
    wire = Systems.from_ase(Atoms("He400", [(0, 0, 3.0 * k) for k in range(400)]))
    with pytest.raises(InputError, match="system 0: its surface needs some"):
        NDDO("AM1")(wire, environment=Solvent("water"))
    with pytest.raises(InputError, match="no electrons to feel"):
        load_model("nnp-chno")(Systems.from_ase(molecule("H2O")), environment=Solvent("water"))
