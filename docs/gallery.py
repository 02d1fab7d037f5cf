"""Draws the pictures of the gallery into docs/images; `make gallery` runs it (three minutes on two cores).

python docs/gallery.py [NAME …]
"""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.io import read
from matplotlib.figure import Figure

from bp_descriptors import Cutoff
from bp_descriptors.functions import angular, g2
from nddo_ml import NDDO, NNP, NDDOCalculator, Systems, load_model
from nddo_ml.compare.figures import draw_curves
from nddo_ml.compare.scan import scan
from nddo_ml.electrostatics.charges import EquilibratedCharges, FixedCharges, Surroundings
from nddo_ml.electrostatics.coulomb import COULOMB, coulomb_matrices, self_interaction
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.electrostatics.screening import screened_part
from nddo_ml.environments.born import GeneralizedBorn
from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.field import UniformField
from nddo_ml.environments.solvent import Solvent
from nddo_ml.evaluation.figures import COLOURS
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.structures.smiles import record_of
from nddo_ml.workflows.coordinates import Coordinate
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.response import vibrations
from nddo_ml.workflows.solids import equation_of_state, relax

ROOT = Path(__file__).parents[1]
MOLECULES = ROOT / "examples" / "molecules"
_APART = 450  # km/mol between the zeros of two spectra
SILICON = ROOT / "tests" / "data" / "mlearn_si" / "n2p2_model"


def panels(n: int, width: float = 4.2, height: float = 3.4) -> tuple:
    """A figure and its panels side by side."""
    figure = Figure(figsize=(width * n, height), layout="constrained")
    return figure, figure.subplots(1, n, squeeze=False)[0]


def curves() -> Figure:
    """A bond that breaks and a water dimer, by a method, the shipped hybrid and the shipped potential."""
    figure, axes = panels(2)
    cases = [
        ("C–C bond of ethanol", MOLECULES / "ethanol.xyz", (0, 1), np.linspace(1.2, 6, 25), True),
        ("water dimer", ROOT / "examples" / "water_dimer.xyz", (0, 3), np.linspace(2.5, 9, 27), False),
    ]
    for ax, (title, file, bond, values, uhf) in zip(axes, cases, strict=True):
        models = [NDDO("RM1-D3H4", uhf=uhf or None), load_model("hybrid-chno"), load_model("nnp-chno")]
        models[1].uhf = uhf or None
        found = scan(models, read(file), Coordinate("bond", bond), values.tolist(), relative_to="fragments")
        draw_curves(ax, "distance, Å", [(c.answers, c.values, c.relative("fragments")) for c in found])
        ax.set_title(title)
        ax.set_ylabel("energy, kcal/mol")
    axes[0].set_ylim(-90, 15)
    axes[1].set_ylim(-7, 1)
    return figure


def charges() -> Figure:
    """Caffeine: charges of the parent method and of the hybrid."""
    atoms = read(MOLECULES / "caffeine.xyz")
    centred = atoms.positions - atoms.positions.mean(0)
    flat = centred @ np.linalg.svd(centred)[2].T  # the plane of the molecule
    figure, axes = panels(2)
    for ax, model in zip(axes, (NDDO("RM1"), load_model("hybrid-chno")), strict=True):
        q = model(Systems.from_ase(atoms)).charges.numpy()
        distance = atoms.get_all_distances()
        radii = covalent_radii[atoms.numbers]
        for i, j in zip(*np.nonzero(np.triu(distance < 1.25 * (radii[:, None] + radii), 1)), strict=True):
            ax.plot(*flat[[i, j], :2].T, color="#777", lw=2, zorder=1)
        size = 420 * radii**1.3
        shown = ax.scatter(*flat[:, :2].T, s=size, c=q, cmap="RdBu_r", vmin=-0.5, vmax=0.5, edgecolor="#333", zorder=2)
        for k, symbol in enumerate(atoms.get_chemical_symbols()):
            ax.text(*flat[k, :2], symbol, ha="center", va="center", fontsize=8, zorder=3)
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_title(model.name)
    figure.colorbar(shown, ax=axes, label="charge, e", shrink=0.8)
    return figure


def infrared() -> Figure:
    """Infrared spectra of acetic acid, each model at its own minimum; lines of 15 cm⁻¹."""
    figure, (ax,) = panels(1, 8.0, 3.4)
    grid = np.linspace(400, 4000, 1800)
    for k, model in enumerate((NDDO("AM1"), NDDO("PM6"), load_model("hybrid-chno"))):
        relaxed = optimize(Systems.from_ase(molecule("CH3COOH")), model, fmax=1e-3).systems
        found = vibrations(model, relaxed, intensities=True)
        x, height = found.frequencies.numpy(), found.intensities.numpy()
        lines = height * 7.5**2 / ((grid[:, None] - x) ** 2 + 7.5**2)
        ax.plot(grid, lines.sum(1) - _APART * k, color=COLOURS[k], lw=1.2)
        ax.text(2430, 40 - _APART * k, model.name, color=COLOURS[k])
    ax.set_xlim(4050, 400)
    ax.set_xlabel("wavenumber, cm⁻¹")
    ax.set_yticks([])
    ax.set_ylabel("absorption")
    return figure


