"""Generate structures and label them with AIMNet2, neutral ones of H, C, N and O with AIQM2 too, block by block.

    python recipes/teachers/run.py FOLDER --weights WEIGHTS --data DATA [--seed 1] [--blocks 300] [--excluded FILE …]

FOLDER gets ``molecules-SEED.txt`` (made once) and for every block of molecules of one size
``SEED-00012.npz`` (AIMNet2) and ``SEED-00012.aiqm2.npz``; blocks that are there are left out, so that the command goes
on where it was stopped. ``read.py`` reads them. Give each process its own seed.
"""

import argparse
import json
import lzma
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aimnet2 import AIMNet2
from aiqm2 import AIQM2
from ase import Atoms
from rdkit import Chem, RDLogger
from unpack import arrays_of

from nddo_ml import Prediction, Systems
from nddo_ml.generate import geometries, molecules, protonation
from nddo_ml.generate.exclusion import Exclusion
from nddo_ml.workflows.model_hessian import model_hessian
from nddo_ml.workflows.optimize import optimize

TOGETHER = 8  # molecules of one number of atoms in a block
CONFORMERS, STEPS = 3, 3  # of a molecule; steps of their relaxation
SCANNED, POINTS, SCAN_STEPS = 0.5, 8, 1  # share of the molecules of which one torsion is scanned; points; relaxation
SHAKEN, TEMPERATURES = 0.25, (50.0, 400.0)  # share of the conformers that are displaced, too; K
DECIMALS = 3  # of positions, Å: labels are those of the rounded geometry
LARGEST_FORCE = 8.0  # eV/Å, structures with larger ones are left out
AIQM2_SHARE = 1.0  # of the neutral molecules of H, C, N and O
GROUPS = (  # share, groups of building blocks
    (0.44, ("HCNO",)),
    (0.17, ("HCNO", "S")),
    (0.11, ("HCNO", "F")),
    (0.09, ("HCNO", "Cl")),
    (0.05, ("HCNO", "FS")),
    (0.04, ("HCNO", "P")),
    (0.03, ("HCNO", "Br")),
    (0.01, ("HCNO", "I")),
    (0.03, "peptide"),
    (0.015, "sugar"),
    (0.015, "nucleobase"),
)
SIZES, SIZE_SHARES = ((7, 14), (12, 20), (20, 27)), (0.55, 0.38, 0.07)  # heavy atoms
IONS = 0.38  # share of the molecules that are made ions
ACIDS = ("*C(=O)O", "*C(=O)O", "*CC(=O)O", "*S(=O)(=O)NC(C)=O", "*CS(=O)(=O)O", "*OP(=O)(O)O", "*c1nn[nH]n1", "*CS")
BASES = ("*CN", "*CCN", "*CNC", "*CN(C)C", "*CCN(C)C", "*C(=N)N", "*CNC(=N)N", "*Cc1c[nH]cn1", "*C1CCNC1")
CHARGES = (1, 1, 1, 1, -1, -1, -1, -1, 2, -2, 0)  # 0: zwitterion


class Recorded:
    """AIMNet2 as a model for the optimiser, on positions rounded to 0.001 Å, that remembers what it said.

    Nothing is evaluated twice, and geometries that the optimiser tried and took back are there, too.
    """

    def __init__(self, teacher: AIMNet2) -> None:
        self.teacher = teacher
        self.frames: dict[bytes, Atoms] = {}
        self.said: dict[bytes, dict[str, Any]] = {}

    def __call__(self, systems: Systems, **_: object) -> Prediction:
        results = self.label(systems.to_ase())
        order = systems.system_idx.argsort(stable=True)
        gradient = torch.empty_like(systems.positions)
        gradient[order] = torch.tensor(np.concatenate([r["forces"] for r in results])).to(gradient)
        return Prediction(torch.tensor([r["energy"] for r in results]).to(gradient), forces=gradient)

    def label(self, frames: list[Atoms]) -> list[dict[str, Any]]:
        for atoms in frames:
            atoms.positions = np.round(atoms.positions, DECIMALS) + 0.0
        keys = [key_of(a) for a in frames]
        new = {key: a for key, a in zip(keys, frames, strict=True) if key not in self.said}
        self.frames |= new
        self.said |= dict(zip(new, self.teacher.many(list(new.values())), strict=True))
        return [self.said[key] for key in keys]


