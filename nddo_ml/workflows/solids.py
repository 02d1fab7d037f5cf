"""Solids with any ASE calculator: relaxation, equation of state, elasticity, dynamics.

Stresses have ASE's sign and Voigt order (xx, yy, zz, yz, xz, xy); moduli are in GPa.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from nddo_ml.errors import InputError, NDDOMLError
from nddo_ml.workflows.crystal_axes import VOIGT, crystal_axes, symmetrised

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class RelaxationError(NDDOMLError, RuntimeError):
    """A relaxation did not reach the wanted forces."""


@dataclass(frozen=True)
class Elasticity:
    """Elastic constants and what follows from them."""

    constants: np.ndarray  # [6, 6] GPa, symmetric
    space_group: str = ""  # symbol and number, where they are in conventional axes and symmetrised
    asymmetry: float = 0.0  # GPa, the largest change by symmetrising

    @property
    def bulk_voigt(self) -> float:
        """Bulk modulus at uniform strain, GPa: (1/9) Σ_ij≤3 C_ij."""
        return float(self.constants[:3, :3].sum() / 9)

    @property
    def bulk_reuss(self) -> float:
        """Bulk modulus at uniform stress, GPa: 1 / Σ_ij≤3 S_ij."""
        return float(1 / np.linalg.inv(self.constants)[:3, :3].sum())

    @property
    def shear_voigt(self) -> float:
        """Shear modulus at uniform strain, GPa."""
        c = self.constants
        diagonal, off = np.trace(c[:3, :3]), c[0, 1] + c[0, 2] + c[1, 2]
        return float((diagonal - off + 3 * np.trace(c[3:, 3:])) / 15)

    @property
    def shear_reuss(self) -> float:
        """Shear modulus at uniform stress, GPa."""
        s = np.linalg.inv(self.constants)
        diagonal, off = np.trace(s[:3, :3]), s[0, 1] + s[0, 2] + s[1, 2]
        return float(15 / (4 * diagonal - 4 * off + 3 * np.trace(s[3:, 3:])))

    @property
    def is_stable(self) -> bool:
        """Born's criterion: all eigenvalues positive."""
        return bool(np.linalg.eigvalsh(self.constants).min() > 0)


@dataclass(frozen=True)
class EquationOfState:
    """Energies over volumes and the Birch–Murnaghan fit through them."""

    volumes: np.ndarray  # [n] Å³
    energies: np.ndarray  # [n] eV
    volume: float  # Å³ at the minimum
    energy: float  # eV at the minimum
    bulk_modulus: float  # GPa
    rms: float  # eV, of the fit


def relax(atoms: Atoms, calculator: Calculator, *, cell: bool = True, force: float = 1e-4, steps: int = 500) -> Atoms:
    """A copy with relaxed positions and, where asked, cell; forces (and the cell's) below ``force`` eV/Å.

    Raises:
        InputError: a calculator without stress, where the cell is to be relaxed.
        RelaxationError: not reached within ``steps``.
    """
    if cell and "stress" not in calculator.implemented_properties:
        name = getattr(getattr(calculator, "model", None), "name", type(calculator).__name__)
        raise InputError(f"expected a model that knows periodic cells and their stress; {name} does not")
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    relaxed = atoms.copy()
    relaxed.calc = calculator
    movable: Any = FrechetCellFilter(relaxed) if cell else relaxed
    optimizer = BFGS(movable, logfile=None)
    if not optimizer.run(fmax=force, steps=steps):
        raise RelaxationError(
            f"{relaxed.get_chemical_formula()}: forces did not fall below {force} eV/Å in {steps} steps"
        )
    return relaxed


def elastic_constants(
    atoms: Atoms,
    calculator: Calculator,
    *,
    strain: float = 0.005,
    internal: bool = True,
    force: float = 1e-4,
    conventional: bool = True,
) -> Elasticity:
    """C_ij = ∂σ_i/∂ε_j by central differences of the stress, atoms relaxed in each strained cell.

    ``atoms`` should be relaxed (:func:`relax`); ``internal=False`` gives the clamped-ion constants. The crystal
    is strained along its conventional axes and the constants are averaged over its point group
    (:mod:`nddo_ml.workflows.crystal_axes`), so that they do not depend on how it lies in its file;
    ``conventional=False`` takes the axes of ``atoms``.

    Raises:
        InputError: a structure that is not periodic in three directions, or whose symmetry is not found.
        RelaxationError: a strained cell whose atoms do not relax.
    """
    check_periodic(atoms)
    axes = crystal_axes(atoms) if conventional else None
    if axes is not None:
        atoms = axes.laid(atoms)
    columns = []
    for a, b in VOIGT:
        stresses = []
        for sign in (1, -1):
            deformation = np.eye(3)
            deformation[a, b] += sign * strain * (1.0 if a == b else 0.5)
            deformation[b, a] = deformation[a, b]
            strained = atoms.copy()
            strained.set_cell(np.asarray(atoms.cell) @ deformation, scale_atoms=True)
            if internal:
                strained = relax(strained, calculator, cell=False, force=force)
            strained.calc = calculator
            stresses.append(strained.get_stress(voigt=True))
        columns.append((stresses[0] - stresses[1]) / (2 * strain))
    constants = np.stack(columns, 1) / units.GPa
    constants = 0.5 * (constants + constants.T)
    if axes is None:
        return Elasticity(constants)
    mean = symmetrised(constants, axes)
    return Elasticity(mean, axes.space_group, float(np.abs(constants - mean).max()))


