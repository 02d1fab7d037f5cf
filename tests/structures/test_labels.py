"""What labels of atoms say: elements, nuclides, what is no atom."""

import numpy as np
import pytest
from ase import Atoms
from reading import one

from nddo_ml import NDDO, Systems
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.response import vibrations


@pytest.mark.parametrize(
    ("label", "number"),
    [("D", 1), ("T", 1), ("8", 8), ("C1", 6), ("Cl2", 17), ("cl", 17), ("CL", 17), ("HB2", 1), ("OXT", 8), ("Ca", 20)],
)
def test_labels(label, number, tmp_path):
    assert one(tmp_path / "a.xyz", f"1\n\n{label} 0 0 0\n").atoms.numbers.tolist() == [number]


@pytest.mark.parametrize(
    ("label", "said"),
    [("X", "dummy"), ("Du", "dummy"), ("0", "dummy"), ("LP", "dummy"), ("Bq", "ghost"), ("GhH", "ghost"),
     ("@H", "ghost"), ("H:", "ghost"), ("CA", "may be the element Ca"), ("Jj", "no element"),
     ("119", "1..118"), ("-1", "1..118")],
)  # fmt: skip
def test_labels_that_are_refused(label, said, tmp_path):
    assert said in str(one(tmp_path / "a.xyz", f"2\n\nH 0 0 0\n{label} 0 0 2\n"))


def test_nuclides_by_their_mass_numbers(tmp_path):
    """Masses of the Atomic Mass Evaluation, as RDKit has them."""
    from rdkit.Chem import GetPeriodicTable

    found = one(tmp_path / "a.xyz", "4\n\n18O 0 0 0\n2H 0 0 1\nH 0 1 0\n13C 9 9 9\n").atoms
    assert found.get_chemical_symbols() == ["O", "H", "H", "C"]
    table = GetPeriodicTable()
    wanted = [table.GetMassForIsotope(s, n) for s, n in (("O", 18), ("H", 2), ("C", 13))]
    np.testing.assert_allclose(found.get_masses()[[0, 1, 3]], wanted, atol=1e-5)


def test_labels_by_their_company(tmp_path):
    protein = one(tmp_path / "a.xyz", "3\n\nCA 0 0 0\nHB2 0 0 1.1\nHG 0 1.1 0\n")
    assert protein.atoms.get_chemical_symbols() == ["C", "H", "H"]
    salt = one(tmp_path / "a.xyz", "2\n\nNA 0 0 0\nCL 0 0 2.4\n")
    assert salt.atoms.get_chemical_symbols() == ["Na", "Cl"]


def test_deuterium_vibrates_with_its_mass(tmp_path):
    """The product rule of Teller and Redlich, which knows masses and moments of inertia alone."""
    path = tmp_path / "d2o.xyz"
    path.write_text("3\nwater\nO 0 0 0.11926\nD 0 0.76324 -0.47705\nD 0 -0.76324 -0.47705\n")
    systems = Systems.from_file(path)
    assert systems.masses.tolist() == pytest.approx([15.999, 2.0141018, 2.0141018], abs=1e-3)
    relaxed = optimize(systems, NDDO("AM1"), fmax=1e-3).systems
    heavy = vibrations(NDDO("AM1"), relaxed).frequencies
    light = vibrations(NDDO("AM1"), Systems.from_ase(Atoms("OHH", relaxed.positions.numpy()))).frequencies
    ratio = float((heavy / light).prod())
    moments = [
        Atoms("OHH", relaxed.positions.numpy(), masses=m).get_moments_of_inertia().prod()
        for m in (relaxed.masses.tolist(), [15.999, 1.008, 1.008])
    ]
    total = (float(relaxed.masses.sum()) / 18.015) ** 3
    wanted = ((1.008 / 2.0141018) ** 6 * total * moments[0] / moments[1]) ** 0.5
    assert ratio == pytest.approx(wanted, rel=1e-3)