def spread() -> Figure:
    """Ethanol's O–H bond: the committee's energy, and its spread, inside and outside the training data."""
    model = load_model("nnp-chno")
    atoms, frames, values = read(MOLECULES / "ethanol.xyz"), [], np.linspace(0.75, 2.2, 59)
    oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
    hydrogen = int(np.argmin(np.where(atoms.numbers == 1, atoms.get_all_distances()[oxygen], np.inf)))
    for r in values:
        frames.append(atoms.copy())
        frames[-1].set_distance(oxygen, hydrogen, r, fix=0)
    systems = Systems.from_ase(frames)
    prediction = model(systems)
    energy, error = (prediction.energy - prediction.energy.min()).numpy(), prediction.energy_spread.numpy()
    outside = sorted({e.system for e in model.extrapolation(systems)})
    figure, (ax,) = panels(1, 5.6, 3.4)
    ax.plot(values, energy, color=COLOURS[0], lw=1.4, label="mean of four networks")
    ax.fill_between(values, energy - error, energy + error, color=COLOURS[0], alpha=0.25, label="± their spread")
    ax.plot(values[outside], energy[outside], "o", ms=3.5, mfc="white", mec=COLOURS[0], label="extrapolates")
    ax.set(xlabel="O–H distance, Å", ylabel="energy, eV", title="ethanol, nnp-chno")
    ax.legend(frameon=False)
    return figure


def symmetry_functions() -> Figure:
    """Terms of radial and angular symmetry functions."""
    figure, axes = panels(2)
    r, cutoff = torch.linspace(0.5, 5.2, 200, dtype=torch.float64), Cutoff(5.0)
    for k, eta in enumerate((0.1, 0.4, 1.0, 2.5, 6.0)):
        axes[0].plot(r, g2(r, eta, 0.0, cutoff), color=COLOURS[k], label=f"η = {eta} Å⁻²")
    for k, r_s in enumerate((1.5, 2.5, 3.5)):
        axes[0].plot(r, g2(r, 6.0, r_s, cutoff), color=COLOURS[k], ls="--", lw=1, label=f"η = 6, r_s = {r_s} Å")
    theta = torch.linspace(0, torch.pi, 181, dtype=torch.float64)
    for k, zeta in enumerate((1, 2, 4, 16)):
        axes[1].plot(theta.rad2deg(), angular(theta.cos(), zeta, 1.0), color=COLOURS[k], label=f"ζ = {zeta}")
        axes[1].plot(theta.rad2deg(), angular(theta.cos(), zeta, -1.0), color=COLOURS[k], ls=":")
    axes[0].set(xlabel="distance, Å", title="radial terms, cut-off 5 Å")
    axes[1].set(xlabel="angle, degrees", title="angular terms, λ = 1 (lines) and −1 (dots)")
    for ax in axes:
        ax.legend(frameon=False, fontsize="small")
    return figure


def silicon() -> Figure:
    """Equation of state of silicon by a published potential of n2p2."""
    calculator = NDDOCalculator(NNP.from_n2p2(SILICON, length_unit="bohr", energy_unit="hartree"))
    crystal = relax(bulk("Si", cubic=True, a=5.45), calculator)
    fit = equation_of_state(crystal, calculator)
    atoms, edge = len(crystal), fit.volumes ** (1 / 3)
    figure, (ax,) = panels(1, 5.6, 3.4)
    ax.plot(edge, fit.energies / atoms, "o", ms=5, color=COLOURS[0])
    smooth = np.linspace(fit.volumes.min(), fit.volumes.max(), 200)
    ax.plot(smooth ** (1 / 3), np.polyval(np.polyfit(fit.volumes, fit.energies / atoms, 4), smooth), color=COLOURS[0])
    ax.set(xlabel="lattice constant, Å", ylabel="energy, eV an atom")
    ax.set_title(f"silicon: {fit.volume ** (1 / 3):.3f} Å, bulk modulus {fit.bulk_modulus:.0f} GPa")
    return figure


