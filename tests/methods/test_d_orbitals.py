"""d orbitals: forces, invariance, parameters that MOPAC 22.0.6 prints, terms of PM6."""

from __future__ import annotations

import pytest
import torch
from reference_data import entries, to_systems

from nddo_ml import NDDO, Prediction, Systems
from nddo_ml.elements import number_of
from nddo_ml.errors import InputError
from nddo_ml.integrals.two_center import local_integrals
from nddo_ml.methods.tables import METHODS, load_method
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.terms.pm6 import FlatNitrogen, TripleBonds
from nddo_ml.units import EV_KCAL_MOL

pytestmark = pytest.mark.usefixtures("engine")

# Their field has less symmetry than the molecule, in one of several equal directions.
TURNED = {"PM6/Fe(CO)5", "PM6/Fe(CN)6 -4", "PM6/XeF4", "PM6/XeO4", "PM6/As-SiH3"}


def test_parameters_that_mopac_prints() -> None:
    """Chlorine and silver in PM6, MOPAC 22.0.6 with DEBUG HCORE: energies, separations and additive radii."""
    method = load_method("PM6")
    m = method.multipoles
    assert float(method.isolated_energy[17]) == pytest.approx(-252.90937600, abs=1e-8)
    separations = [0.81500430, 0.78999278, 1.10741013, 0.75101197, 1.51053637]
    assert m.separation[17].tolist() == pytest.approx(separations, abs=1e-8)
    radii = [1.22104600, 0.57538283, 0.78649686, 0.30216070, 2.34289326, 1.03732318, 0.72430125]
    assert m.radius[17, :7].tolist() == pytest.approx(radii, abs=2e-8)
    assert float(m.radius[47, 7]) == 5.0  # the longest that MOPAC looks for
    assert bool(m.own_core[47])


AXES = ([0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0])
CASES = [
    *(("PM6", ("H", "Cl"), [[0.0, 0.0, 0.0], [1.3 * c for c in axis]]) for axis in AXES),
    *(("MNDO/d", ("Cl", "Cl"), [[0.0, 0.0, 0.0], [2.0 * c for c in axis]]) for axis in AXES),
    ("PM6", ("Cu", "Cl"), [[0.0, 0.0, 0.0], [0.0, 2.1, 0.0]]),
    ("MNDO/d", ("C", "S", "S"), [[0.0, 0.0, 0.0], [0.0, 0.0, 1.55], [0.0, 0.0, -1.55]]),
    ("PM6-D3H4", ("S", "O", "O", "H"), [[0.0, 0.0, 0.0], [0.1, 1.2, 0.8], [0.0, -1.3, 0.8], [0.2, -2.1, 0.3]]),
    (
        "PM6",
        ("Ti", "Cl", "Cl", "Cl", "Cl"),
        [[0.0, 0.0, 0.0], [0.0, 0.0, 2.2], [2.07, 0.0, -0.73], [-1.03, 1.8, -0.73], [-1.0, -1.8, -0.75]],
    ),
]


@pytest.mark.parametrize(("method", "symbols", "positions"), CASES)
def test_forces_are_finite_differences(method: str, symbols: tuple[str, ...], positions: list) -> None:
    charge = 1 if symbols == ("S", "O", "O", "H") else 0
    numbers = torch.tensor([number_of(s) for s in symbols])
    x = torch.tensor(positions, dtype=torch.float64)
    model = NDDO(method, scf=SCFOptions(tolerance=1e-9))
    forces = model(Systems.build(numbers, x, charge=charge), forces=True).forces
    h, n = 1e-4, x.numel()
    steps = h * torch.eye(n, dtype=torch.float64).view(n, -1, 3)
    frames = torch.cat((x + steps, x - steps))
    idx = torch.arange(2 * n).repeat_interleave(len(symbols))
    batch = Systems.build(numbers.repeat(2 * n), frames.view(-1, 3), idx, charge=charge)
    up, down = model(batch).energy.split(n)
    torch.testing.assert_close(forces, -((up - down) / (2 * h)).view(-1, 3), atol=1e-6, rtol=0)
    assert float(forces.sum(dim=0).abs().max()) < 1e-10


