"""D3, H4, hydrogen repulsion and X: MOPAC's PM6-D3H4(X), finite differences, batches, invariance."""

from __future__ import annotations

import json
import math

import pytest
import torch
from ase.data import atomic_numbers, s22
from places import REFERENCES
from torch import Tensor

from nddo_ml import NDDO
from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import terms_from_config, terms_of, terms_to_config
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.halogen_bonds import HalogenBondsX
from nddo_ml.terms.hydrogen_bonds import HydrogenBondsH4, HydrogenRepulsion, SoftHydrogenRepulsion
from nddo_ml.units import EV_KCAL_MOL

REFERENCE = REFERENCES / "pm6_d3h4.json"
TERMS = (DispersionD3(), HydrogenBondsH4(), HydrogenRepulsion())
WITH_X = (*TERMS, HalogenBondsX())
SOFT = SoftHydrogenRepulsion(1.55, 6.86, 2.23)


def records() -> dict[str, dict[str, dict]]:
    """MOPAC's results by complex and method."""
    found: dict[str, dict[str, dict]] = {}
    for record in json.loads(REFERENCE.read_text())["systems"]:
        found.setdefault(record["id"].split("/", 1)[1], {})[record["method"]] = record
    return {name: methods for name, methods in found.items() if "PM6" in methods}


def build(frames: list[dict], dtype: torch.dtype = torch.float64) -> Systems:
    numbers = [atomic_numbers[s] for f in frames for s in f["symbols"]]
    positions = torch.tensor([x for f in frames for x in f["positions"]], dtype=dtype)
    idx = torch.repeat_interleave(torch.arange(len(frames)), torch.tensor([len(f["symbols"]) for f in frames]))
    return Systems.build(torch.tensor(numbers), positions, idx, charge=[f["charge"] for f in frames])


def named(*names: str) -> Systems:
    everything = records()
    return build([everything[name]["PM6"] for name in names])


def total(systems: Systems, terms: tuple = WITH_X) -> Tensor:
    return torch.stack([term.energy(systems) for term in terms]).sum(dim=0)


def gradient(systems: Systems, terms: tuple = WITH_X) -> Tensor:
    positions = systems.positions.clone().requires_grad_(True)
    return torch.autograd.grad(total(systems.with_positions(positions), terms).sum(), positions)[0]


@pytest.mark.parametrize(("method", "terms"), [("PM6-D3H4", TERMS), ("PM6-D3H4X", WITH_X)])
def test_correction_of_mopac(method: str, terms: tuple) -> None:
    """The correction is MOPAC's heat of formation with it less that without, here to 1e-4 kcal/mol."""
    pairs = [(m["PM6"], m[method]) for m in records().values() if method in m]
    assert len(pairs) >= 40
    ours = total(build([bare for bare, _ in pairs]), terms) * EV_KCAL_MOL
    mopac = [full["heat_of_formation"] - bare["heat_of_formation"] for bare, full in pairs]
    torch.testing.assert_close(ours, torch.tensor(mopac, dtype=torch.float64), atol=1e-4, rtol=0)


@pytest.mark.parametrize("term", [*WITH_X, SOFT], ids=lambda t: type(t).__name__)
def test_finite_differences(term: object) -> None:
    systems = named("water_dmso", "acetate_water -1", "CF3I_pyridine", "glycine")
    analytic, x = gradient(systems, (term,)), systems.positions
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        step = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        h = 1e-4
        up, down = (total(systems.with_positions(x + s * h * step), (term,)).sum() for s in (1, -1))
        assert float((up - down) / (2 * h)) == pytest.approx(float((analytic * step).sum()), abs=1e-6)


def test_soft_repulsion_is_a_sigmoid_of_every_pair() -> None:
    """Half the height at r_0, and with three hydrogens in line the sum over their three distances."""
    x = torch.tensor([[0.0, 0, 0], [0, 0, 2.23], [0, 0, 3.0]], dtype=torch.float64)
    pair = Systems.build(torch.tensor([1, 1, 6]), x)
    assert float(SOFT.energy(pair)) * EV_KCAL_MOL == pytest.approx(1.55 / 2, abs=1e-12)
    line = Systems.build(torch.tensor([1, 1, 1]), x)
    by_hand = sum(1.55 / (1 + math.exp(6.86 * (r / 2.23 - 1))) for r in (2.23, 3.0, 0.77))
    assert float(SOFT.energy(line)) * EV_KCAL_MOL == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("method", ["AM1", "PM3", "RM1"])
def test_d3h4_of_other_methods_binds_s22(method: str) -> None:
    """Seven complexes of up to 16 atoms against CCSD(T)/CBS: D3H4 takes at least two thirds of the error away."""
    names = s22.s22[:4] + s22.s22[7:9] + [s22.s22[15]]
    dimers = [s22.create_s22_system(name) for name in names]
    parts = [s22.get_number_of_dimer_atoms(name)[0] for name in names]
    frames = [f for d, n in zip(dimers, parts, strict=True) for f in (d, d[:n], d[n:])]
    reference = torch.tensor([s22.get_interaction_energy_s22(n) for n in names], dtype=torch.float64) * EV_KCAL_MOL

    def error(model: NDDO) -> float:
        energy = model(Systems.from_ase(frames)).energy.detach().view(-1, 3) * EV_KCAL_MOL
        return float((energy[:, 0] - energy[:, 1] - energy[:, 2] - reference).abs().mean())

    assert error(NDDO(f"{method}-D3H4")) < error(NDDO(method)) / 3