def surroundings() -> Figure:
    """Formaldehyde in fields along its axis, and water before a charge with what its dipole moment alone says."""
    figure, axes = panels(2)
    fields, distances = np.linspace(-1, 1, 21), np.linspace(2.2, 9, 35)
    for k, name in enumerate(("AM1", "PM7")):
        along = np.zeros((21, 3))
        along[:, 2] = fields
        found = NDDO(name)([molecule("H2CO")] * 21, environment=UniformField.of(along))
        axes[0].plot(fields, found.dipole[:, 2] / units.Debye, color=COLOURS[k], label=name)
        n, model, water = len(distances), NDDO(name), molecule("H2O")
        sites = np.array([[0, 0, water.positions[0, 2] + r] for r in distances])
        alone = model(water)
        found = model([water] * n, environment=PointCharges.of(np.ones(n), sites, range(n)))
        axes[1].plot(distances, (found.heat_of_formation - alone.heat_of_formation), color=COLOURS[k], label=name)
        limit = 332.06 * float(alone.dipole[0, 2]) / (sites[:, 2]) ** 2
        axes[1].plot(distances, limit, color=COLOURS[k], ls=":", lw=1.2)
    axes[0].set(xlabel="field along the axis, V/Å", ylabel="dipole moment, D", title="formaldehyde in a field")
    axes[1].set(xlabel="O–charge distance, Å", ylabel="energy, kcal/mol", title="water and a charge of 1 e")
    axes[1].set_ylim(-35, 2)
    for ax in axes:
        ax.legend(frameon=False)
    return figure


def qm_mm() -> Figure:
    """Formaldehyde in a droplet of TIP3P water: the code of the page on surroundings, run on for 50 fs."""
    text = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    page: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(block, page)
    droplet, quantum, dynamics = page["droplet"], page["quantum"], page["dynamics"]
    rows = []
    for _ in range(50):
        dynamics.run(2)
        moment = np.linalg.norm(quantum.results["dipole"]) / units.Debye
        rows.append(
            (dynamics.get_time() / units.fs, moment, droplet.get_potential_energy(), droplet.get_total_energy())
        )
    time, moment, potential, total = np.array(rows).T
    figure, axes = panels(2)
    axes[0].plot(time, moment, color=COLOURS[0], label="in water")
    axes[0].axhline(page["alone"], color=COLOURS[1], ls="--", label="alone")
    axes[1].plot(time, potential - total[0], color=COLOURS[0], label="potential energy")
    axes[1].plot(time, total - total[0], color=COLOURS[1], label="total energy")
    axes[0].set(xlabel="time, fs", ylabel="dipole moment of formaldehyde, D")
    axes[1].set(xlabel="time, fs", ylabel="energy, eV")
    for ax in axes:
        ax.legend(frameon=False)
    return figure


def pm7() -> Figure:
    """A water dimer by PM7 and its relatives, and what the torsion of PM7's hydrogen bonds does at a linear nitrile."""
    figure, axes = panels(2)
    names, values = ("PM6", "PM6-DH+", "PM6-D3H4", "PM7"), np.linspace(2.6, 8, 55).tolist()
    dimer = read(ROOT / "examples" / "water_dimer.xyz")
    bond = Coordinate("bond", (0, 3))
    found = scan([NDDO(n) for n in names], dimer, bond, values, relative_to="fragments")
    draw_curves(axes[0], "O–O distance, Å", [(c.answers, c.values, c.relative("fragments")) for c in found])
    axes[0].set(title="water dimer", ylabel="energy, kcal/mol", ylim=(-7, 1))
    nitrile = molecule("CH3CN")
    nitrogen = int(np.flatnonzero(nitrile.numbers == 7)[0])
    carbon = int(nitrile.get_all_distances()[nitrogen].argsort()[1])
    axis = nitrile.positions[nitrogen] - nitrile.positions[carbon]
    axis /= np.linalg.norm(axis)
    across = np.cross(axis, [1.0, 0, 0])
    across /= np.linalg.norm(across)
    at = nitrile.positions[nitrogen]
    water = Atoms("OHH", [at + 3.0 * axis, at + 2.05 * axis + 0.1 * across, at + 3.3 * axis + 0.9 * across])
    up, turns, frames = np.cross(axis, across), np.linspace(0, 360, 121), []
    for turn in np.radians(turns):
        frames.append(nitrile + water)
        frames[-1].positions[carbon] += 0.002 * (np.cos(turn) * across + np.sin(turn) * up)
    for k, name in enumerate(("PM6", "PM7")):
        energy = NDDO(name)(frames).heat_of_formation
        axes[1].plot(turns, energy - energy.max(), color=COLOURS[3 * k], label=name)
    axes[1].set(xlabel="direction of a shift by 0.002 Å, degrees", title="C–C≡N···H–O", ylabel="energy, kcal/mol")
    axes[1].legend(frameon=False)
    return figure


