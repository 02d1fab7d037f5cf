"""Agreement with MOPAC 22.0.6 on every reference file of tests/references, on both sides of every tolerance.

Where our default solution is not MOPAC's, ``other_solutions.json`` holds MOPAC's own numbers of ours, which it reaches
from our density, and the density from which our field comes to MOPAC's.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest
import torch
from ase.build import molecule
from engines import torch_alone
from reference_data import NAMES, entries, expected, other_solutions, padded, rows, run, square, to_systems

from nddo_ml import NDDO, Systems
from nddo_ml.elements import number_of
from nddo_ml.errors import InputError
from nddo_ml.methods.tables import load_method
from nddo_ml.scf.loop import SCFOptions
from nddo_ml.terms.peptide import PeptideBonds
from nddo_ml.units import EV_KCAL_MOL

SETS = ("sp_methods", "mndod", "pm6", "older_metals", "pm6_d3h4", "singled_out")
WITH_METALS = ("pm6", "mndod", "older_metals")
HEAT, DIPOLE = 1e-4, 0.002  # kcal/mol, D; of a dipole moment 1e-4 more, for the units of its program
GRADIENT = {"sp_methods": 0.002}  # kcal/mol/Å
WITH_D = 0.01  # likewise, of the other sets
# MOPAC's overlap jumps near these geometries (see nddo_ml/integrals/overlap.py), ours goes over smoothly: gradients.
AT_A_JUMP = {
    **dict.fromkeys(("AM1/InH2~0.05 m2", "PM3/SeH1~0.05 m2", "MNDO/SnH4~0.05"), 0.05),
    **dict.fromkeys(("PM6/BrH1~0.05", "PM6/BrH2~0.05 +1", "PM6/SeH3~0.05 +1", "PM6/SrH2~0.05"), 0.2),
    "PM6/hexadecane": 0.15,
}
# The energy hardly depends on a part of the density, which MOPAC's criterion of convergence leaves open.
FLAT = {
    *(f"{m}/NH4+Cl@{r}" for m in ("AM1", "PM3", "RM1") for r in ("9.9", "10.1", "12", "15")),
    *(
        "RM1/OH+OH@9",
        "PM6/As-SiH3",
        "PM6/Te-SiH3 m2",
        "PM6/Os-CH3 m4",
        "PM6/LaF2~0.05 m2",
        "RM1/SmBr2~0.05 m2",
        "PM6/IrBr3~0.05 m5",
        "PM6/PtBr2~0.05 m3",
    ),
}
OF_FLAT = (0.001, 0.06, 0.005)
# MOPAC's gradients of these methods are not the derivatives of its energies (see tests/references/README.md).
CORRECTED = 0.2  # kcal/mol/Å
# The search comes to one or the other of several lower solutions, by rounding: further heats of formation, kcal/mol
# above that of other_solutions.json or, without an entry there, of the reference. Our own numbers; the last one MOPAC
# leaves again when it starts there.
ANOTHER = {"PM6/Tl-NH2": 37.4363, "PM6/Pt-SH1 m2": -4.5348, "RM1/SmBr2~0.05 m2": -5.4239, "MNDOD/NH4+Cl@15": -0.1851}
ANOTHER |= {"PM3/II@2.6966": 6.7523, "PM6/Fe(CN)6 -3 m2": 6.0704}  # the first is torch's, the core finds the lower one
# On some processors the core finds MOPAC's own, which is lower than the recorded one of ours.
ANOTHER |= {"MNDO/BiH2~0.05 m2": -12.30198}
OTHER = other_solutions()


def groups(name: str) -> list[tuple[str, bool]]:
    return sorted({(e["method"], bool(e["uhf"])) for e in entries(name)})


GROUPS = [(name, *group) for name in SETS for group in groups(name)]


def chosen_of(name: str, method: str, uhf: bool) -> list[dict]:
    return [e for e in entries(name) if (e["method"], bool(e["uhf"])) == (method, uhf)]


def tolerances(name: str, entry: dict) -> tuple[float, float, float]:
    """Of heat of formation, gradient and dipole."""
    if entry["id"] in FLAT:
        return OF_FLAT
    jump = AT_A_JUMP.get(entry["id"], 0.0)
    gradient = CORRECTED if "-D3" in entry["method"] else max(jump, GRADIENT.get(name, WITH_D))
    length = sum(v * v for v in entry["dipole"]) ** 0.5
    noise = [1.5 * entry.get(key, 0.0) for key in ("gradient_noise", "dipole_noise")]
    return 5 * HEAT if jump else HEAT, gradient + noise[0], DIPOLE + 1e-4 * length + noise[1]


def differing(name: str, chosen: list[dict], solution: str = "lowest", guess: torch.Tensor | None = None) -> list:
    """What deviates from the entries' numbers: ids and deviations of heat of formation, gradient, dipole.

    Of gradients and dipoles of other solutions only the norms are compared.
    """
    method, uhf = chosen[0]["method"], bool(chosen[0]["uhf"])
    prediction, off = run(chosen, NAMES.get(method, method), uhf, solution, guess)
    assert prediction.scf is not None
    assert bool(prediction.scf.converged.all())
    bad = []
    for k, entry in enumerate(chosen):
        other = solution == "lowest" and entry["id"] in OTHER  # often one of several that are turned
        vectors = (off.gradient_norm, off.dipole_norm) if other else (off.gradient, off.dipole)
        values = [float(t[k]) for t in (off.heat_of_formation, *vectors)]
        if entry["id"] in ANOTHER and abs(values[0] - ANOTHER[entry["id"]]) < 0.001:
            continue
        if not all(abs(v) <= most for v, most in zip(values, tolerances(name, entry), strict=True)):
            bad.append((entry["id"], *values))
    return bad


def sample(name: str, method: str, uhf: bool) -> list[dict]:
    """The smallest entries that show every element (in closed shells of small sets every pair of them), every tenth.

    Those with another solution as well (of open shells of metals, whose search takes long, every third), nine atoms at
    most where these are enough.
    """
    ordered = sorted(chosen_of(name, method, uhf), key=lambda e: len(e["symbols"]))
    if name == "singled_out":
        return ordered
    other = [e["id"] for e in ordered if e["id"] in OTHER]
    wanted = set(other[:: 3 if uhf and name in ("pm6", "older_metals") else 1])
    together = 2 if name in ("sp_methods", "mndod") and not uhf else 1
    seen: set[tuple[str, ...]] = set()
    chosen = []
    for k, entry in enumerate(ordered):
        small = len(entry["symbols"]) <= 9
        shows = set(combinations_with_replacement(sorted(set(entry["symbols"])), together))
        if not seen.issuperset(shows) or (small and (entry["id"] in wanted or k % 10 == 0)):
            chosen.append(entry)
            seen.update(shows)
    return chosen


@pytest.mark.parametrize(("name", "method", "uhf"), GROUPS)
def test_sample_of_the_reference(name: str, method: str, uhf: bool) -> None:
    """By torch, the definition, and by the compiled core where it serves.

    The tables are the same for both; open shells with d orbitals are torch's both times, and of other open shells of
    sets with metals, whose search takes torch long, it has every third.
    """
    chosen = [expected(e) for e in sample(name, method, uhf)]
    assert not differing(name, chosen)
    width = load_method(NAMES.get(method, method)).width
    again = [e for e in chosen if not (uhf and any(width[number_of(s)] == 9 for s in e["symbols"]))]
    again = again[:: 3 if uhf and name in WITH_METALS else 1]
    with torch_alone():
        assert not again or not differing(name, again)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "uhf"), GROUPS)
def test_all_of_the_reference(name: str, method: str, uhf: bool) -> None:
    chosen = [expected(e) for e in chosen_of(name, method, uhf)]
    assert not differing(name, chosen)


def with_another(name: str, method: str, uhf: bool) -> list[dict]:
    """Entries whose other solution is recorded, with the density that leads to MOPAC's."""
    return [e for e in chosen_of(name, method, uhf) if OTHER.get(e["id"], {}).get("start")]


