"""Stress atom by atom, elastic constants from any file, phonons and thermal expansion of silicon."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write

from benchmarks.studies.frame.silicon import SHIPPED, SMALLER, silicon_config, trained
from benchmarks.studies.frame.study import Claim, Findings, Molecule, Study, Table, Work
from nddo_ml.evaluation.crystals import draw_expansion, draw_stress_profiles
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model
from nddo_ml.structures.read import read_files
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.phonons import ThermalExpansion, phonons, thermal_expansion
from nddo_ml.workflows.solids import elastic_constants, relax
from nddo_ml.workflows.stress_profiles import StressProfile, layer_stress, vacancy_shells
from nddo_ml.workflows.surfaces import ideal_slab, reconstructed

FILES = ("primitive.cif", "POSCAR", "cubic.xyz")
CONSTANTS = {"C11": (0, 0, 165.7, 152.8), "C12": (0, 1, 63.9, 56.6), "C44": (3, 3, 79.6, None)}  # measured, PBE
# neutron scattering, THz: Dolling (1963), Nilsson & Nelin, Phys. Rev. B 6, 3777 (1972)
MEASURED = {
    "Γ": [15.53] * 3,
    "X": [4.49] * 2 + [12.32] * 2 + [13.90] * 2,
    "L": [3.43] * 2 + [11.35, 12.60] + [14.68] * 2,
}
# linear, 10⁻⁶/K: Okada & Tokumaru, J. Appl. Phys. 56, 314 (1984); Lyon et al., ibid. 48, 865 (1977) below 200 K
EXPANSION = {80.0: -0.47e-6, 100.0: -0.34e-6, 200.0: 1.4e-6, 300.0: 2.57e-6, 500.0: 3.6e-6, 800.0: 4.1e-6}


def elasticity(work: Work, model: AbstractModel) -> dict[str, Any]:
    """Elastic constants of one crystal in three files: primitive and turned, primitive as a POSCAR, the cubic cell."""
    calculator = NDDOCalculator(model)
    cell = relax(bulk("Si", a=5.47), calculator, force=1e-5)
    lattice = float((4 * cell.get_volume()) ** (1 / 3))
    turned = bulk("Si", a=lattice)
    turned.rotate(31, (1, 2, 3), rotate_cell=True)
    for name, atoms in zip(FILES, (bulk("Si", a=lattice), turned, bulk("Si", a=lattice, cubic=True)), strict=True):
        write(work.path(name), atoms)
    structures, errors = read_files([work.path(name) for name in FILES])
    if errors:
        raise errors[0]
    found = [elastic_constants(s.atoms, calculator, force=1e-5) for s in structures]
    return {"lattice": lattice, "axes": found[0].space_group, "constants": [f.constants.tolist() for f in found]}


def vibrations(model: AbstractModel, lattice: float, supercell: int, mesh: int) -> dict[str, Any]:
    """Phonons, their Grüneisen parameters, and the quasi-harmonic expansion."""
    calculator = NDDOCalculator(model)
    cell = relax(bulk("Si", a=lattice), calculator)
    modes = phonons(cell, calculator, supercell=(supercell,) * 3)
    found = thermal_expansion(cell, calculator, supercell=(supercell,) * 3, mesh=mesh)
    return {
        "frequencies": {k: v.tolist() for k, v in modes.frequencies.items()},
        "gruneisen": {k: np.nan_to_num(v).tolist() for k, v in modes.gruneisen.items()},
        "expansion": [v.tolist() for v in (found.temperatures, found.volumes, found.expansion, found.bulk_modulus)]
        + [found.gibbs.tolist(), found.heat_capacity.tolist()],
    }


def stresses(model: AbstractModel, lattice: float, repeat: int, layers: int) -> dict[str, Any]:
    """A vacancy's shells and a slab's layers."""
    shells, atoms = vacancy_shells(model, bulk("Si", a=lattice, cubic=True) * repeat)
    slab = reconstructed(ideal_slab("Si", lattice, (2, 1), layers), "same")
    slab = relax(slab, NDDOCalculator(model), cell=False, force=0.01)
    return {
        "shells": _plain(shells),
        "layers": _plain(layer_stress(model, slab)),
        "vacancy": _shape(atoms),
        "slab": _shape(slab),
    }


def run(work: Work, data: str, members: int, supercell: int, mesh: int, repeat: int, layers: int) -> Findings:
    models = [load_model(SHIPPED)]
    for seed in range(2, members + 1):
        files = ([f"{data}/train.extxyz"], f"{data}/test.extxyz")
        models.append(trained(silicon_config(*files, work.path(f"models/{seed}"), {**SMALLER, "seed": seed})))
    solid = work.once("elasticity", lambda: elasticity(work, models[0]))
    vibrating = [
        work.once(f"vibrations_{k}", lambda m=m: vibrations(m, solid["lattice"], supercell, mesh))
        for k, m in enumerate(models)
    ]
    expansions = [ThermalExpansion(*(np.array(v, dtype=float) for v in v["expansion"])) for v in vibrating]
    draw_expansion(expansions, EXPANSION, work.path("expansion.png"))
    local = work.once("stress", lambda: stresses(models[0], solid["lattice"], repeat, layers))
    profiles = {"a vacancy": _read(local["shells"]), "a slab with dimers": _read(local["layers"])}
    draw_stress_profiles(profiles, work.path("stress.png"))
    shells = profiles["a vacancy"]
    modes = vibrating[0]["frequencies"]
    worst = max(abs(f / m - 1) for k in "ΓXL" for f, m in zip(modes[k][-len(MEASURED[k]) :], MEASURED[k], strict=True))
    room = [float(np.interp(300, e.temperatures, e.expansion)) / 3 for e in expansions]
    return Findings(
        text=_TEXT,
        claims=[
            Claim(
                "elastic constants of three files differ by less than",
                float(np.ptp(solid["constants"], axis=0).max()),
                "<",
                0.1,
                "GPa",
            ),
            Claim("acoustic modes at Γ", max(abs(f) for f in modes["Γ"][:3]), "<", 0.01, "THz"),
            Claim("phonons at Γ, X, L beside neutrons, largest error", worst, "<", 0.25),
            Claim("linear expansion at 300 K", 1e6 * room[0], "<", 6.0, "10⁻⁶/K (measured 2.6)"),
            Claim("pressure about the vacancy, far shells over the first", _decay(shells), "<", 0.5),
        ],
        tables=_tables(solid, vibrating[0], expansions),
        figures={
            "stress.png": "Stress atom by atom: shells about a vacancy, layers of Si(100)",
            "expansion.png": "Thermal expansion and mean Grüneisen parameter: mean and spread of the potentials",
        },
        molecules=[
            Molecule(name, ["Si"] * len(local[key]), local[key])
            for name, key in (("vacancy", "vacancy"), ("slab", "slab"))
        ],
    )


def _tables(solid: dict[str, Any], vibrating: dict[str, Any], expansions: list[ThermalExpansion]) -> list[Table]:
    """Elastic constants, phonons of the first potential, expansion of all."""
    constants, modes = np.array(solid["constants"]), vibrating["frequencies"]
    return [
        Table(
            f"Elastic constants in the conventional axes of {solid['axes']}, GPa",
            ("", *FILES, "PBE (the data's cells)", "measured"),
            [(name, *constants[:, i, j].tolist(), pbe or "–", real) for name, (i, j, real, pbe) in CONSTANTS.items()],
        ),
        Table(
            "Phonons, THz, and mode Grüneisen parameters",
            ("", "frequencies", "measured", "Grüneisen parameters"),
            [
                (
                    k,
                    *(", ".join(f"{x:.2f}" for x in row) for row in (modes[k], MEASURED[k], vibrating["gruneisen"][k])),
                )
                for k in modes
            ],
        ),
        Table(
            f"Linear expansion, 10⁻⁶/K, of {len(expansions)} potentials, and their mean Grüneisen parameter",
            ("temperature, K", "mean", "spread", "measured", "Grüneisen parameter"),
            [_at(t, expansions) for t in EXPANSION],
        ),
    ]


def _at(t: float, expansions: list[ThermalExpansion]) -> tuple[float, ...]:
    linear = [1e6 * float(np.interp(t, e.temperatures, e.expansion)) / 3 for e in expansions]
    gamma = float(np.mean([np.interp(t, e.temperatures, e.gruneisen) for e in expansions]))
    return t, float(np.mean(linear)), float(np.std(linear)), 1e6 * EXPANSION[t], gamma


def _decay(shells: StressProfile) -> float:
    far = shells.places > 0.6 * shells.places.max()
    return float(np.abs(shells.pressure[far]).mean() / abs(shells.pressure[0]))


def _shape(atoms: Atoms) -> list[list[float]]:
    return atoms.positions.round(3).tolist()


def _plain(p: StressProfile) -> list[Any]:
    return [p.axis, p.places.tolist(), p.counts.tolist(), p.stress.tolist(), p.tension]


def _read(row: list[Any]) -> StressProfile:
    return StressProfile(row[0], *(np.array(v) for v in row[1:4]), row[4])


_TEXT = (
    "Elastic constants are those of the crystal's conventional axes, whatever the file; the sum rule holds "
    "exactly. Expansion is a small difference: soft transverse modes with negative Grüneisen parameters, which "
    "make silicon shrink below 120 K, against stiff ones. Phonons good to a tenth do not make it right, and the "
    "sign at low temperature is missed."
)

STUDY = Study(
    3,
    "solids",
    "Stress, elasticity, expansion",
    "Behler, Martoňák, Donadio & Parrinello, phys. stat. sol. (b) 245, 2618 (2008); local stress: Fan et al., "
    "Phys. Rev. B 92, 094301 (2015).",
    run,
    {"data": "data/mlearn_si", "members": 3, "supercell": 4, "mesh": 16, "repeat": 3, "layers": 14},
    {"data": "", "members": 1, "supercell": 2, "mesh": 6, "repeat": 2, "layers": 10},
)
