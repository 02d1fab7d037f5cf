"""Phonons with phonopy and any ASE calculator: frequencies, Grüneisen parameters, quasi-harmonic thermal expansion.

Force constants obey the acoustic sum rule: they are symmetrised so that no force answers a shift of the whole crystal.
phonopy: Togo, J. Phys. Soc. Jpn. 92, 012001 (2023).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from nddo_ml.errors import InputError
from nddo_ml.workflows.crystal_axes import crystal_axes
from nddo_ml.workflows.solids import check_periodic, relax, scaled_cells

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from phonopy import Phonopy

FACE_CENTRED = {"Γ": (0.0, 0.0, 0.0), "X": (0.0, 0.0, 1.0), "L": (0.5, 0.5, 0.5)}
_STEP = 0.02  # Å, of the displacements
_VOLUME = 0.01  # of the volume, by which Grüneisen parameters are differences
_THZ = 1e-2 * np.sqrt(units._e / units._amu) / (2 * np.pi)  # of the root of an eV/Å²/u
_STILL = 0.05  # THz: slower modes are translations, which have no Grüneisen parameter


@dataclass(frozen=True)
class Phonons:
    """Modes at wave vectors by name."""

    frequencies: Mapping[str, np.ndarray]  # [modes] THz, rising; imaginary ones negative
    gruneisen: Mapping[str, np.ndarray]  # [modes] −d ln ω / d ln V; NaN of translations


@dataclass(frozen=True)
class ThermalExpansion:
    """Quasi-harmonic results at zero pressure."""

    temperatures: np.ndarray  # [n] K
    volumes: np.ndarray  # [n] Å³ of the primitive cell
    expansion: np.ndarray  # [n] 1/K, volumetric: (1/V) dV/dT
    bulk_modulus: np.ndarray  # [n] GPa
    gibbs: np.ndarray  # [n] eV of the primitive cell
    heat_capacity: np.ndarray  # [n] eV/K of the primitive cell, at constant volume

    @property
    def gruneisen(self) -> np.ndarray:
        """The modes' mean, weighted by their heat capacities: ``γ = V α B / C_V``, [n]; NaN at 0 K."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.volumes * self.expansion * self.bulk_modulus * units.GPa / self.heat_capacity
        return np.where(self.heat_capacity > 1e-9, found, np.nan)


def phonons(
    atoms: Atoms,
    calculator: Calculator,
    points: Mapping[str, Sequence[float]] = FACE_CENTRED,
    *,
    supercell: tuple[int, int, int] = (3, 3, 3),
) -> Phonons:
    """Frequencies and mode Grüneisen parameters, ``γ_j = −e_j†(dD/d ln V)e_j / (2 ω_j²)``.

    Args:
        atoms: a relaxed primitive cell, in whatever frame.
        calculator: any.
        points: name -> wave vector in the reciprocal of the conventional cell.
        supercell: cells each way.

    Raises:
        InputError: phonopy is not installed, or the structure is not periodic in three directions.
        RelaxationError: a cell whose atoms do not relax.
    """
    check_periodic(atoms)
    axes = crystal_axes(atoms)
    atoms = axes.laid(atoms)
    small, middle, large = (
        _phonon(relax(cell, calculator, cell=False), calculator, supercell) for cell in scaled_cells(atoms, _VOLUME, 3)
    )
    logarithm = np.log((1 + _VOLUME) / (1 - _VOLUME))
    frequencies, gruneisen = {}, {}
    for name, point in points.items():
        q = np.asarray(atoms.cell) @ np.linalg.solve(axes.lattice, np.asarray(point, dtype=float))
        below, here, above = (_dynamical_matrix(p, q) for p in (small, middle, large))
        squares, modes = np.linalg.eigh(here)
        change = np.einsum("ij,ik,kj->j", modes.conj(), above - below, modes).real / logarithm
        frequencies[name] = np.sign(squares) * np.sqrt(np.abs(squares)) * _THZ
        with np.errstate(divide="ignore", invalid="ignore"):
            gruneisen[name] = np.where(frequencies[name] > _STILL, -change / (2 * squares), np.nan)
    return Phonons(frequencies, gruneisen)


