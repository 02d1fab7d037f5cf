"""Stress atom by atom: its mean is the cell's, an ideal crystal has it everywhere, a vacancy does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk
from nnp_models import DATA, make_nnp

from nddo_ml import NNP, InputError, NDDOCalculator, Systems
from nddo_ml.workflows.local_stress import local_stress
from nddo_ml.workflows.solids import relax
from nddo_ml.workflows.stress_profiles import layer_stress, vacancy_shells
from nddo_ml.workflows.surfaces import ideal_slab


def silicon() -> NNP:
    return NNP.from_n2p2(DATA / "mlearn_si" / "n2p2_model")


def test_the_mean_is_the_stress_of_the_cell() -> None:
    atoms = bulk("Si", cubic=True, a=5.5)
    atoms.rattle(0.1, seed=2)
    cells = Systems.from_ase([atoms, bulk("Si", a=5.3)])
    stress = silicon()(cells, stress=True).stress
    found = local_stress(silicon(), cells)
    for k in range(2):
        torch.testing.assert_close(found[cells.system_idx == k].mean(0), stress[k], rtol=0, atol=1e-10)
    assert float(found[:8].std(0).max()) > 1e-3
    perfect = found[cells.system_idx == 1]
    torch.testing.assert_close(perfect[0], perfect[1], rtol=0, atol=1e-10)


def test_a_vacancy_is_felt_nearby() -> None:
    atoms = bulk("Si", cubic=True, a=5.43) * 2
    offset = atoms.positions[1:] - atoms.positions[0]
    distance = torch.as_tensor(offset - 10.86 * (offset / 10.86).round()).norm(dim=1)
    del atoms[0]
    found = local_stress(silicon(), Systems.from_ase(atoms), radius=2.6)
    pressure = -found.diagonal(dim1=1, dim2=2).mean(1)
    near, far = pressure[distance < 2.6], pressure[distance > 7.0]
    assert len(near) == 4
    assert float(near.std()) < 1e-10
    assert abs(float(near.mean() - far.mean())) > 3 * float((far - far.mean()).abs().mean())


def test_models_without_virials_are_refused() -> None:
    cells = Systems.from_ase(bulk("C"))
    with pytest.raises(InputError, match=r"local stresses need per-atom virials, which NNP does not give"):
        local_stress(make_nnp(charges="qeq"), cells)


def test_shells_about_a_vacancy() -> None:
    """Four neighbours first, then twelve; what they feel dies out, and the far crystal is the perfect one."""
    crystal = bulk("Si", cubic=True, a=5.43) * 2
    shells, atoms = vacancy_shells(silicon(), crystal, fmax=0.02)
    assert shells.counts[:2].tolist() == [4, 12]
    assert shells.counts.sum() == len(atoms) == 63
    assert shells.places[:2] == pytest.approx([2.35, 3.84], abs=0.01)
    assert abs(shells.pressure[-1]) < 0.5 * abs(shells.pressure[0])


def test_layers_of_a_slab_carry_its_surface_stress() -> None:
    """Their sum is the cell's stress times its height, for any vacuum; nothing pulls across."""
    slab = ideal_slab("Si", 5.43, (1, 1), 6)
    slab.rattle(0.05, seed=1)
    found = layer_stress(silicon(), slab)
    assert found.counts.tolist() == [1] * 6
    stress = silicon()(Systems.from_ase(slab), stress=True).stress[0]
    expected = 0.5 * float(stress[0, 0] + stress[1, 1]) * slab.cell[2, 2]
    assert found.tension == pytest.approx(expected, rel=1e-9)
    wider = slab.copy()
    wider.cell[2, 2] += 10
    np.testing.assert_allclose(layer_stress(silicon(), wider).lateral, found.lateral, atol=1e-9)
    relaxed = relax(ideal_slab("Si", 5.43, (1, 1), 6), NDDOCalculator(silicon()), cell=False, force=1e-3)
    across = layer_stress(silicon(), relaxed)
    assert abs(across.stress[:, 2, 2].sum()) < 0.02 * np.abs(across.stress[:, 2, 2]).sum() + 0.05
    with pytest.raises(InputError, match="a slab needs at least three layers; got 2"):
        layer_stress(silicon(), bulk("Si", a=5.43))
