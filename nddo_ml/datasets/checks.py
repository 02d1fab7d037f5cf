"""Doubts about data: units suspected from magnitudes; warnings that name file, reason and remedy."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from ase.data import covalent_radii
from torch import Tensor

from bp_descriptors.runs import starts
from nddo_ml.datasets.contacts import nearest_contacts
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.units import BOHR_ANGSTROM, EV_KCAL_MOL, HARTREE_EV

_COMPARED = 400  # structures of one composition and cell at least, where there are so many
_SIMILAR = 0.3  # Å, the farthest that an atom of similar structures has moved
EXPECTED = "eV and eV/Å are expected"
GRADIENTS = "energies rise where forces point: gradients instead of forces? F = −dE/dR is expected"


class UnitsWarning(UserWarning):
    """Numbers whose size suggests another unit than the one declared."""


def check_dataset(dataset: Dataset) -> list[str]:
    """Warn (UnitsWarning) of lengths, energies, forces or stresses that look like another unit's.

    Lengths: nearest contacts over the sum of covalent radii. Energies: total all-electron energies are close
    to −13.6 Z^2.4 eV an atom (roughly Thomas and Fermi's). Forces: −ΔE = F·ΔR between similar structures.
    Stress: more than 1 eV/Å³ (160 GPa) in the median.
    """
    found = [m for m in (_lengths(dataset), _energies(dataset), _forces(dataset), _stress(dataset)) if m]
    where = dataset.origins[0].rsplit(", frame", 1)[0]
    for message in found:
        warnings.warn(f"{where}: {message}", UnitsWarning, stacklevel=2)
    return found


def check_against_forces(from_forces: LinearPrediction, dataset: Dataset) -> str | None:
    """Warn (UnitsWarning) of energies or stresses that contradict the forces, in sign or by a factor of a unit.

    Compared with a potential fitted to the forces alone, which know nothing of the volume: energies an atom but
    for what is quadratic in the volume, with coefficients for each element, and the diagonal of the stress but
    for its mean. No verdict where they hardly go together.
    """
    message = _energies_and_forces(from_forces, dataset) or _stress_and_forces(from_forces, dataset)
    if message:
        where = dataset.origins[0].rsplit(", frame", 1)[0]
        warnings.warn(f"{where}: {message}", UnitsWarning, stacklevel=2)
    return message


def _energies_and_forces(from_forces: LinearPrediction, dataset: Dataset) -> str | None:
    k = torch.tensor(from_forces.structures)
    here = dataset.labels.has("energy")[k]
    k, predicted = k[here], from_forces.energy[here]
    if len(k) < 6 + 3 * len(dataset.elements):
        return None
    sizes = dataset.systems.atoms_per_system[k]
    both = torch.stack([predicted, dataset.labels.values["energy"][k]], 1) / sizes[:, None]
    shares = dataset.composition[k] / sizes[:, None]
    volume = (torch.linalg.det(dataset.systems.cell[k]).abs() / sizes)[:, None]
    relative = volume / volume.mean().clamp(min=1e-9) - 1.0
    unknown = torch.cat([shares, shares * relative, shares * relative**2], 1)
    both = both - unknown @ torch.linalg.lstsq(unknown, both, driver="gelsd").solution
    correlation, slope = _line(both[:, 0], both[:, 1])
    if correlation < -0.8:
        return GRADIENTS
    if correlation > 0.8 and slope > 8.0:
        return f"{_times(slope)}: energies in kcal/mol, or forces in hartree/bohr? {EXPECTED}"
    if correlation > 0.8 and slope < 1 / 8.0:
        return f"{_times(slope)}: energies in hartree, or forces in kcal/mol/Å? {EXPECTED}"
    return None


def _stress_and_forces(from_forces: LinearPrediction, dataset: Dataset) -> str | None:
    k = torch.tensor(from_forces.structures)
    here = (dataset.labels.has("stress")[k]) & from_forces.stress.isfinite().all(2).all(1)
    if int(here.sum()) < 10:
        return None
    both = torch.stack([from_forces.stress[here], dataset.labels.values["stress"][k[here]]]).diagonal(dim1=2, dim2=3)
    predicted, labels = (both - both.mean(2, keepdim=True)).flatten(1)
    correlation, slope = _line(predicted, labels)
    if correlation < -0.5:
        return "stresses have the opposite sign of what forces say: pressures? Positive under tension is expected"
    if correlation > 0.5 and slope > 20.0 and _stress(dataset) is None:
        return f"stresses are {slope:.3g} times what forces say: GPa, kbar, or virials in eV? eV/Å³ is expected"
    return None


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Correlation about zero, and the slope of y on x."""
    product = float(x @ y)
    return product / max(float(x.norm() * y.norm()), 1e-30), product / max(float(x @ x), 1e-30)


def _times(slope: float) -> str:
    return f"energies change {slope:.3g} times as much as forces say"


def _lengths(dataset: Dataset) -> str | None:
    distance, i, j = nearest_contacts(dataset)
    if not distance.numel():
        return None
    radii = torch.as_tensor(covalent_radii)
    ratio = float((distance / (radii[i] + radii[j])).median())
    found = f"nearest neighbours are {ratio:.2f} times as far as covalent radii say: positions"
    if 1.6 < ratio < 2.3:
        return f"{found} in bohr? Å is expected"
    if ratio < 0.35:
        return f"{found} in nm? Å is expected"
    return None


def _energies(dataset: Dataset) -> str | None:
    here = dataset.labels.has("energy")
    if not bool(here.any()):
        return None
    z = torch.tensor(dataset.elements, dtype=torch.float64)
    expected = dataset.composition[here] @ (-0.5 * HARTREE_EV * z**2.4)
    ratio = float((dataset.labels.values["energy"][here] / expected).median())
    if abs(ratio * HARTREE_EV - 1) < 0.15:
        return 'total energies are those of all electrons in hartree; eV is expected (energy_unit = "hartree")'
    if abs(ratio / EV_KCAL_MOL - 1) < 0.15:
        return 'total energies are those of all electrons in kcal/mol; eV is expected (energy_unit = "kcal/mol")'
    return None


def _forces(dataset: Dataset) -> str | None:
    """Slope of −ΔE on F̄·ΔR between structures of one composition and cell that differ little."""
    work, change = _work(dataset)
    if work.numel() < 5:
        return None
    correlation, slope = _line(work, change)
    if abs(correlation) < 0.8:
        return None
    if slope < 0:
        return GRADIENTS
    units = {
        "forces in hartree/bohr": HARTREE_EV / BOHR_ANGSTROM,
        "energies in hartree": 1 / HARTREE_EV,
        "forces in kcal/mol/Å": 1 / EV_KCAL_MOL,
        "energies in kcal/mol": EV_KCAL_MOL,
        "forces in eV/bohr": 1 / BOHR_ANGSTROM,
    }
    name, factor = min(units.items(), key=lambda item: abs(torch.tensor(slope / item[1]).log()))
    if abs(float(torch.tensor(slope).log())) > 0.45 and abs(float(torch.tensor(slope / factor).log())) < 0.25:
        return f"{_times(slope)}: {name}? {EXPECTED}"
    return None


def _work(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Mean force times displacement, and the energy's decrease, of similar structures, each with its nearest; eV."""
    s, labels = dataset.systems, dataset.labels
    sizes = s.atoms_per_system
    first = starts(sizes)
    alike: dict[tuple[bytes, bytes], list[int]] = {}
    for k in torch.nonzero(labels.has("energy") & labels.has("forces")).squeeze(1).tolist():
        own = slice(int(first[k]), int(first[k] + sizes[k]))
        alike.setdefault((s.numbers[own].numpy().tobytes(), s.cell[k].numpy().tobytes()), []).append(k)
    work, change = [], []
    for members in alike.values():
        group = torch.tensor(members)
        group = group[labels.values["energy"][group].argsort(stable=True)]  # whatever the order of the frames
        atoms = first[group, None] + torch.arange(int(sizes[group[0]]))
        x, f, e = s.positions[atoms], labels.values["forces"][atoms], labels.values["energy"][group]
        for k in range(0, len(group), max(1, len(group) // _COMPARED)):
            farthest = (x - x[k]).norm(dim=2).amax(1)
            farthest[k] = torch.inf
            other = int(farthest.argmin())
            if float(farthest[other]) < _SIMILAR:
                work.append(float((0.5 * (f[k] + f[other]) * (x[other] - x[k])).sum()))
                change.append(float(e[k] - e[other]))
    return torch.tensor(work, dtype=torch.float64), torch.tensor(change, dtype=torch.float64)


def _stress(dataset: Dataset) -> str | None:
    here = dataset.labels.has("stress")
    if not bool(here.any()):
        return None
    size = float(dataset.labels.values["stress"][here].norm(dim=(1, 2)).median())
    if size > 1.0:
        return f"stresses of {size:.3g} (median) would be {160 * size:.0f} GPa: GPa or kbar? eV/Å³ is expected"
    return None


@dataclass(frozen=True)
class LinearPrediction:
    """Energies and stresses of some structures by a potential that has seen their forces alone."""

    structures: list[int]
    energy: Tensor  # [n] eV, up to a constant for each element's atoms
    stress: Tensor  # [n, 3, 3] eV/Å³, NaN without a volume
