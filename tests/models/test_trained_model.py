"""A small trained silicon potential (one network, tests/data/mlearn_si/model.pt) against PBE.

References from the data set's own labels: the lattice constant 5.4687 Å (half of its cell without stress), and
C11 = 152.8, C12 = 56.6 GPa, the central differences of its cells' stress at strains of ±2 %.
"""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from nnp_models import DATA

from nddo_ml import Systems, load_model
from nddo_ml.datasets.dataset import load_dataset
from nddo_ml.evaluation.tables import summarize, tabulate
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.phonons import thermal_expansion
from nddo_ml.workflows.solids import (
    elastic_constants,
    energy_drift,
    equation_of_state,
    relax,
    run_nve,
)


@pytest.fixture(scope="module")
def trained():
    return load_model(DATA / "mlearn_si" / "model.pt")


@pytest.fixture(scope="module")
def crystal(trained):
    return relax(bulk("Si", cubic=True), NDDOCalculator(trained))


def test_errors_on_cells_that_it_has_not_seen(trained, silicon):
    """Below those of the published network on the same cells: energies, forces and, in order, the stress."""
    data = load_dataset([DATA / "mlearn_si" / "test_sample.extxyz"])
    found = summarize(tabulate(trained, data), data)["labels"]
    published = summarize(tabulate(silicon, data), data)["labels"]
    assert found["forces"]["mae"] < 0.8 * published["forces"]["mae"]
    assert found["energy_per_atom"]["groups"]["Elastic"]["mae"] < 2e-3


def test_lattice_and_elastic_constants(trained, crystal):
    assert crystal.cell.lengths() == pytest.approx([5.4687] * 3, rel=2e-3)
    found = elastic_constants(crystal, NDDOCalculator(trained), strain=0.02)
    c = found.constants
    assert c[:3, :3].diagonal() == pytest.approx(152.8, rel=0.04)
    assert [c[0, 1], c[0, 2], c[1, 2]] == pytest.approx([56.6] * 3, rel=0.06)
    assert found.bulk_voigt == pytest.approx((152.8 + 2 * 56.6) / 3, rel=0.04)
    assert found.is_stable
    state = equation_of_state(crystal, NDDOCalculator(trained))
    assert state.bulk_modulus == pytest.approx(found.bulk_voigt, rel=0.04)


def test_thermal_expansion_is_small(trained):
    """Silicon's is 2.6e-6 /K (linear) at room temperature and negative at 80 K; a copper's would be 17e-6."""
    pytest.importorskip("phonopy")
    primitive = relax(bulk("Si"), NDDOCalculator(trained))
    found = thermal_expansion(
        primitive, NDDOCalculator(trained), temperatures=range(0, 601, 50), supercell=(3, 3, 3), mesh=8
    )
    linear = np.interp([100, 300, 500], found.temperatures, found.expansion) / 3
    assert linear[0] < linear[1]
    assert np.all(np.abs(linear) < 8e-6)


def test_energy_is_conserved(trained, crystal):
    """The drift is below 0.1 meV an atom and picosecond, at 600 K."""
    run = run_nve(crystal * 2, NDDOCalculator(trained), temperature=1200, picoseconds=0.4, every=2)
    settled = run["time"] > 0.1
    assert abs(energy_drift(run["time"][settled], run["energy"][settled])) < 1e-4
    assert np.std(run["energy"][settled]) < 1e-4


def test_the_crystal_is_inside_its_range_and_a_compressed_one_outside(trained, crystal):
    assert not trained.extrapolation(Systems.from_ase(crystal))
    crushed = crystal.copy()
    crushed.set_cell(crystal.cell * 0.8, scale_atoms=True)
    report = trained.extrapolation(Systems.from_ase(crushed))
    assert {e.atom for e in report} == set(range(len(crystal)))