def equation_of_state(
    atoms: Atoms, calculator: Calculator, *, span: float = 0.06, points: int = 9, internal: bool = True
) -> EquationOfState:
    """Birch–Murnaghan's equation through energies at volumes within ±``span`` (a fraction) of ``atoms``'s.

    Raises:
        InputError: a structure that is not periodic in three directions, or too few points.
        RelaxationError: a cell whose atoms do not relax.
    """
    from ase.eos import EquationOfState as Fit

    check_periodic(atoms)
    if points < 5:
        raise InputError(f"an equation of state needs at least 5 points; got {points}")
    volumes, energies = [], []
    for cell in scaled_cells(atoms, span, points):
        image = relax(cell, calculator, cell=False) if internal else cell
        image.calc = calculator
        volumes.append(image.get_volume())
        energies.append(image.get_potential_energy())
    fit = Fit(volumes, energies, eos="birchmurnaghan")
    volume, energy, modulus = fit.fit()
    rms = float(np.sqrt(np.mean((fit.func(np.asarray(volumes), *fit.eos_parameters) - energies) ** 2)))
    return EquationOfState(np.array(volumes), np.array(energies), volume, energy, modulus / units.GPa, rms)


def run_nve(
    atoms: Atoms,
    calculator: Calculator,
    *,
    temperature: float,
    picoseconds: float,
    timestep: float = 1.0,
    seed: int = 0,
    every: int = 10,
    on_step: Callable[[int, Atoms], None] = lambda step, atoms: None,
) -> dict[str, np.ndarray]:
    """Constant-energy dynamics (velocity Verlet) from velocities for ``temperature`` K; ``timestep`` in fs.

    Starting on the lattice sites, half of the kinetic energy goes into vibrations: start at twice the wanted
    temperature. Returns times (ps), total energies (eV an atom) and temperatures (K) every ``every`` steps.
    """
    from ase.md.verlet import VelocityVerlet

    moving = atoms.copy()
    moving.calc = calculator
    spread = np.sqrt(moving.get_masses() * units.kB * temperature)[:, None]  # Maxwell and Boltzmann's
    momenta = np.random.default_rng(seed).normal(size=(len(moving), 3)) * spread
    moving.set_momenta(momenta - momenta.mean(0))
    dynamics = VelocityVerlet(moving, timestep * units.fs)
    times, energies, temperatures = [], [], []

    def record() -> None:
        times.append(dynamics.nsteps * timestep * 1e-3)
        energies.append(moving.get_total_energy() / len(moving))
        temperatures.append(moving.get_temperature())
        on_step(dynamics.nsteps, moving)

    dynamics.attach(record, interval=every)
    dynamics.run(round(picoseconds * 1000 / timestep))
    return {"time": np.array(times), "energy": np.array(energies), "temperature": np.array(temperatures)}


def energy_drift(times: np.ndarray, energies: np.ndarray) -> float:
    """Slope of the total energy (eV an atom) over time (ps) by least squares."""
    return float(np.polyfit(times, energies, 1)[0])


def scaled_cells(atoms: Atoms, span: float, points: int) -> list[Atoms]:
    """Copies at ``points`` volumes within ±``span`` (a fraction) of its own."""
    cells = []
    for factor in np.linspace(1 - span, 1 + span, points):
        scaled = atoms.copy()
        scaled.set_cell(np.asarray(atoms.cell) * factor ** (1 / 3), scale_atoms=True)
        cells.append(scaled)
    return cells


def check_periodic(atoms: Atoms) -> None:
    """Refuse what is no crystal.

    Raises:
        InputError: a structure that is not periodic in three directions.
    """
    if not atoms.pbc.all() or atoms.get_volume() < 1e-6:
        raise InputError(f"expected a cell that is periodic in three directions; got pbc {atoms.pbc.tolist()}")