def mixed() -> list[dict]:
    return [e for e in entries("pm6") if not e["uhf"] and 3 <= len(e["symbols"]) <= 7 and e["id"] not in TURNED][::24]


def test_batch_equals_loop() -> None:
    chosen = mixed()
    together = NDDO("PM6")(to_systems(chosen), forces=True)
    alone = [NDDO("PM6")(to_systems([e]), forces=True) for e in chosen]
    torch.testing.assert_close(together.energy, torch.cat([p.energy for p in alone]), atol=1e-8, rtol=0)
    assert together.forces is not None
    torch.testing.assert_close(together.forces, torch.cat([_forces(p) for p in alone]), atol=2e-5, rtol=0)


def _forces(prediction: Prediction) -> torch.Tensor:
    assert prediction.forces is not None
    return prediction.forces


def test_rotation_of_the_molecule() -> None:
    systems = to_systems(mixed())
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)))
    before = NDDO("PM6")(systems, forces=True)
    after = NDDO("PM6")(systems.with_positions(systems.positions @ q.T), forces=True)
    torch.testing.assert_close(after.energy, before.energy, atol=1e-8, rtol=0)
    torch.testing.assert_close(_forces(after), _forces(before) @ q.T, atol=2e-5, rtol=0)


def test_single_precision() -> None:
    chosen = [e for e in mixed() if e["charge"] == 0][:6]
    systems = to_systems(chosen)
    double = NDDO("PM6")(systems).energy
    single = NDDO("PM6", scf=SCFOptions(tolerance=2e-3))(systems.to(dtype=torch.float32)).energy
    assert single.dtype == torch.float32
    assert float((single.double() - double).abs().max()) < 0.05


def test_distant_atoms_are_point_charges() -> None:
    """Far away every product with a charge, s², p² and d², meets another as 1/R; all else vanishes faster."""
    m = load_method("PM6").multipoles
    r = torch.tensor([2000.0], dtype=torch.float64)
    w = local_integrals(r, (m.separation[[16]],) * 2, (m.radius[[16]],) * 2, (9, 9))[0] * r
    charge = torch.zeros(45, dtype=torch.float64)
    charge[[k * (k + 3) // 2 for k in range(9)]] = 1
    torch.testing.assert_close(w, charge[:, None] * charge, atol=3e-3, rtol=0)


def test_flat_nitrogen_and_triple_bonds() -> None:
    """Trigonal NF3, flat and pyramidal, and two alkyne carbons."""
    flat = torch.tensor([[0.0, 0.0, 0.0], [1.36, 0.0, 0.0], [-0.68, 1.178, 0.0], [-0.68, -1.178, 0.0]]).double()
    bent = flat.clone()
    bent[0, 2] = 0.6
    frames = Systems.build(
        torch.tensor([7, 9, 9, 9] * 2), torch.cat((flat, bent)), torch.arange(2).repeat_interleave(4)
    )
    term = FlatNitrogen().energy(frames) * EV_KCAL_MOL
    assert float(term[0]) == pytest.approx(-0.5, abs=1e-3)
    assert -0.1 < float(term[1]) < 0
    x = torch.tensor([[0, 0, 0.6], [0, 0, -0.6], [0, 0, 1.66], [0, 0, -1.66]]).double()
    ethyne = Systems.build(torch.tensor([6, 6, 1, 1]), x)
    assert float(TripleBonds().energy(ethyne)) * EV_KCAL_MOL == pytest.approx(12.0)
    assert float(TripleBonds().energy(ethyne.with_positions(1.1 * x))) == 0


def test_methods_and_their_elements() -> None:
    assert {"MNDO/d", "PM6", "PM6-D3H4", "PM6-D3H4X"} <= set(METHODS)
    assert len(load_method("PM6").elements) == 70
    assert load_method("mndo/D") is load_method("mndo/D")
    uranium = Systems.build(torch.tensor([92, 9]), torch.tensor([[0.0, 0, 0], [0, 0, 2.0]]))
    with pytest.raises(InputError, match="PM6 has no element U"):
        NDDO("PM6")(uranium)
    with pytest.raises(InputError, match="MNDO/d has no element Ti"):
        NDDO("MNDO/d")(Systems.build(torch.tensor([22, 9]), torch.tensor([[0.0, 0, 0], [0, 0, 2.0]])))
