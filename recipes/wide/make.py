"""The shipped model ``hybrid``: RM1-D3H4 with energies of atoms by a committee, which fade outside their data.

    python recipes/wide/make.py data kept hybrid.pt

The folder ``data`` has ``conformers_train.extxyz`` and ``mp2_molecules.extxyz`` (recipes/README.md); the rest is in
recipes/data. What the parent and the symmetry functions say of the structures is kept in the folder ``kept``, so that a
command that was stopped goes on there. Prints errors and coverage for molecules that no member saw (fold 0): the scale
of the uncertainty comes from one half of them, its coverage is that of the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fit import ELEMENTS, HIDDEN, MEMBERS, NUMBERS, Data, Fit, relative
from labels import SOURCES, Labelled, prepared
from torch import Tensor

from bp_descriptors import Scaler
from nddo_ml import NDDO, AtomFeatures, save_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.domain import Domain
from nddo_ml.units import EV_KCAL_MOL

PARENT = "RM1-D3H4"
CUTOFF, ANGULAR, RESOLVED = 5.0, 3.5, ("H", "C", "N", "O")
EPOCHS = 15
WIDTH = 1.5  # of the domain
ENVIRONMENTS = 12_000  # of an element and source that the scaling is made of,
EVENLY = 2_500  # and the domain: a source of many molecules does not make the borders narrow for the others
NEAR = 1.8  # Å, of a hydrogen and a heavy atom that it belongs to
ONE_SIGMA, TWO_SIGMA = 0.683, 0.954
CARD = json.loads(Path(__file__).with_name("card.json").read_text())


def plain_features() -> AtomFeatures:
    """Symmetry functions as they are, of linked atoms."""
    return AtomFeatures.default(ELEMENTS, CUTOFF, size="medium", angular_cutoff=ANGULAR, bonded=True, resolved=RESOLVED)


def fading(plain: AtomFeatures, sources: Sequence[Labelled]) -> AtomFeatures:
    """The functions scaled, with the domain of what was trained on; its borders let every source's held-out in."""
    rng = np.random.default_rng(3)
    inside: list[list[tuple[Tensor, Tensor]]] = []
    outside: list[list[tuple[Tensor, Tensor]]] = []
    for source in sources:
        held, of_molecule = np.repeat(source.fold == 0, source.atoms), beside_heavy(source)
        for all_parts, wanted in ((inside, ~held), (outside, held)):
            all_parts.append([])
            for z in NUMBERS:
                rows = np.flatnonzero((source.numbers == z) & wanted & of_molecule)
                rows = rng.permutation(rows)[:ENVIRONMENTS]
                all_parts[-1].append((torch.tensor(source.values[rows]).double(), torch.full((len(rows),), z)))
    every = [part for parts in inside for part in parts]
    scaler = Scaler.fit(plain.functions, [_joined(every, ENVIRONMENTS)], mode="sigma")
    seen = _joined(every, EVENLY)
    held_out = [_joined(parts, EVENLY) for parts in outside]
    known = [(scaler(*part), part[1]) for part in held_out if len(part[1])]
    domain = Domain.fit(scaler(*seen), seen[1], WIDTH, known, breaking=True)
    for numbers in (*domain.buffers(), *scaler.buffers()):
        numbers.copy_(numbers.float())  # which a file holds in half the space
    return AtomFeatures(plain.functions, scaler, plain.bonded, domain)


def beside_heavy(source: Labelled) -> np.ndarray:
    """Whether a heavy atom is near, [atoms]: H2 is left to the parent, as is H3+, which no data have."""
    found = np.zeros(len(source.numbers), dtype=bool)
    for end, size in zip(np.cumsum(source.atoms), source.atoms, strict=True):
        part = slice(end - size, end)
        positions, heavy = source.positions[part], source.numbers[part] > 1
        if heavy.any():
            apart = np.linalg.norm(positions[:, None] - positions[heavy], axis=-1)
            found[part] = apart.min(axis=1) < NEAR
    return found


def _joined(parts: Sequence[tuple[Tensor, Tensor]], most: int) -> tuple[Tensor, Tensor]:
    """Functions and elements of all parts, ``most`` of each."""
    return torch.cat([values[:most] for values, _ in parts]), torch.cat([numbers[:most] for _, numbers in parts])


