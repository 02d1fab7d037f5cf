"""Energies of second-order perturbation theory with PySCF: MP2 and its spin-scaled forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# name -> weights of pairs of opposite and of the same spin
SPIN_WEIGHTS: Mapping[str, tuple[float, float]] = {
    "mp2": (1.0, 1.0),
    "scs-mp2": (6 / 5, 1 / 3),
    "sos-mp2": (1.3, 0.0),
}


def perturbed_energy(mean_field: Any, name: str) -> float:
    """``E_HF + c_os E_os + c_ss E_ss`` of a converged Hartree–Fock field, hartree; the core stays frozen.

    Sources: Møller & Plesset, Phys. Rev. 46, 618 (1934); SCS: Grimme, J. Chem. Phys. 118, 9095 (2003); SOS: Jung,
    Lochan, Dutoi & Head-Gordon, J. Chem. Phys. 121, 9793 (2004).

    Args:
        mean_field: PySCF's RHF or UHF, converged; density fitting is taken over from it.
        name: one of SPIN_WEIGHTS.
    """
    from pyscf import mp
    from pyscf.data.elements import chemcore

    opposite, same = SPIN_WEIGHTS[name]
    perturbation = mp.MP2(mean_field, frozen=chemcore(mean_field.mol))
    perturbation.kernel(with_t2=False)
    return float(mean_field.e_tot + opposite * perturbation.e_corr_os + same * perturbation.e_corr_ss)
