"""A published n2p2 potential for silicon: energy, forces, stress, elastic constants, and what it has never seen."""

from pathlib import Path

import numpy as np
from ase.build import bulk

from nddo_ml import NNP, Systems
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.solids import elastic_constants, relax

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "mlearn_si" / "n2p2_model"

model = NNP.from_n2p2(FOLDER, length_unit="bohr", energy_unit="hartree")
calculator = NDDOCalculator(model)

crystal = relax(bulk("Si", cubic=True, a=5.4), calculator)
print(f"lattice constant {crystal.cell.lengths()[0]:.3f} Å, energy {crystal.get_potential_energy() / 8:.4f} eV/atom")

elastic = elastic_constants(crystal, calculator)
c = elastic.constants
print(f"C11 {c[0, 0]:.0f}, C12 {c[0, 1]:.0f}, C44 {c[3, 3]:.0f} GPa; bulk modulus {elastic.bulk_voigt:.0f} GPa")

prediction = model(Systems.from_ase(crystal), forces=True, stress=True)
print(f"largest stress {float(prediction.stress.abs().max()):.1e} eV/Å³")
print(f"virials add up to {np.abs(prediction.virials.sum(0).numpy()).max():.1e} eV")

squeezed = crystal.copy()
squeezed.set_cell(squeezed.cell * 0.8, scale_atoms=True)
report = model.extrapolation(Systems.from_ase(squeezed))
print(f"squeezed to 80 %: {len(report)} symmetry functions outside the training data, for example")
print(f"  {report[0]}")
