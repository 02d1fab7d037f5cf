"""The level of theory of reference labels, and a single point at it with PySCF."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.labelling.perturbation import SPIN_WEIGHTS, perturbed_energy
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

PRUNINGS = {"sg1": "sg1_prune", "nwchem": "nwchem_prune", "treutler": "treutler_prune", "none": ""}
DISPERSIONS = ("d3bj", "d3zero", "d4")
COARSE_GRID = (30, 86)  # radial and angular points where the field starts
CHARGE_MODELS = ("mulliken", "hirshfeld", "cm5")


@dataclass(frozen=True)
class Level:
    """Functional, basis, density fitting, grid, dispersion and charge model.

    The defaults are those of ANI-1x and COMP6, ωB97X/6-31G(d), with density fitting. Energies alone come from
    perturbation theory when the functional is ``mp2``, ``scs-mp2`` or ``sos-mp2``.
    """

    functional: str = "wb97x"
    basis: str = "6-31g(d)"
    auxiliary_basis: str | None = "def2-universal-jkfit"  # None: no density fitting
    grid: tuple[int, int] = (75, 302)  # radial and angular points
    pruning: str = "sg1"
    grid_response: bool = False  # forces with the derivatives of the grid: exact net forces, dearer
    dispersion: str | None = None
    charges: str = "mulliken"
    convergence: float = 1e-9  # hartree, of the energy between two iterations
    max_cycles: int = 100

    def __post_init__(self) -> None:
        _choose("pruning", self.pruning, tuple(PRUNINGS))
        _choose("charges", self.charges, CHARGE_MODELS)
        if self.dispersion is not None:
            _choose("dispersion", self.dispersion, DISPERSIONS)
        if not 0 < self.convergence <= 1e-4:
            raise InputError(f"convergence must be above 0 and at most 1e-4 hartree; got {self.convergence}")
        if self.perturbative and self.dispersion is not None:
            raise InputError(f"expected no dispersion beside {self.functional}; got {self.dispersion}")

    @property
    def perturbative(self) -> bool:
        """Whether energies are of perturbation theory on a Hartree–Fock field."""
        return self.functional in SPIN_WEIGHTS

    @property
    def description(self) -> str:
        """One line that stands with every label and says how it was made."""
        fitting = f"density fitting {self.auxiliary_basis}" if self.auxiliary_basis else "no density fitting"
        grid = f"grid ({self.grid[0]},{self.grid[1]}) {self.pruning}"
        response = " with response" if self.grid_response else ""
        functional = self.functional + (f"-{self.dispersion}" if self.dispersion else "")
        loose = f"; convergence {self.convergence:g}" if self.convergence > 1e-9 else ""
        if self.perturbative:
            return f"{functional}/{self.basis}; {fitting}{loose}"
        return f"{functional}/{self.basis}; {fitting}; {grid}{response}; {self.charges} charges{loose}"

    def check(self) -> None:
        """Raise before any work is done, if PySCF or what it needs is missing or a name is unknown.

        Raises:
            InputError: PySCF or its dispersion module is not installed; an unknown functional, basis or grid.
        """
        if find_spec("pyscf") is None:
            raise InputError("labelling needs PySCF; install it with: pip install 'nddo-ml[label]'")
        if self.dispersion is not None and find_spec("pyscf.dispersion") is None:
            raise InputError(f"{self.dispersion} needs pyscf-dispersion; pip install 'nddo-ml[label]'")
        from pyscf.dft import libxc
        from pyscf.dft.gen_grid import LEBEDEV_NGRID

        try:
            libxc.parse_xc("hf" if self.perturbative else self.functional)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"expected {', '.join(SPIN_WEIGHTS)} or a functional that PySCF knows (b3lyp, wb97x, pbe, …); "
                f"got {self.functional!r}"
            ) from error
        for basis in (self.basis, self.auxiliary_basis):
            if basis is not None:
                _check_basis(basis)
        if self.grid[0] < 1 or self.grid[1] not in LEBEDEV_NGRID:
            known = ", ".join(str(n) for n in LEBEDEV_NGRID if 50 <= n <= 1000)
            raise InputError(f"the grid's angular points must be one of {known}; got {self.grid}")

    def check_structure(self, atoms: Atoms) -> None:
        """Every molecule is welcome."""

    def label(self, structures: Sequence[Atoms], threads: int) -> list[Atoms]:
        """Single points of the structures."""
        return [single_point(atoms, self, threads) for atoms in structures]


def single_point(atoms: Atoms, level: Level, threads: int = 1) -> Atoms:
    """A copy of the structure with energy (eV), forces (eV/Å), dipole (e·Å) and charges (e); MP2 gives the energy only.

    Charge and multiplicity are ``info["charge"]`` and ``info["multiplicity"]``; open shells are unrestricted.
    The dipole is relative to the centre of mass, which matters for ions only.

    Raises:
        RuntimeError: the SCF does not converge, by DIIS nor by a second-order method.
        InputError: CM5 charges for an element that they do not know.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    results = _perturbed if level.perturbative else _density_functional
    labelled = atoms.copy()
    with _threads(threads):
        labelled.calc = SinglePointCalculator(labelled, **results(atoms, level))
    return labelled


