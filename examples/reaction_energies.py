"""Reaction energies with every method at once: heats of formation of relaxed molecules, kcal/mol."""

from ase.build import molecule

from nddo_ml import NDDO, Systems
from nddo_ml.workflows.optimize import optimize

REACTIONS = {
    "ethylene + hydrogen -> ethane": {"C2H4": -1, "H2": -1, "C2H6": 1},
    "ethanol + oxygen -> acetic acid + water": {"CH3CH2OH": -1, "O2": -1, "CH3COOH": 1, "H2O": 1},
    "cyclopropane -> propene": {"C3H6_D3h": -1, "C3H6_Cs": 1},
}

names = sorted({name for reaction in REACTIONS.values() for name in reaction})
multiplicity = [3 if name == "O2" else 1 for name in names]
systems = Systems.from_ase([molecule(name) for name in names], multiplicity=multiplicity)

for method in ("MNDO", "AM1", "PM3", "RM1"):
    result = optimize(systems, NDDO(method))
    heat = dict(zip(names, result.prediction.heat_of_formation.tolist(), strict=True))
    for title, reaction in REACTIONS.items():
        energy = sum(count * heat[name] for name, count in reaction.items())
        print(f"{method:5s} {title:40s} {energy:8.1f}")