def key_of(atoms: Atoms) -> bytes:
    return _tag(atoms) + (np.round(atoms.positions, DECIMALS) + 0.0).tobytes()


def _tag(atoms: Atoms) -> bytes:
    """Elements in their order, and charge: in a block, two molecules rarely share them."""
    return np.append(atoms.numbers, int(atoms.info.get("charge", 0))).tobytes()


def forbidden(data: Path, files: list[Path]) -> Exclusion:
    """All molecules of the validation sets in ``data`` (``*.json.xz``), and SMILES of ``files`` or packed labels."""
    exclusion = Exclusion()
    for path in sorted(data.glob("*.json.xz")):
        with lzma.open(path) as file:
            content = json.load(file)
        if "molecules" in content:
            structures = list(content["molecules"].values())
        else:
            structures = list({s["smiles"]: s for group in content["sets"] for s in group}.values())
        exclusion.skeletons |= Exclusion(
            [s["smiles"] for s in structures if s.get("smiles")],
            [Atoms(s["elements"], s["positions"]) for s in structures],
        ).skeletons
    for path in files:
        lines = arrays_of(path)["smiles"].tolist() if path.suffix == ".xz" else path.read_text().splitlines()
        exclusion.skeletons |= Exclusion([s for s in lines if s and not s.startswith("#")]).skeletons
    return exclusion


def one_molecule(rng: random.Random) -> str | None:
    """A random molecule of the mixture, in a third of the cases an ion or a zwitterion."""
    (kind,) = rng.choices([g for _, g in GROUPS], [share for share, _ in GROUPS])
    if kind == "peptide":
        smiles = molecules.peptide(rng, rng.choice((1, 2, 2)), zwitterion=rng.random() < 0.2)
    elif kind == "sugar":
        smiles = molecules.sugar(rng)
    elif kind == "nucleobase":
        smiles = molecules.nucleobase(rng)
    else:
        heavy = rng.choices(SIZES, SIZE_SHARES)[0]
        smiles = next(filter(None, (molecules.drug_like(rng, kind, heavy) for _ in range(50))), None)
    if smiles is not None and "+]" not in smiles and rng.random() < IONS:
        return _ion(smiles, rng.choice(CHARGES), rng)
    return smiles


def _ion(smiles: str, charge: int, rng: random.Random) -> str | None:
    """An ion or zwitterion of the molecule, to which an acid or a base is added where it has none."""
    zwitterion = charge == 0
    for blocks in ((), ACIDS if charge < 0 else BASES, ACIDS):
        if blocks and smiles is not None:
            larger = molecules.attached(Chem.MolFromSmiles(smiles), rng.choice(blocks), rng)
            smiles = None if larger is None else molecules.chosen_stereoisomer(larger, rng)
        made = None if smiles is None else protonation.ionised(smiles, charge, rng, zwitterion)
        if made is not None or (blocks and not zwitterion):
            return made
    return None


def small_and_plain(smiles: str) -> bool:
    """Neutral, of H C N O, with at most eight heavy atoms: other data's ground, some of whose formulas are tests."""
    molecule = Chem.MolFromSmiles(smiles)
    plain = {a.GetAtomicNum() for a in molecule.GetAtoms()} <= {1, 6, 7, 8}
    return plain and molecule.GetNumAtoms() <= 8 and Chem.GetFormalCharge(molecule) == 0


