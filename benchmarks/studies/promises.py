"""What a hybrid keeps of its parent's physics whatever its networks say, one function a promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from torch import Tensor

from benchmarks.studies.frame.study import Claim, Findings, Study, Table, Work
from nddo_ml import NDDO, Systems, load_model
from nddo_ml.electrostatics.coulomb import COULOMB
from nddo_ml.evaluation.figures import COLOURS, new_figure, save_figure

HYBRID = "hybrid-chno"
NEUTRAL = "CH3CONH2"


def hybrid(uhf: bool = False) -> NDDO:
    model = load_model(HYBRID)
    if uhf:
        model.unrestrict()
    return model


def ammonium() -> Atoms:
    """NH₄⁺ with bonds of 1.02 Å, the nitrogen first."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    return Atoms("NH4", np.vstack([np.zeros(3), 1.02 * corners]))


def symmetry() -> list[Claim]:
    """Energy and forces of a molecule that is turned, mirrored, moved and renumbered."""
    atoms, rng = molecule(NEUTRAL), np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions = (moved.positions + rng.normal(size=3)) @ turn
    found = hybrid()(Systems.from_ase([atoms, moved]), forces=True)
    n = len(atoms)
    turned = found.forces[:n][torch.as_tensor(order)] @ torch.as_tensor(turn)
    return [
        Claim("symmetry: change of the energy", float((found.energy[1] - found.energy[0]).abs()), "<", 1e-7, "eV"),
        Claim("symmetry: forces turn with it", float((turned - found.forces[n:]).abs().max()), "<", 1e-5, "eV/Å"),
    ]


def two_ions(distances: list[float]) -> Tensor:
    """E(NH₄⁺…NH₄⁺) − 2 E(NH₄⁺), [distances] eV."""
    one = ammonium()
    frames = []
    for r in distances:
        other = one.copy()
        other.positions[:, 2] += r
        frames.append(one + other)
    alone = hybrid()(Systems.from_ase([one], charge=1)).energy
    return hybrid()(Systems.from_ase(frames, charge=2)).energy.detach() - 2 * alone.detach()


def long_range() -> list[Claim]:
    """The repulsion of two ions times their distance is Coulomb's constant to 20 Å, beyond every cut-off."""
    distances = [8.0, 12.0, 16.0, 20.0]
    energy = two_ions(distances)
    ratio = energy * torch.tensor(distances, dtype=energy.dtype) / COULOMB
    slope = np.polyfit(np.log(distances), np.log(energy.numpy()), 1)[0]
    return [
        Claim("long range: E R / (e²/4πε₀) at 20 Å less one", float((ratio[-1] - 1).abs()), "<", 2e-3),
        Claim("long range: exponent from 8 to 20 Å plus one", abs(float(slope) + 1), "<", 0.02),
    ]


def charge() -> list[Claim]:
    """Charges add up to that of the system, also where networks change every parameter."""
    frames = [molecule(NEUTRAL), ammonium(), molecule("CH3OH")]
    systems = Systems.from_ase(frames, charge=[0, 1, -1], multiplicity=[1, 1, 2])
    charges = hybrid()(systems).charges
    totals = torch.zeros(3, dtype=charges.dtype).index_add(0, systems.system_idx, charges.detach())
    return [Claim("charge: largest error of a total", float((totals - systems.charge).abs().max()), "<", 1e-8, "e")]


def isolated() -> list[Claim]:
    """Single atoms, and molecules taken apart, are the parent's."""
    atoms = Systems.from_ase([Atoms(s) for s in "HCNO"], multiplicity=[2, 3, 4, 3])
    model = hybrid(uhf=True)
    parent = model.parent
    assert parent is not None
    apart = molecule(NEUTRAL)
    apart.positions *= 15.0
    model_bound, parent_bound = model.isolated_energies(), parent.isolated_energies()
    zero = max(abs(float(model_bound[z] - parent_bound[z])) for z in (1, 6, 7, 8))
    single = float((model(atoms).energy - parent(atoms).energy).abs().max())
    with torch.no_grad():
        networks = float(model.corrections.at(Systems.from_ase(apart)).energy().abs().max())
    return [
        Claim("isolated atoms: from the parent's energies", max(single, zero), "<", 1e-8, "eV"),
        Claim("isolated atoms: what networks add when all bonds are broken", networks, "<", 1e-8, "eV"),
    ]