def zwitterion() -> Figure:
    """Glycine's proton on its way from nitrogen to oxygen, the rest as in the zwitterion in water, by AM1."""
    wet = Solvent("water")
    start = optimize(Systems.from_ase(record_of("[NH3+]CC(=O)[O-]").atoms), NDDO("AM1", environment=wet)).systems
    atoms = start.to_ase()[0]
    numbers, distance = atoms.numbers, atoms.get_all_distances()
    nitrogen = int(np.flatnonzero(numbers == 7)[0])
    pairs = [(o, h) for o in np.flatnonzero(numbers == 8) for h in np.flatnonzero(numbers == 1)]
    oxygen, proton = min(pairs, key=lambda pair: distance[pair])
    way = np.linspace(0, 1, 15)[:, None]
    to, line = atoms.positions[oxygen] - atoms.positions[nitrogen], atoms.positions[nitrogen]
    length = np.linalg.norm(to)
    frames = []
    for fraction in (0.98 + way * (length - 0.95 - 0.98)) / length:
        frames.append(atoms.copy())
        frames[-1].positions[proton] = line + fraction * to
    figure, (ax,) = panels(1, 5.6, 3.4)
    around = {"gas": None, "water, C-PCM": wet, "water, generalised Born": GeneralizedBorn("water")}
    for k, (label, environment) in enumerate(around.items()):
        heat = NDDO("AM1")(frames, environment=environment).heat_of_formation.numpy()
        bond = [frame.get_distance(nitrogen, proton) for frame in frames]
        ax.plot(bond, heat, color=COLOURS[k], label=label)
    ax.set(xlabel="N–H distance, Å", ylabel="heat of formation, kcal/mol", title="glycine, AM1")
    ax.legend(frameon=False)
    return figure


def long_range() -> Figure:
    """What charges add to a potential: their screened interaction, and a charge that spreads over a chain."""
    figure, axes = panels(2)
    r = torch.linspace(0.05, 6.0, 300, dtype=torch.float64)
    places = torch.zeros(2 * len(r), 3, dtype=torch.float64)
    places[1::2, 2] = r
    pair = torch.arange(len(r)).repeat_interleave(2)
    pairs = Systems.build([6, 1] * len(r), places, pair, charge=1)
    sigma = torch.tensor([0.77, 0.37], dtype=torch.float64).repeat(len(r))
    gaussian = coulomb_matrices(pairs, AtomRows.of(pairs), sigma)[:, 0, 1]
    ones = torch.ones_like(sigma)
    whole = gaussian + 0.5 * COULOMB * self_interaction(sigma).view(-1, 2).sum(1)
    screened = whole - screened_part(pairs, ones, sigma, 2.5, 4.2).view(-1, 2).sum(1)
    for y, label in ((COULOMB / r, "points"), (gaussian, "Gaussian"), (screened, "Gaussian, screened")):
        axes[0].plot(r, y, label=label, lw=1.2)
    axes[0].set(xlabel="C–H distance, Å", ylabel="energy of two unit charges, eV", ylim=(0, 15), title="interaction")
    axes[0].legend(frameon=False)
    z = torch.arange(24, dtype=torch.float64) * 1.3
    chain = Systems.build([6] * 24, torch.stack([0 * z, 0 * z, z], 1), charge=1, multiplicity=2)
    networks = ElementNetworks({6: NetworkShape.uniform(1, ())}, seed=0)
    rows, widths = AtomRows.of(chain), torch.full((24,), 0.77, dtype=torch.float64)
    around = Surroundings(chain, torch.zeros(24, 1, dtype=torch.float64), rows, coulomb_matrices(chain, rows, widths))
    for model, label in (
        (EquilibratedCharges(networks, {6: 5.0}), "equilibrated"),
        (FixedCharges({}), "spread evenly"),
    ):
        axes[1].plot(z, model(around).detach(), "o-", ms=3, lw=1.0, label=label)
    axes[1].set(
        xlabel="place in a chain of 24 atoms, Å", ylabel="charge, e", title="one charge on a chain", ylim=(0, None)
    )
    axes[1].legend(frameon=False)
    return figure


PICTURES = {
    f.__name__: f
    for f in (
        *(curves, charges, long_range, infrared, spread, symmetry_functions, silicon),
        *(surroundings, qm_mm, pm7, zwitterion),
    )
}


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    folder = Path(__file__).parent / "images"
    folder.mkdir(exist_ok=True)
    for name in names or PICTURES:
        PICTURES[name]().savefig(folder / f"{name}.png", dpi=130)
        print(folder.relative_to(ROOT) / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
