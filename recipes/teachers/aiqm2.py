"""AIQM2 (coupled-cluster level; H, C, N, O) as a teacher: GFN2-xTB without D4, eight networks, and D4.

    python recipes/teachers/aiqm2.py models structures.extxyz labels.extxyz

``E = E_GFN2 − E_D4(GFN2) + ⟨Σ_A (ε_A + e_A)⟩ + E_D4(ωB97X)``, ε_A and e_A the networks' atomic energies and shifts on
ANI's symmetry functions. Neutral closed shells. Sources: Chen, Zheng, Zhang & Dral, Chem. Sci. 16, 15901 (2025);
symmetry functions: Smith, Isayev & Roitberg, Chem. Sci. 8, 3192 (2017). Networks (Apache-2.0) and an xtb that knows
``--withoutd4`` (LGPL-3.0, run as a program) come with mlatom 3.25.5; README.md says how to get them.
"""

import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from dftd4.interface import DampingParam, DispersionModel
from torch import Tensor, nn

LEVEL = "AIQM2, mean of the eight networks of mlatom 3.25.5"
MEMBERS = 8
BOHR, HARTREE = 0.529177210903, 27.211386245988  # Å, eV (CODATA 2018)
D4 = {"s6": 1.0, "s8": -0.07519516, "s9": 1.0, "a1": 0.45094893, "a2": 6.78425255}
STORAGES = {"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "LongStorage": torch.int64}
ARCCOS_SCALE = 0.95  # ANI's angles: arccos(0.95 cos θ)
TRUSTED = {  # all that a file of networks may build
    *("torch._utils", "torch.nn.modules.activation", "torch.nn.modules.container", "torch.nn.modules.linear"),
    "collections",
}


class AIQM2(Calculator):
    """The method as an ASE calculator; ``results["energy_spread"]`` (eV) is the networks' standard deviation."""

    implemented_properties = ("energy", "forces")

    def __init__(self, folder: str) -> None:
        """``folder`` holds cv0.pt … cv7.pt and xtb, as taken out of the wheel."""
        super().__init__()
        self.xtb = str((Path(folder) / "xtb").resolve())
        self.networks = [_Network(_loaded(Path(folder) / f"cv{k}.pt")) for k in range(MEMBERS)]
        self.functions = _SymmetryFunctions(_loaded(Path(folder) / "cv0.pt")["args"])

    def calculate(
        self, atoms: Atoms | None = None, properties: Iterable[str] = (), system_changes: Sequence[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        numbers, positions = self.atoms.numbers, self.atoms.positions
        if int(self.atoms.info.get("charge", 0)) or not set(numbers.tolist()) <= {1, 6, 7, 8}:
            raise ValueError("AIQM2 is for neutral molecules of H, C, N and O")
        x = torch.tensor(positions, requires_grad=True)
        energies = self._corrections(numbers, x)
        (slope,) = torch.autograd.grad(energies.mean(), x)
        energy, gradient = _xtb(self.xtb, self.atoms)
        dispersion = DispersionModel(numbers, positions / BOHR).get_dispersion(DampingParam(**D4), grad=True)
        self.results = {
            "energy": (energy + dispersion["energy"] + float(energies.detach().mean())) * HARTREE,
            "forces": -((gradient + dispersion["gradient"]) / BOHR + slope.numpy()) * HARTREE,
            "energy_spread": float(energies.detach().std(correction=0)) * HARTREE,
        }

    def _corrections(self, numbers: np.ndarray, x: Tensor) -> Tensor:
        """[members] hartree."""
        species = torch.tensor([self.functions.species.index(z) for z in numbers.tolist()])
        features = self.functions(species, x)
        return torch.stack([network(species, features) for network in self.networks])


class _Network:
    """One file: a network for each element, and its shifts of the energy's zero."""

    def __init__(self, file: dict[str, Any]) -> None:
        self.parts = [_sequential(file["network"][s], file["nn"], s) for s in file["args"]["species_order"]]
        self.shifts = torch.as_tensor(file["args"]["self_energies"], dtype=torch.float64)

    def __call__(self, species: Tensor, features: Tensor) -> Tensor:
        total = self.shifts[species].sum()
        for k, part in enumerate(self.parts):
            total = total + part(features[species == k]).sum()
        return total


class _SymmetryFunctions:
    """ANI's radial and angular functions of one molecule, [atoms, functions]."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.species = [ase.data.atomic_numbers[s] for s in settings["species_order"]]
        self.reach = float(settings["Rcr"]), float(settings["Rca"])
        for name in ("EtaR", "ShfR", "Zeta", "ShfZ", "EtaA", "ShfA"):
            setattr(self, name, torch.as_tensor(settings[name]).double().flatten())

    def __call__(self, species: Tensor, x: Tensor) -> Tensor:
        n, kinds = len(species), len(self.species)
        i, j = (~torch.eye(n, dtype=torch.bool)).nonzero().T
        vector = x[j] - x[i]
        r = vector.norm(dim=1)
        near = r < self.reach[0]
        terms = 0.25 * torch.exp(-self.EtaR * (r[near, None] - self.ShfR) ** 2) * _cut(r[near], self.reach[0])[:, None]
        radial = terms.new_zeros(n * kinds, terms.shape[1]).index_add(0, i[near] * kinds + species[j[near]], terms)
        near = r < self.reach[1]
        angular = self._angular(i[near], species[j[near]], vector[near], r[near], n)
        return torch.cat([radial.reshape(n, -1), angular], dim=1)

    def _angular(self, i: Tensor, kind: Tensor, vector: Tensor, r: Tensor, n: int) -> Tensor:
        """Of all pairs of neighbours of one centre: 2 ((1 + cos(θ − θ_s))/2)^ζ exp(−η (r̄ − r_s)²) f_c f_c."""
        kinds = len(self.species)
        a, b = torch.triu((i[:, None] == i), diagonal=1).nonzero().T
        angle = torch.arccos(ARCCOS_SCALE * (vector[a] * vector[b]).sum(1) / (r[a] * r[b]))[:, None]
        turn = ((1 + torch.cos(angle - self.ShfZ)) / 2) ** self.Zeta
        shell = torch.exp(-self.EtaA * ((r[a] + r[b])[:, None] / 2 - self.ShfA) ** 2)
        cut = 2 * _cut(r[a], self.reach[1]) * _cut(r[b], self.reach[1])
        terms = (shell[:, :, None] * turn[:, None, :]).flatten(1) * cut[:, None]
        low, high = torch.minimum(kind[a], kind[b]), torch.maximum(kind[a], kind[b])
        pairs = kinds * (kinds + 1) // 2
        place = low * kinds - low * (low - 1) // 2 + high - low
        return terms.new_zeros(n * pairs, terms.shape[1]).index_add(0, i[a] * pairs + place, terms).reshape(n, -1)


class _Reader(pickle.Unpickler):
    """Builds tensors and plain networks only; every other object of the file is left empty."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module in TRUSTED:
            return super().find_class(module, name)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("__builtin__", "set"):
            return set
        return type(name, (), {})  # torchani's own classes: what they hold stands in the arguments, too

    def persistent_load(self, identity: tuple[Any, ...]) -> Any:
        _, dtype, key, _, _ = identity
        data = bytearray(self.archive.read(f"{self.folder}/data/{key}"))
        return torch.storage.TypedStorage(
            wrap_storage=torch.UntypedStorage.from_buffer(data, byte_order="little", dtype=torch.uint8),
            dtype=dtype,
            _internal=True,
        )


def _loaded(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        with archive.open(name) as file:
            return _Reader(file, archive, name.removesuffix("/data.pkl")).load()


def _sequential(network: nn.Module, weights: dict[str, Tensor], symbol: str) -> nn.Module:
    """An element's network with its trained weights, double precision."""
    own = {k.removeprefix(f"{symbol}."): v.cpu() for k, v in weights.items() if k.startswith(f"{symbol}.")}
    network.load_state_dict(own)
    return network.double().requires_grad_(False)


def _cut(r: Tensor, reach: float) -> Tensor:
    return 0.5 * torch.cos(torch.pi * r / reach) + 0.5


def _xtb(program: str, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy, hartree, and gradient, hartree/bohr, of GFN2-xTB without D4."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        ase.io.write(f"{folder}/m.xyz", atoms, format="xyz")
        command = [program, "m.xyz", "--gfn", "2", "--withoutd4", "--grad", "--norestart"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        result = Path(folder) / "m.engrad"
        if done.returncode or not result.is_file():
            raise RuntimeError("xtb did not converge")
        values = [line for line in result.read_text().splitlines() if not line.startswith("#")]
        return float(values[1]), np.array(values[2 : 2 + 3 * len(atoms)], dtype=float).reshape(-1, 3)


if __name__ == "__main__":
    folder, source, target = sys.argv[1:]
    torch.set_num_threads(1)
    method, made = AIQM2(folder), []
    for atoms in ase.io.read(source, ":"):
        method.calculate(atoms)
        frame = atoms.copy()
        frame.info["energy_spread"] = method.results.pop("energy_spread")
        frame.calc = SinglePointCalculator(frame, **method.results)
        made.append(frame)
    ase.io.write(target, made)