def test_a_term_takes_the_place_of_the_methods_own() -> None:
    systems = named("water_dmso", "glycine")
    none = HydrogenBondsH4(0.0, 0.0, 0.0, 0.0)
    own = next(term for term in terms_of("RM1-D3H4") if isinstance(term, HydrogenBondsH4))
    without = NDDO("RM1-D3H4", terms=(none,))(systems).energy
    torch.testing.assert_close(without + own.energy(systems), NDDO("RM1-D3H4")(systems).energy, atol=1e-9, rtol=0)
    both = (DispersionD3(alpha=20.0), none)
    assert terms_from_config(terms_to_config(both)) == both
    assert terms_from_config(terms_to_config((SOFT,))) == (SOFT,)
    for unsaved in ((object(),), (none, none)):
        with pytest.raises(InputError, match=r"one DispersionD3, HydrogenBondsH4, .* each; got"):
            terms_to_config(unsaved)
    with pytest.raises(InputError, match=r"energy terms are dispersion, .*; got 'gravity'"):
        terms_from_config({"gravity": {}})


def test_batch_equals_loop_in_any_order() -> None:
    everything = [m["PM6"] for m in records().values()][:30]
    systems = build(everything)
    alone = torch.cat([total(build([frame])) for frame in everything])
    torch.testing.assert_close(total(systems), alone, atol=1e-12, rtol=0)
    order = torch.randperm(systems.n_atoms, generator=torch.Generator().manual_seed(0))
    shuffled = Systems.build(systems.numbers[order], systems.positions[order], systems.system_idx[order])
    torch.testing.assert_close(total(shuffled), alone, atol=1e-12, rtol=0)


def test_rotation_and_translation() -> None:
    systems = named("water_dmso", "CF3I_pyridine")
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    moved = systems.with_positions(systems.positions @ q.T + torch.tensor([3.0, -2.0, 7.0]))
    torch.testing.assert_close(total(moved), total(systems), atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient(moved), gradient(systems) @ q.T, atol=1e-10, rtol=0)
    assert gradient(systems).sum(dim=0).abs().max() < 1e-10


def test_linear_bridge_has_finite_forces() -> None:
    """O–H···O exactly on an axis, where the angle's derivative is singular."""
    x = torch.tensor([[0, 0, 0], [0, 0, 0.97], [0, 0, 2.9], [0.9, 0, -0.3], [0.8, 0.5, 3.2], [-0.8, 0.5, 3.2]])
    systems = Systems.build(torch.tensor([8, 1, 8, 1, 1, 1]), x.double())
    assert float(HydrogenBondsH4().energy(systems)) < -0.02
    assert torch.isfinite(gradient(systems)).all()


def test_proton_transfer_is_continuous() -> None:
    """H4 fades out while the proton of H5O2+ moves to the middle, and comes back on the other side."""
    oxygens = [[0, 0, 0], [0, 0, 2.6], [0.76, 0, -0.58], [-0.76, 0, -0.58], [0, 0.76, 3.18], [0, -0.76, 3.18]]
    path = torch.linspace(0.97, 1.63, 265, dtype=torch.float64)
    x = torch.tensor(oxygens, dtype=torch.float64).repeat(265, 1, 1)
    proton = torch.stack((0 * path, 0 * path, path), dim=1)[:, None]
    systems = Systems.build(
        torch.tensor([8, 8, 1, 1, 1, 1, 1]).repeat(265),
        torch.cat((x, proton), dim=1).view(-1, 3),
        torch.arange(265).repeat_interleave(7),
        charge=1,
    )
    e = HydrogenBondsH4().energy(systems) * EV_KCAL_MOL
    assert e[0] < -1
    assert e[132].abs() < 1e-9
    assert (e[1:] - e[:-1]).abs().max() < 0.1
    torch.testing.assert_close(e, e.flip(0), atol=1e-9, rtol=0)


def test_bonded_halogens_have_no_x() -> None:
    """HOCl, to whose O–Cl bond MOPAC gives 6,629 kcal/mol of halogen-bond correction."""
    x = torch.tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.3, 1.66, 0.0]])
    assert float(HalogenBondsX().energy(Systems.build(torch.tensor([8, 1, 17]), x))) == 0


def test_single_precision() -> None:
    frames = [records()[name]["PM6"] for name in ("water_dmso", "CF3I_pyridine")]
    energy = total(build(frames, torch.float32))
    assert energy.dtype == torch.float32
    torch.testing.assert_close(energy.double(), total(build(frames)), atol=2e-5, rtol=0)


def test_published_d3_parameters_are_the_default() -> None:
    d3 = DispersionD3()
    assert (d3.s6, d3.s_r6, d3.alpha, d3.s8) == (0.88, 1.18, 22.0, 0.0)
    argon = Systems.build(torch.tensor([18, 18]), torch.tensor([[0.0, 0, 0], [0, 0, 8.0]], dtype=torch.float64))
    undamped = -0.88 * 64.6462 / (8.0 / 0.529177210903) ** 6 * 27.211386245988  # C6 of Grimme et al. (2010)
    assert float(d3.energy(argon)) == pytest.approx(undamped, rel=1e-3)


@pytest.mark.parametrize("term", WITH_X[1:], ids=lambda t: type(t).__name__)
def test_periodic_cells_are_refused(term: object) -> None:
    cell = 9 * torch.eye(3)[None]
    systems = Systems.build(torch.tensor([8, 1, 1]), torch.rand(3, 3), cell=cell, pbc=torch.ones(1, 3) > 0)
    with pytest.raises(InputError, match=r"system 0: .* is for molecules"):
        term.energy(systems)


def test_elements_without_dispersion_are_refused() -> None:
    with pytest.raises(InputError, match="atomic number 96"):
        DispersionD3().energy(Systems.build(torch.tensor([96]), torch.zeros(1, 3)))