def molecule_blocks(path: Path, exclusion: Exclusion, seed: int, blocks: int) -> list[list[str]]:
    """Blocks of molecules with one number of atoms, no molecule twice; from the file where there is one."""
    if not path.is_file():
        rng, seen = random.Random(seed), set()
        waiting: dict[int, list[str]] = defaultdict(list)
        made: list[list[str]] = []
        while len(made) < blocks:
            smiles = one_molecule(rng)
            if smiles is None or smiles in seen or smiles in exclusion or small_and_plain(smiles):
                continue
            seen.add(smiles)
            size = Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()
            waiting[size].append(smiles)
            if len(waiting[size]) == TOGETHER:
                made.append(waiting.pop(size))
        _atomic(path, "\n".join(" ".join(block) for block in made).encode())
    return [line.split() for line in path.read_text().splitlines()]


def structures_of(block: list[str], model: Recorded, rng: np.random.Generator, brief: bool = False) -> list[Atoms]:
    """Labelled conformers on their way to minima, scans and displaced geometries of the molecules."""
    starts, scans = [], []
    for smiles in block:
        made = geometries.molecule_with_conformers(smiles, CONFORMERS, int(rng.integers(2**31)))
        if made is None:
            continue
        starts += [marked([a], smiles, "conf")[0] for a in geometries.geometries(made)]
        turns = geometries.torsions(made)
        if turns and rng.random() < SCANNED:
            turn = turns[rng.integers(len(turns))]
            scan = geometries.torsion_scan(made, turn, POINTS, start=float(rng.uniform(0, 360 / POINTS)))
            scan = scan[::2] if brief else scan
            scans += [marked([a], smiles, "scan")[0] for a in scan]
    found, shaken = [], []
    for start, path in relaxations([a for a in starts if geometries.sound(a)], model, 1 if brief else STEPS):
        found += marked(path, start.info["smiles"], "conf")
        if rng.random() < SHAKEN:
            shaken.append(_shaken(path[-1], rng, start.info))
    for start, path in relaxations(scans, model, SCAN_STEPS):
        found += marked(path, start.info["smiles"], "scan")
    if shaken:
        model.label(shaken)
    return found + shaken + _tried(found + shaken, model)


def _tried(frames: list[Atoms], model: Recorded) -> list[Atoms]:
    """What the optimiser tried and took back, where it is clear which molecule it is."""
    owners: dict[bytes, set[str]] = defaultdict(set)
    for atoms in frames:
        owners[_tag(atoms)].add(atoms.info["smiles"])
    keys = {key_of(a) for a in frames}
    left = [a for key, a in model.frames.items() if key not in keys and len(owners[_tag(a)]) == 1]
    return [Atoms(a.numbers, a.positions, info=a.info | {"smiles": min(owners[_tag(a)]), "kind": "step"}) for a in left]


def relaxations(frames: list[Atoms], model: Recorded, steps: int) -> list[tuple[Atoms, list[Atoms]]]:
    """Every structure with its accepted geometries, itself the first."""
    if not frames:
        return []
    done = optimize(Systems.from_ase(frames), model, fmax=0.1, max_steps=steps, trajectory=True)
    return list(zip(frames, done.trajectories, strict=True))


def _shaken(atoms: Atoms, rng: np.random.Generator, info: dict[str, Any]) -> Atoms:
    n = len(atoms)
    hessian = model_hessian(Systems.from_ase(atoms), torch.arange(n), n)[0].numpy()
    return marked([geometries.displaced(atoms, hessian, rng.uniform(*TEMPERATURES), rng)], info["smiles"], "disp")[0]


def marked(path: list[Atoms], smiles: str, kind: str) -> list[Atoms]:
    """The geometries of one relaxation: the last is of the kind, before it are ``start`` and ``step``."""
    charge = Chem.GetFormalCharge(Chem.MolFromSmiles(smiles))
    names = [kind] if len(path) == 1 else ["start", *["step"] * (len(path) - 2), kind]
    info = [{"smiles": smiles, "kind": name, "charge": charge} for name in names]
    return [Atoms(a.numbers, a.positions, info=i) for a, i in zip(path, info, strict=True)]


