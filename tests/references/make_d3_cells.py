import json, numpy as np, dftd3
from dftd3.interface import DispersionModel, ZeroDampingParam
from importlib.metadata import version

B = 0.529177210903
H = 27.211386245988
cases = []


def add(name, sym, pos, cell):
    z = {"H": 1, "C": 6, "N": 7, "O": 8, "Na": 11, "Si": 14, "Cl": 17, "Ar": 18}
    m = DispersionModel(
        np.array([z[s] for s in sym]), np.array(pos) / B, lattice=np.array(cell) / B, periodic=np.array([True] * 3)
    )
    e = m.get_dispersion(ZeroDampingParam(s6=1.0, s8=0.722, rs6=1.217, rs8=1.0, alp=14.0, s9=0.0), grad=False)["energy"]
    cases.append(dict(name=name, symbols=sym, positions=pos, cell=cell, energy=float(e) * H))
    print(name, e * H)


def fcc(a):
    return (np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * a).tolist()


add("argon", ["Ar"], [[0.0, 0, 0]], fcc(5.26))
add("silicon", ["Si", "Si"], [[0.0, 0, 0], [1.36, 1.36, 1.36]], fcc(5.44))
add("rock salt", ["Na", "Cl"], [[0.0, 0, 0], [2.82, 0, 0]], fcc(5.64))
add(
    "ammonia, triclinic",
    ["N", "H", "H", "H"],
    [[0.0, 0, 0.1], [0.94, 0.02, -0.28], [-0.47, 0.81, -0.27], [-0.46, -0.82, -0.28]],
    [[3.9, 0, 0], [0.6, 4.1, 0], [-0.4, 0.5, 4.3]],
)
json.dump(
    {
        "program": "s-dftd3 (Python package dftd3) " + version("dftd3"),
        "input": "ZeroDampingParam(s6=1.0, s8=0.722, rs6=1.217, rs8=1.0, alp=14.0, s9=0.0), default cut-offs; energies in eV, lengths in Å",
        "cases": cases,
    },
    open("/work/wt/solids/tests/references/d3_cells.json", "w"),
    indent=1,
)