@torch.no_grad()
def correction_of(fit: Fit, features: AtomFeatures, uncertainty: tuple[float, float]) -> AtomicEnergyCorrection:
    """The networks on the scaled functions; weights are rounded to half precision, in which a file holds them."""
    widths = [MEMBERS * n for n in HIDDEN]
    made = AtomicEnergyCorrection(features, hidden=widths, members=MEMBERS, uncertainty=uncertainty)
    for z, network in made.networks.by_number.items():
        one, turn = fit.networks[str(z)].double(), fit.data.turns[z]
        ends = torch.stack([torch.zeros(len(turn.mean)), torch.ones(len(turn.mean))]).double()
        shift, shifted = features.scaler(ends, torch.full((2,), z))
        slope = shifted - shift
        varies = slope.abs() > 0
        first = one.first @ torch.tensor(turn.matrix).T
        first = torch.where(varies, first / torch.where(varies, slope, 1.0), 0.0)
        bias = one.first_bias - first @ (shift + slope * torch.tensor(turn.mean))
        weights = [first, *(torch.block_diag(*(m.T for m in w)) for w in (one.second, one.last))]
        biases = [bias, one.second_bias.flatten(), one.last_bias.flatten()]
        for layer, weight, b in zip(network.linears, weights, biases, strict=True):
            layer.weight.copy_(weight.half())
            layer.bias.copy_(b.float())
    return made


@torch.no_grad()
def calibrated(fit: Fit) -> tuple[tuple[float, float], dict[str, object]]:
    """The uncertainty's constants, and errors in kcal/mol and coverage of molecules that no member saw."""
    data = fit.data
    index = np.flatnonzero((data.fold == 0) & data.usable)
    said = torch.cat([fit.deviations(part) for part in np.array_split(index, len(index) // 400 + 1)])
    error, spread = said.mean(1).abs().numpy(), said.std(1).numpy()
    half = data.family[index] % 2 == 0
    scale = float(np.quantile(error[half] / spread[half], ONE_SIGMA))
    outside = float(np.sqrt(np.mean(data.missing[index] ** 2 / data.size[index])))
    covered = {n: float(np.mean(error[~half] < n * scale * spread[~half])) for n in (1, 2)}
    report: dict[str, object] = {"coverage_of_1_and_2_sigma": [round(covered[n], 3) for n in covered]}
    weight = torch.ones(len(index), 1)
    apart, several = relative(said.mean(1, keepdim=True), weight, torch.tensor(data.family[index]))
    for name in SOURCES:
        here = data.source[index] == name
        if here.any():
            compared = here & (several[:, 0].numpy() > 0)
            report[name] = {
                "structures": int(here.sum()),
                "relative": round(float(apart[compared].abs().mean()) * EV_KCAL_MOL, 2) if compared.any() else None,
                "energy": round(float(error[here].mean()) * EV_KCAL_MOL, 2),
                "of_the_parent": round(float(np.abs(data.missing[index][here]).mean()) * EV_KCAL_MOL, 2),
            }
    return (round(scale, 3), round(outside, 4)), report


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "kept", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--parent", default=PARENT, help="method; the folder `kept` is one parent's")
    parser.add_argument("--share", type=float, default=1.0, help="of the teachers' molecules that are trained on")
    parser.add_argument("--without", nargs="*", default=(), choices=SOURCES, help="sources that are left out")
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    parent, plain = NDDO(options.parent), plain_features()
    used = [name for name in SOURCES if name not in options.without]
    sources = [prepared(name, options.data, options.kept, parent, plain) for name in used]
    data = Data(sources)
    data.thin(options.share)
    fit = Fit(data, plain)
    fit.run(options.epochs, lambda epoch, loss: print(f"epoch {epoch}: loss {loss:.2f}", flush=True))
    uncertainty, report = calibrated(fit)
    print(json.dumps({"uncertainty": uncertainty, **report}, indent=1))
    added = correction_of(fit, fading(plain, sources), uncertainty)
    model = NDDO(options.parent, correction=added, name="hybrid")
    save_model(model, options.output, {**CARD, "held_out_errors": report})


if __name__ == "__main__":
    main()