def _perturbed(atoms: Atoms, level: Level) -> dict[str, Any]:
    mean_field = _mean_field(atoms, level)
    mean_field.kernel()
    return {"energy": perturbed_energy(_converged(mean_field), level.functional) * HARTREE_EV}


def _density_functional(atoms: Atoms, level: Level) -> dict[str, Any]:
    from nddo_ml.labelling.partition import cm5_shift

    shift = cm5_shift(atoms.numbers, atoms.positions) if level.charges == "cm5" else 0.0
    mean_field = _mean_field(atoms, level)
    mean_field.kernel(dm0=first_density(mean_field))
    mean_field = _converged(mean_field)
    gradient = _gradient(mean_field, level)
    density = mean_field.make_rdm1()
    density = density.sum(axis=0) if density.ndim == 3 else density
    origin = atoms.get_center_of_mass() / BOHR_ANGSTROM
    dipole = mean_field.dip_moment(unit="AU", dm=density, origin=origin, verbose=0)
    return {
        "energy": float(mean_field.e_tot) * HARTREE_EV,
        "forces": -np.asarray(gradient) * (HARTREE_EV / BOHR_ANGSTROM),
        "dipole": np.asarray(dipole) * BOHR_ANGSTROM,
        "charges": _charges(mean_field, density, level) + shift,
    }


def _check_basis(name: str) -> None:
    from pyscf.gto import basis
    from pyscf.lib.exceptions import BasisNotFoundError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice on a further package of basis sets
            basis.load(name, "H")
    except BasisNotFoundError as error:
        raise InputError(f"expected a basis set that PySCF knows (6-31g(d), …); got {name!r}") from error


def _mean_field(atoms: Atoms, level: Level) -> Any:
    from pyscf import dft, gto, scf

    molecule = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True)),
        unit=BOHR_ANGSTROM,
        basis=level.basis,
        charge=int(atoms.info.get("charge", 0)),
        spin=int(atoms.info.get("multiplicity", 1)) - 1,
        verbose=0,
    )
    if level.perturbative:
        mean_field = (scf.UHF if molecule.spin else scf.RHF)(molecule)
    else:
        mean_field = (dft.UKS if molecule.spin else dft.RKS)(molecule)
    if level.auxiliary_basis:
        mean_field = mean_field.density_fit(auxbasis=level.auxiliary_basis)
    mean_field.conv_tol = level.convergence
    mean_field.max_cycle = level.max_cycles
    if level.perturbative:
        return mean_field
    mean_field.xc = level.functional
    mean_field.grids.atom_grid = level.grid
    name = PRUNINGS[level.pruning]
    mean_field.grids.prune = getattr(dft.gen_grid, name) if name else None
    if level.dispersion is not None:
        mean_field.disp = level.dispersion
    return mean_field


def _converged(mean_field: Any) -> Any:
    """The mean field at its solution; where DIIS failed, a second-order method goes on from its density."""
    if not mean_field.converged:
        mean_field = mean_field.newton()
        mean_field.kernel(dm0=mean_field.make_rdm1())
    if not mean_field.converged:
        raise RuntimeError(f"the SCF did not converge in {mean_field.max_cycle} cycles")
    return mean_field


def first_density(mean_field: Any) -> np.ndarray:
    """The density on a coarse grid, from which few of the dear iterations on the fine one are left."""
    grid, convergence = mean_field.grids.atom_grid, mean_field.conv_tol
    mean_field.grids.atom_grid, mean_field.conv_tol = COARSE_GRID, 1e-5
    mean_field.kernel()
    mean_field.grids.reset()
    mean_field.grids.atom_grid, mean_field.conv_tol = grid, convergence
    return mean_field.make_rdm1()


def _gradient(mean_field: Any, level: Level) -> np.ndarray:
    gradient = mean_field.nuc_grad_method()
    gradient.grid_response = level.grid_response
    return gradient.kernel()


def _charges(mean_field: Any, density: np.ndarray, level: Level) -> np.ndarray:
    from nddo_ml.labelling.partition import hirshfeld_charges

    if level.charges == "mulliken":
        return mean_field.mulliken_pop(verbose=0, dm=density)[1]
    return hirshfeld_charges(mean_field.mol, mean_field.grids, density)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Both PySCF's and the linear algebra's threads limited to ``count``."""
    from pyscf.lib import with_omp_threads
    from threadpoolctl import threadpool_limits

    with with_omp_threads(count), threadpool_limits(count):
        yield


def _choose(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}; got {value!r}")
