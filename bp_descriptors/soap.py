"""SOAP power spectra behind the interface of the symmetry functions, computed by DScribe (extra ``soap``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from torch import Tensor


class SOAP:
    """Smooth overlap of atomic positions: the power spectrum p_{nn'l} of every couple of elements.

    Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115 (2013), as DScribe computes it (Laakso et al., J. Chem.
    Phys. 158, 234802 (2023)). Values only, and dense derivatives of molecules: nothing here is
    differentiable by torch.

    Args:
        elements: symbols of all elements that may occur.
        cutoff: Å.
        n_max, l_max: numbers of radial and angular functions.
        sigma: width of the atomic densities, Å.

    Raises:
        ValueError: no elements or an unknown symbol.
        ImportError: DScribe is not installed.
    """

    def __init__(
        self,
        elements: Sequence[str],
        cutoff: float = 5.0,
        n_max: int = 8,
        l_max: int = 6,
        sigma: float = 0.5,
    ) -> None:
        unknown = [s for s in elements if atomic_numbers.get(s, 0) < 1]
        if isinstance(elements, str) or not elements or unknown:
            raise ValueError(f"expected a list of element symbols; got {elements!r}")
        self.elements = sorted(set(elements), key=atomic_numbers.__getitem__)
        self.cutoff = cutoff
        self._options = {"n_max": n_max, "l_max": l_max, "sigma": sigma}
        self._soap = {periodic: self._build(periodic) for periodic in (False, True)}
        self.n_features: int = self._soap[False].get_number_of_features()

    @property
    def labels(self) -> dict[str, list[str]]:
        """What each feature is, in column order; the same for every central element."""
        names = [""] * self.n_features
        for k, first in enumerate(self.elements):
            for second in self.elements[k:]:
                columns = self._soap[False].get_location((first, second))
                for position, column in enumerate(range(columns.start, columns.stop)):
                    names[column] = f"SOAP ({first},{second}) {position} cutoff={self.cutoff:.6g}"
        return {symbol: list(names) for symbol in self.elements}

    def features_of(self, number: int) -> int:
        """How many columns the element with atomic ``number`` uses: all of them."""
        if number not in [atomic_numbers[s] for s in self.elements]:
            raise ValueError(f"no SOAP for atomic number {number}; there are {self.elements}")
        return self.n_features

    def describe(self, atoms: Atoms | Sequence[Atoms]) -> Tensor:
        """G [atoms, features], float64, of an ASE ``Atoms`` or a list of them (atoms one after another)."""
        frames = [atoms] if isinstance(atoms, Atoms) else list(atoms)
        if not frames:
            raise ValueError("expected at least one structure; got an empty list")
        values = [self._soap[self._is_periodic(k, f)].create(f) for k, f in enumerate(frames)]
        return torch.as_tensor(np.concatenate(values))

    def derivatives(self, atoms: Atoms) -> tuple[Tensor, Tensor]:
        """∂G/∂positions [centres, atoms, 3, features] and G [atoms, features] of one molecule, analytic.

        Raises:
            ValueError: a periodic structure, for which DScribe has no analytic derivatives.
        """
        if self._is_periodic(0, atoms):
            raise ValueError("SOAP derivatives are for molecules; the structure is periodic")
        slopes, values = self._soap[False].derivatives(atoms, attach=True, method="analytical")
        return torch.as_tensor(slopes), torch.as_tensor(values)

    def to_dict(self) -> dict[str, Any]:
        """The arguments as plain values; ``SOAP(**dictionary)`` builds the same descriptor."""
        return {"elements": list(self.elements), "cutoff": self.cutoff, **self._options}

    def _build(self, periodic: bool) -> Any:
        try:
            dscribe = import_module("dscribe.descriptors")
        except ImportError as error:
            raise ImportError("SOAP needs DScribe: install the extra `soap`") from error
        return dscribe.SOAP(species=self.elements, r_cut=self.cutoff, periodic=periodic, **self._options)

    def _is_periodic(self, k: int, atoms: Atoms) -> bool:
        unknown = sorted(set(atoms.get_chemical_symbols()) - set(self.elements))
        if unknown:
            raise ValueError(f"structure {k}: there is SOAP for {self.elements}; the structure has {unknown}")
        return bool(np.any(atoms.pbc))
