"""Harmonic frequencies of water with ASE, from the analytic forces."""

import tempfile

from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from nddo_ml import NDDO
from nddo_ml.workflows.calculator import NDDOCalculator

atoms = molecule("H2O")
atoms.calc = NDDOCalculator(NDDO("AM1"))
BFGS(atoms, logfile=None).run(fmax=1e-3)
with tempfile.TemporaryDirectory() as folder:
    vibrations = Vibrations(atoms, name=f"{folder}/vibrations")
    vibrations.run()
    frequencies = vibrations.get_frequencies()
for frequency in frequencies[-3:]:
    print(f"{frequency.real:8.1f} 1/cm")
