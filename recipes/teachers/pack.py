"""Selects from the blocks of ``run.py`` and ``special.py`` what fits into one small file.

    python recipes/teachers/pack.py FOLDER recipes/data/teacher_labels.npz.xz [--megabytes 6] [--plain]

The tenth of the structures on which AIMNet2's four networks differ most (standard deviation of the energy over the
square root of the number of atoms) is left out, and ions of which a proton has left: where a hydrogen is bonded to
none or the parts are not those of the SMILES. Of the rest, geometries at the end of a relaxation, scans, displacements
and special structures come first, then starts, then steps, whole blocks at a time. Positions in 0.001 Å, forces in
0.001 eV/Å and charges in 0.001 e are whole numbers; ``unpack.py`` reads the file.
"""

import argparse
import io
import lzma
from pathlib import Path

import numpy as np
from ase import Atoms

from nddo_ml.generate.exclusion import skeletons, skeletons_of_atoms

WORST = 0.1
LATER = {"start": 1, "step": 2}  # kinds that come after all others
SHORT = np.int16
FRAMES = ("molecule", "kind", "charge", "atoms", "energy", "energy_spread", "forces_spread")
ATOMS = ("numbers", "positions", "forces", "charges")


def whole(block: dict[str, np.ndarray]) -> np.ndarray:
    """Whether the structures are the molecules that they are called."""
    ends = np.cumsum(block["atoms"])
    good = []
    for end, size, molecule in zip(ends, block["atoms"], block["molecule"], strict=True):
        part = slice(end - size, end)
        atoms = Atoms(block["numbers"][part], block["positions"][part] / 1000)
        distances = atoms.get_all_distances() + 9.0 * np.eye(size)
        hydrogens = atoms.numbers == 1
        loose = bool((distances[hydrogens].min(axis=1) > 1.5).any()) if hydrogens.any() and size > 1 else False
        good.append(not loose and skeletons_of_atoms(atoms) == skeletons(str(block["smiles"][molecule])))
    return np.array(good, dtype=bool)


def chosen(block: dict[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    """The structures of a block that are kept, with AIQM2's labels where there are any."""
    of_atoms = np.repeat(keep, block["atoms"])
    made = {name: block[name][keep] for name in FRAMES} | {name: block[name][of_atoms] for name in ATOMS}
    made["forces"] = np.round(made["forces"] / 10).astype(SHORT)
    made["charges"] = np.round(made["charges"] / 10).astype(SHORT)
    made["positions"] = made["positions"].astype(SHORT)
    made["smiles"], made["group"] = block["smiles"], block.get("group", np.arange(len(block["smiles"])))
    place = np.cumsum(keep) - 1
    own = [k for k, frame in enumerate(block["second_frame"]) if keep[frame]]
    sizes = block["atoms"][block["second_frame"]]
    made["second_frame"] = place[block["second_frame"][own]]
    made["second_energy"] = block["second_energy"][own]
    made["second_spread"] = block["second_spread"][own]
    rows = np.repeat(np.isin(np.arange(len(sizes)), own), sizes)
    made["second_forces"] = np.round(block["second_forces"][rows] / 10).astype(SHORT)
    return made


def joined(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One set of arrays; molecules, groups and structures are counted through."""
    made: dict[str, list[np.ndarray]] = {}
    frames = molecules = groups = 0
    for block in blocks:
        shifted = block | {
            "molecule": block["molecule"].astype(np.int32) + molecules,
            "group": block["group"].astype(np.int32) + groups,
            "second_frame": block["second_frame"].astype(np.int32) + frames,
        }
        for name, values in shifted.items():
            made.setdefault(name, []).append(values)
        frames, molecules = frames + len(block["atoms"]), molecules + len(block["smiles"])
        groups += int(block["group"].max()) + 1
    return {name: np.concatenate(values) for name, values in made.items()}


def written(arrays: dict[str, np.ndarray], plain: bool = False) -> bytes:
    content = io.BytesIO()
    np.savez(content, **{name: values for name, values in arrays.items() if not (plain and name == "charges")})
    return lzma.compress(content.getvalue(), preset=9)


def read_blocks(folder: Path) -> list[dict[str, np.ndarray]]:
    blocks = []
    for path in sorted(p for p in folder.glob("*.npz") if not p.name.endswith(".aiqm2.npz")):
        block, other = dict(np.load(path)), path.with_suffix(".aiqm2.npz")
        empty = {"frame": np.zeros(0, np.int16), "energy": np.zeros(0), "energy_spread": np.zeros(0, np.float32)}
        second = dict(np.load(other)) if other.is_file() else empty | {"forces": np.zeros((0, 3), np.int32)}
        names = {"frame": "second_frame", "energy": "second_energy", "energy_spread": "second_spread"}
        blocks.append(block | {to: second[name] for name, to in (names | {"forces": "second_forces"}).items()})
    return blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--megabytes", type=float, default=6.0)
    parser.add_argument("--plain", action="store_true", help="without charges, which take a tenth")
    options = parser.parse_args()
    blocks = read_blocks(options.folder)
    spreads = [b["energy_spread"] / np.sqrt(b["atoms"]) for b in blocks]
    limit = np.quantile(np.concatenate(spreads), 1 - WORST)
    good = [(s < limit) & whole(b) for b, s in zip(blocks, spreads, strict=True)]
    rank = [np.array([LATER.get(k, 0) for k in b["kind"]]) for b in blocks]
    print(f"{sum(map(len, spreads))} structures, {sum(g.sum() for g in good)} good; spread below {limit:.5f} eV/√atoms")
    for last in (2, 1, 0):
        parts = [chosen(b, g & (r <= last)) for b, g, r in zip(blocks, good, rank, strict=True)]
        content = written(joined(parts), options.plain)
        if len(content) <= options.megabytes * 1e6:
            break
    else:
        raise SystemExit(f"{len(content) / 1e6:.1f} MB are more than {options.megabytes}: give it fewer blocks")
    options.target.write_bytes(content)
    kept = sum(int((g & (r <= last)).sum()) for g, r in zip(good, rank, strict=True))
    print(f"{options.target}: {kept} structures, {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