def thermal_expansion(
    atoms: Atoms,
    calculator: Calculator,
    *,
    temperatures: Sequence[float] = tuple(range(0, 1001, 20)),
    supercell: tuple[int, int, int] = (3, 3, 3),
    mesh: int = 12,
    span: float = 0.05,
    points: int = 7,
) -> ThermalExpansion:
    """Quasi-harmonic thermal expansion with phonopy (Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)).

    ``atoms`` is a relaxed primitive cell; phonons at ``points`` volumes within ±``span`` of its own.

    Raises:
        InputError: phonopy is not installed, or the structure is not periodic in three directions.
        RelaxationError: a cell whose atoms do not relax.
    """
    check_periodic(atoms)
    _needs_phonopy()
    from phonopy import PhonopyQHA

    grid = np.asarray(temperatures, dtype=float)
    volumes, energies = [], []
    thermal: list[dict[str, np.ndarray]] = []
    for cell in scaled_cells(atoms, span, points):
        image = relax(cell, calculator, cell=False)
        thermal.append(_thermal_properties(image, calculator, grid, supercell, mesh))
        volumes.append(image.get_volume())
        energies.append(image.get_potential_energy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        qha = PhonopyQHA(
            volumes=volumes,
            electronic_energies=energies,
            temperatures=grid,
            free_energy=np.array([t["free_energy"] for t in thermal]).T,
            cv=np.array([t["heat_capacity"] for t in thermal]).T,
            entropy=np.array([t["entropy"] for t in thermal]).T,
            t_max=float(grid[-2]),
            eos="birch_murnaghan",
        )
    n = len(qha.thermal_expansion)
    at = np.array(qha.volume_temperature)[:n]
    table = np.array([t["heat_capacity"][:n] for t in thermal]) * units.J / units.mol
    capacity = np.array([np.interp(v, volumes, table[:, k]) for k, v in enumerate(at)])
    return ThermalExpansion(
        grid[:n],
        at,
        np.array(qha.thermal_expansion)[:n],
        np.array(qha.bulk_modulus_temperature)[:n],
        np.array(qha.gibbs_temperature)[:n],
        capacity,
    )


def _needs_phonopy() -> None:
    if find_spec("phonopy") is None:
        raise InputError("phonons need phonopy: pip install nddo-ml[solids]")


def _phonon(image: Atoms, calculator: Calculator, supercell: tuple[int, int, int]) -> Phonopy:
    """Force constants from displaced supercells, with the acoustic sum rule."""
    _needs_phonopy()
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(symbols=image.get_chemical_symbols(), cell=image.cell.array, positions=image.positions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        phonon = Phonopy(cell, supercell_matrix=np.diag(supercell), primitive_matrix="P")
        phonon.generate_displacements(distance=_STEP)
        forces = []
        for displaced in phonon.supercells_with_displacements or []:
            atoms = Atoms(displaced.symbols, displaced.positions, cell=displaced.cell, pbc=True)
            atoms.calc = calculator
            forces.append(atoms.get_forces())
        phonon.forces = np.array(forces)
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants(show_drift=False)
    return phonon


def _dynamical_matrix(phonon: Phonopy, q: np.ndarray) -> np.ndarray:
    """[modes, modes] at a reduced wave vector."""
    dynamical: Any = phonon.dynamical_matrix
    dynamical.run(q)
    return np.asarray(dynamical.dynamical_matrix)


def _thermal_properties(
    image: Atoms, calculator: Calculator, temperatures: np.ndarray, supercell: tuple[int, int, int], mesh: int
) -> dict[str, np.ndarray]:
    """Harmonic free energy (kJ/mol), entropy and heat capacity (J/K/mol)."""
    phonon = _phonon(image, calculator, supercell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        phonon.run_mesh([mesh] * 3, is_gamma_center=True)
        phonon.run_thermal_properties(temperatures=temperatures, cutoff_frequency=1e-2)
    found = phonon.thermal_properties
    return {key: np.asarray(getattr(found, key)) for key in ("free_energy", "heat_capacity", "entropy")}