def packed(frames: list[Atoms], model: Recorded, molecules_of_block: list[str]) -> dict[str, np.ndarray]:
    """Arrays of a block; atoms of all frames stand in one row."""
    results = [model.said[key_of(a)] for a in frames]
    good = [k for k, r in enumerate(results) if np.abs(r["forces"]).max() < LARGEST_FORCE]
    frames, results = [frames[k] for k in good], [results[k] for k in good]
    return {
        "smiles": np.array(molecules_of_block),
        "molecule": np.array([molecules_of_block.index(a.info["smiles"]) for a in frames], dtype=np.int16),
        "kind": np.array([a.info["kind"] for a in frames]),
        "charge": np.array([a.info["charge"] for a in frames], dtype=np.int8),
        "atoms": np.array([len(a) for a in frames], dtype=np.int16),
        "numbers": np.concatenate([a.numbers for a in frames]).astype(np.uint8),
        "positions": np.round(np.concatenate([a.positions for a in frames]) * 10**DECIMALS).astype(np.int32),
        "energy": np.round([r["energy"] for r in results], 6),
        "energy_spread": np.array([r["energy_spread"] for r in results], dtype=np.float32),
        "forces_spread": np.array([r["forces_spread"] for r in results], dtype=np.float32),
        "forces": np.round(np.concatenate([r["forces"] for r in results]) * 1e4).astype(np.int32),
        "charges": np.round(np.concatenate([r["charges"] for r in results]) * 1e4).astype(np.int16),
    }


def second_opinion(block: dict[str, np.ndarray], teacher: AIQM2, seed: int) -> dict[str, np.ndarray]:
    """AIQM2 of the structures that it is made for; geometries on the way to others are left out."""
    rng = random.Random(seed)
    chosen = [rng.random() < AIQM2_SHARE and "+" not in s and "-]" not in s for s in block["smiles"]]
    ends = np.cumsum(block["atoms"])
    rows: list[tuple[int, float, float, np.ndarray]] = []
    for k, end in enumerate(ends):
        part = slice(end - block["atoms"][k], end)
        numbers = block["numbers"][part]
        if (
            not chosen[block["molecule"][k]]
            or block["kind"][k] in ("start", "step")
            or not set(numbers) <= {1, 6, 7, 8}
        ):
            continue
        try:
            teacher.calculate(Atoms(numbers, block["positions"][part] / 10**DECIMALS))
        except RuntimeError:
            continue
        said = teacher.results
        rows.append((k, said["energy"], said["energy_spread"], said["forces"]))
    return {
        "frame": np.array([r[0] for r in rows], dtype=np.int16),
        "energy": np.round([r[1] for r in rows], 6),
        "energy_spread": np.array([r[2] for r in rows], dtype=np.float32),
        "forces": np.round(np.concatenate([r[3] for r in rows] or [np.zeros((0, 3))]) * 1e4).astype(np.int32),
    }


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _atomic(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def arguments(text: str, kinds: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="folder of the teachers' files")
    parser.add_argument("--data", type=Path, required=True, help="folder of validation sets, *.json.xz")
    parser.add_argument("--excluded", type=Path, nargs="*", default=[Path(__file__).with_name("excluded.txt")])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--brief", action="store_true", help="fewer geometries of a molecule, no AIQM2: more molecules")
    if kinds:
        parser.add_argument("--kind", choices=kinds, default=kinds[0])
    return parser.parse_args()


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")
    options.folder.mkdir(exist_ok=True)
    exclusion = forbidden(options.data, options.excluded)
    listed = options.folder / f"molecules-{options.seed}.txt"
    blocks = molecule_blocks(listed, exclusion, options.seed, options.blocks)
    first = AIMNet2(str(options.weights / "aimnet2_wb97m-d3_ens.jpt"))
    second = None if options.brief else AIQM2(str(options.weights))
    for k, block in enumerate(blocks):
        path = options.folder / f"{options.seed}-{k:05d}.npz"
        if not path.is_file():
            model = Recorded(first)
            frames = structures_of(block, model, np.random.default_rng([options.seed, k]), options.brief)
            if frames:
                save(path, packed(frames, model, block))
        other = path.with_suffix(".aiqm2.npz")
        if second is not None and path.is_file() and not other.is_file():
            save(other, second_opinion(dict(np.load(path)), second, 1000 * options.seed + k))


if __name__ == "__main__":
    main()