@pytest.mark.parametrize(("name", "method", "uhf"), [g for g in GROUPS if with_another(*g)])
def test_from_its_density_the_field_comes_to_mopacs_solution(name: str, method: str, uhf: bool) -> None:
    """The numbers of both solutions are MOPAC's: the functional is the same, and which solution is found differs."""
    chosen = with_another(name, method, uhf)
    known = NAMES.get(method, method)
    guess = padded([square(OTHER[e["id"]]["start"], rows(e, known)) for e in chosen])
    assert not differing(name, chosen, "first", guess)


def test_other_solutions_say_why() -> None:
    known = {e["id"]: e for name in (*SETS, "pm7") for e in entries(name)}
    for key, recorded in OTHER.items():
        entry = known[key]
        gain = entry["heat_of_formation"] - recorded["heat_of_formation"]
        assert recorded["mopac"] == entry["heat_of_formation"]
        assert recorded["start"] or recorded["reason"] in ("chance", "turned"), key
        ours, mopacs = recorded["curvature"]
        assert ours is None or ours > -1e-3, key  # no way down from ours
        if recorded["reason"] == "turned":
            assert abs(gain) < 0.001, key
        elif recorded["reason"] == "higher":
            assert gain < 0, key
        else:
            assert gain > 0.001, key
            assert recorded["reason"] in ("saddle", "minimum", "chance")
            if recorded["reason"] == "chance":
                continue
            assert (mopacs is not None and mopacs < -1e-3) == (recorded["reason"] == "saddle"), key


@pytest.mark.parametrize(
    ("name", "method", "least"),
    [
        ("sp_methods", "AM1", 0.99),
        ("older_metals", "AM1", 0.99),
        *(pytest.param("sp_methods", m, 0.98, marks=pytest.mark.slow) for m in ("MNDO", "PM3", "RM1")),
        pytest.param("mndod", "MNDOD", 0.98, marks=pytest.mark.slow),
        pytest.param("pm6", "PM6", 0.9, marks=pytest.mark.slow),
        pytest.param("older_metals", "RM1", 0.7, marks=pytest.mark.slow),
    ],
)
def test_mopacs_way_finds_mopacs_solution(name: str, method: str, least: float) -> None:
    """The share of open shells where solution="mopac" has MOPAC's heat of formation."""
    chosen = chosen_of(name, method, True)
    prediction, off = run(chosen, NAMES.get(method, method), True, "mopac")
    assert prediction.scf is not None
    assert bool(prediction.scf.converged.all())
    assert float((off.heat_of_formation.abs() < HEAT).double().mean()) >= least


