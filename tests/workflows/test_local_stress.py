"""Stress atom by atom: its mean is the cell's, an ideal crystal has it everywhere, a vacancy does not."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk
from nnp_models import DATA, make_nnp

from nddo_ml import NNP, InputError, Systems
from nddo_ml.workflows.local_stress import local_stress


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