def forces() -> list[Claim]:
    """Analytic forces against central differences of the energy, at a rattled geometry."""
    atoms = molecule(NEUTRAL)
    atoms.rattle(0.05, seed=1)
    step, frames = 1e-3, []
    for k in range(3 * len(atoms)):
        for sign in (1, -1):
            frames.append(atoms.copy())
            frames[-1].positions[k // 3, k % 3] += sign * step
    energy = hybrid()(Systems.from_ase(frames)).energy.detach().view(-1, 2)
    numerical = -(energy[:, 0] - energy[:, 1]).view(-1, 3) / (2 * step)
    analytic = hybrid()(Systems.from_ase([atoms]), forces=True).forces
    return [Claim("forces: from differences", float((numerical - analytic).abs().max()), "<", 5e-4, "eV/Å")]


def differentiability() -> list[Claim]:
    """The derivative of a dipole moment by the networks' weights against differences: the density follows exactly."""
    model, systems = hybrid(), Systems.from_ase([molecule("H2CO")])
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    torch.manual_seed(0)
    way = [torch.randn_like(p) for p in weights]
    model(systems).dipole.square().sum().backward(inputs=weights)
    slope = sum(float((p.grad * d).sum()) for p, d in zip(weights, way, strict=True) if p.grad is not None)
    values = []
    for step in (1e-4, -2e-4):
        with torch.no_grad():
            for p, d in zip(weights, way, strict=True):
                p += step * d
        values.append(float(model(systems).dipole.detach().square().sum()))
    numerical = (values[0] - values[1]) / 2e-4
    return [Claim("differentiability: relative error", abs(slope / numerical - 1), "<", 1e-3)]


def fractional() -> dict[str, tuple[float, float]]:
    """Charge of OH and energy (eV, less that of the radicals alone) of OH…NH₄, neutral, 20 Å apart."""
    hydroxide = Atoms("OH", [[0, 0, 0], [0, 0, -0.96]])
    far = ammonium()
    far.positions[:, 2] += 20.0
    both = Systems.from_ase([hydroxide + far])
    open_shell = hybrid(uhf=True)
    radicals = open_shell(Systems.from_ase([hydroxide, ammonium()], multiplicity=[2, 2])).energy.sum()
    ions = hybrid()(Systems.from_ase([hydroxide, ammonium()], charge=[-1, 1])).energy.sum()
    found = {
        "closed shell": hybrid()(both),
        "unrestricted": open_shell(both),
        "unrestricted, one spin flipped (triplet)": open_shell(replace(both, multiplicity=both.multiplicity + 2)),
    }
    rows = {k: (float(p.charges[:2].sum()), float(p.energy[0] - radicals)) for k, p in found.items()}
    return rows | {"ions alone and e²/R": (-1.0, float(ions - radicals) - COULOMB / 20.0)}


def failure(rows: dict[str, tuple[float, float]]) -> list[Claim]:
    """Where a closed shell fails: parts of an electron between ions far apart; an unrestricted field has none."""
    closed, unrestricted, flipped = list(rows.values())[:3]
    return [
        Claim(
            "failure: closed shell's charge of OH, from a whole number",
            abs(closed[0] - round(closed[0])),
            ">",
            0.1,
            "e",
        ),
        Claim(
            "failure: unrestricted charge, from a whole number",
            abs(unrestricted[0] - round(unrestricted[0])),
            "<",
            0.01,
            "e",
        ),
        Claim("failure: energy that the closed shell lacks", closed[1] - unrestricted[1], ">", 0.3, "eV"),
        Claim("failure: unrestricted and flipped agree far apart", abs(unrestricted[1] - flipped[1]), "<", 0.01, "eV"),
    ]


PROMISES = (symmetry, long_range, charge, isolated, forces, differentiability)


def run(work: Work, points: int) -> Findings:
    rows = work.once("fractional", fractional)
    claims = [Claim(**c) for p in PROMISES for c in work.once(p.__name__, lambda p=p: [vars(c) for c in p()])]
    distances = np.geomspace(2.6, 20.0, points)
    energy = np.array(work.once("tail", lambda: two_ions(distances.tolist()).tolist()))
    figure = new_figure(5.6, 3.4)
    ax = figure.subplots()
    ax.loglog(distances, energy, "o", color=COLOURS[0], label="hybrid-chno")
    ax.loglog(distances, COULOMB / distances, color="0.4", lw=1, label="e²/4πε₀R")
    ax.axvline(5.0, color=COLOURS[1], lw=0.8, ls=":", label="cut-off of the networks")
    ax.set(xlabel="N–N distance, Å", ylabel="energy, eV", title="two ammonium ions")
    ax.legend(frameon=False)
    save_figure(figure, work.path("promises.png"))
    return Findings(
        text=_TEXT,
        claims=[*claims, *failure(rows)],
        tables=[
            Table("OH…NH₄ at 20 Å", ("field", "charge of OH, e", "energy, eV"), [(k, *v) for k, v in rows.items()])
        ],
        figures={"promises.png": "Two ammonium ions repel each other as charges do, far beyond the networks' cut-off."},
    )


_TEXT = (
    "Networks change parameters within bounds, near atoms only; what the field guarantees stays. A closed shell "
    "fails where electrons should part: OH and NH₄ at 20 Å share one in fractions, three electronvolts too high. "
    "An unrestricted field has two radicals, whose energy a flipped spin does not change, and the ions lie above "
    "them by ionisation less affinity less e²/R."
)
STUDY = Study(
    number=8,
    name="promises",
    title="The hybrid's promises",
    literature="Fractional charges of closed shells: Perdew et al., Phys. Rev. Lett. 49, 1691 (1982); spin flip: "
    "Krylov, Chem. Phys. Lett. 338, 375 (2001).",
    run=run,
    full={"points": 25},
    small={"points": 6},
)