@pytest.mark.parametrize(("name", "iterations"), [("C2H3", 33), ("NO", 42), ("CN", 31), ("OH", 12)])
def test_mopacs_way_is_about_as_long_as_mopacs(name: str, iterations: int) -> None:
    """MOPAC 22.0.6: AM1 1SCF UHF DOUBLET PL RELSCF=0.00001, the last iteration; ours asks for a little more."""
    way = SCFOptions(solution="mopac")
    prediction = NDDO("AM1", uhf=True, scf=way)(Systems.from_ase(molecule(name), multiplicity=2))
    assert prediction.scf is not None
    assert abs(int(prediction.scf.iterations) - iterations) <= 7


def test_unknown_solution() -> None:
    with pytest.raises(InputError, match="one of lowest, first, mopac; got 'ground'"):
        SCFOptions(solution="ground")
    assert SCFOptions(probe=False) == SCFOptions(solution="first")


def test_divalent_molybdenum_has_four_d_electrons() -> None:
    """In AM1 Mo2+ is 5s¹4d³ in MOPAC, whose iteration starts with a filled 5s shell, and 4d⁴ in ours, the ground
    configuration of the ion, 90.9 kcal/mol lower; no rotation of orbitals of one symmetry leads from one to the other.
    """
    entry = next(e for e in entries("older_metals") if e["id"] == "AM1/atom:Mo +2 m5")
    configurations = {}
    for solution in ("lowest", "mopac"):
        prediction, off = run([entry], "AM1", True, solution)
        assert prediction.scf is not None
        populations = prediction.scf.total_density[0].diagonal()
        shells = [float(part.sum()) for part in (populations[:1], populations[1:4], populations[4:])]
        configurations[solution] = ([round(n, 3) for n in shells], float(off.heat_of_formation))
    assert configurations["lowest"][0] == [0, 0, 4]
    assert configurations["mopac"][0] == [1, 0, 3]
    assert configurations["lowest"][1] == pytest.approx(-90.9456, abs=HEAT)
    assert configurations["mopac"][1] == pytest.approx(0, abs=HEAT)


def test_references_cover_what_they_should() -> None:
    chosen = entries("sp_methods")
    assert len(chosen) >= 300
    assert len({s for e in chosen for s in e["symbols"]}) >= 25
    assert sum(1 for e in chosen if e["charge"] != 0 or e["multiplicity"] > 1) >= len(chosen) / 3
    for name, method, least in (("pm6", "PM6", 300), ("mndod", "MNDO/d", 60)):
        assert len(entries(name)) >= least
        assert {number_of(s) for e in entries(name) for s in e["symbols"]} == set(load_method(method).elements)
    for name, method, _ in GROUPS:
        of_method = [e for e in entries(name) if e["method"] == method]
        shown = {s for m, uhf in groups(name) if m == method for e in sample(name, m, uhf) for s in e["symbols"]}
        assert shown == {s for e in of_method for s in e["symbols"]}


def test_orbital_energies_equal_mopac() -> None:
    closed = [e for e in chosen_of("sp_methods", "AM1", False) if not e["charge"]]
    chosen = [e for e in closed if "eigenvalues" in e and e["id"] not in OTHER][:12]
    assert len(chosen) > 3
    prediction, _ = run(chosen, "AM1", False)
    assert prediction.scf is not None
    for k, e in enumerate(chosen):
        levels = torch.tensor(e["eigenvalues"][0], dtype=torch.float64)
        ours = prediction.scf.orbital_energies[k, 0, : levels.shape[0]]
        assert torch.allclose(ours, levels, atol=2e-4)


def test_series_of_the_overlap() -> None:
    """MOPAC's short power series in overlaps, one row of ``_SERIES`` after the other; each is worth 1e-5 to 1e-3."""
    rows_shown = ("PM3/g2:CH4~0.1", "PM3/GeH4~0.05", "PM3/TlH4 -1", "PM3/BiH4~0.05 +1", "PM3/XeH@1.71 +1")
    chosen = [e for e in chosen_of("sp_methods", "PM3", False) if e["id"] in rows_shown]
    assert len(chosen) == len(rows_shown)
    _, off = run(chosen, "PM3", False)
    assert float(off.heat_of_formation.abs().max()) < 2e-6


def test_amides_out_of_plane() -> None:
    """Where the term of amides is worth more than 0.01 kcal/mol."""
    chosen = chosen_of("sp_methods", "AM1", False)
    term = PeptideBonds(3.3191).energy(to_systems(chosen)) * EV_KCAL_MOL
    chosen = [e for e, value in zip(chosen, term.tolist(), strict=True) if value > 0.01]
    assert chosen
    assert not differing("sp_methods", sorted(chosen, key=lambda e: len(e["symbols"]))[:4])
