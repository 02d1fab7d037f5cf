"""The potential of one-centre products outside of their atom, beside moments of Slater orbitals in closed form."""

from __future__ import annotations

from math import factorial

import pytest
import torch

from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.potential import multipole_potential
from nddo_ml.methods.tables import load_method

R = 9.0  # bohr
S, X, Z, XX_YY, XZ, ZZ = 0, 1, 3, 4, 5, 6  # orbitals in MOPAC's order


def moment(a: float, b: float, power: int, n: int = 3) -> float:
    """``⟨n a| r^power |n b⟩`` of Slater functions with exponents a and b, ``(2n+k)!/(a+b)^(2n+k+1)`` times norms."""
    norm = (4 * a * b) ** (n + 0.5) / factorial(2 * n)
    return norm * factorial(2 * n + power) / (a + b) ** (2 * n + power + 1)


@pytest.mark.parametrize(
    ("orbitals", "shells", "rank", "angular"),  # angular: ⟨μ|C_l0|ν⟩, products of Clebsch–Gordan coefficients
    [
        ((S, Z), "sp", 1, 3**-0.5),
        ((Z, Z), "pp", 2, 2 / 5),
        ((X, X), "pp", 2, -1 / 5),
        ((S, ZZ), "sd", 2, 5**-0.5),
        ((Z, ZZ), "pd", 1, 2 * 15**-0.5),
        ((X, XZ), "pd", 1, 5**-0.5),
        ((ZZ, ZZ), "dd", 2, 2 / 7),
        ((XZ, XZ), "dd", 2, 1 / 7),
        ((XX_YY, XX_YY), "dd", 2, -2 / 7),
    ],
)
def test_chlorine_of_pm6(orbitals: tuple[int, int], shells: str, rank: int, angular: float) -> None:
    """On the third axis, ``V = δ_μν/R + ⟨r^l⟩ ⟨μ|C_l0|ν⟩/R^(l+1)``; all other ranks vanish or are left out."""
    method = load_method("PM6")
    a, b = (float(method.scalars[f"zeta_{shell}"][17]) for shell in shells)
    exact = (orbitals[0] == orbitals[1]) / R + moment(a, b, rank) * angular / R ** (rank + 1)
    found = multipole_potential(torch.tensor([[[0.0, 0.0, R]]]).double(), method.multipoles.separation[[17]], 9)[0, 0]
    index = [tuple(sorted(p)) for p in packed_pairs(9)].index(orbitals)
    assert float(found[index]) == pytest.approx(exact, abs=1e-7)
