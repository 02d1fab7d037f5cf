"""Sets of symmetry functions: automatic ones, and n2p2's ``input.nn`` read and written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from bp_descriptors.cutoffs import N2P2_TYPES, Cutoff
from bp_descriptors.specification import Function

LENGTH_UNITS = {"bohr": 0.529177210903, "angstrom": 1.0}  # Å; CODATA 2018
_N2P2_KIND = {2: "G2", 3: "G4", 9: "G5", 12: "W2", 13: "W4"}
# number of radial shells, of angular shells, and the exponents zeta
SIZES: dict[str, tuple[int, int, tuple[float, ...]]] = {
    "small": (8, 2, (1.0, 4.0)),
    "medium": (16, 3, (1.0, 4.0, 16.0)),
    "large": (24, 4, (1.0, 2.0, 6.0, 18.0)),
}


def length_of(unit: str) -> float:
    """Å in one ``unit`` of length ("bohr" or "angstrom")."""
    if unit not in LENGTH_UNITS:
        raise ValueError(f"the length unit must be one of {', '.join(LENGTH_UNITS)}; got {unit!r}")
    return LENGTH_UNITS[unit]


def default_functions(
    elements: Sequence[str],
    cutoff: float = 5.0,
    size: str = "medium",
    angular_cutoff: float | None = None,
    weighted_angular: bool | None = None,
    cutoff_kind: str = "cos",
    closest: float | None = None,
    resolved: Sequence[str] | None = None,
    centers: Sequence[str] | None = None,
    summed: bool = False,
) -> list[Function]:
    """Element-resolved functions for ``elements`` and a ``cutoff`` (Å): shifted G2 and shifted wide G5.

    The radial Gaussians sit on an even grid from 0.8 of the shortest bond (twice the smallest covalent
    radius: 0.5 Å with hydrogen, 1.8 Å for silicon) to half a spacing inside the cut-off, with
    eta = 1 / (2 spacing²); the angular shells in the same way up to ``angular_cutoff`` (default 0.62 cutoff, at
    least 1.6 of the shortest bond), with eta = 1 / spacing², for both signs of lambda and a few zeta. After
    Gastegger et al., J. Chem. Phys. 148, 241709 (2018), and Smith et al., Chem. Sci. 8, 3192 (2017).

    Args:
        size: "small", "medium" or "large"; with four elements 112, 244 and 416 functions.
        weighted_angular: angular functions weighted by Z_j Z_k instead of one set for each pair of
            elements; None does so for more than six elements.
        resolved: elements whose pairs have angular functions of their own beside weighted ones for all; None: as
            ``weighted_angular`` says.
        cutoff_kind: as in :class:`~bp_descriptors.cutoffs.Cutoff`.
        closest: how close atoms come (Å); the grids begin there where it is less than 0.8 of the shortest bond.
        centers: central elements that have functions; None: all.
        summed: functions that sum over all elements without weights (S2, S5) in place of element-resolved ones.

    Raises:
        ValueError: no elements, an unknown symbol or size, a cut-off about as short as a bond.
    """
    symbols = _symbols(elements)
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}; got {size!r}")
    first, angular_cutoff = _reach(symbols, cutoff, angular_cutoff, closest)
    n_radial, n_shells, zetas = SIZES[size]
    weighted = len(symbols) > 6 if weighted_angular is None else weighted_angular
    couples: list[tuple[str, ...]] = [()] if weighted else list(combinations_with_replacement(symbols, 2))
    if resolved is not None:
        chosen = _symbols(resolved) if resolved else []
        couples = [(), *combinations_with_replacement([s for s in symbols if s in chosen], 2)]
    far, near = Cutoff(cutoff, cutoff_kind), Cutoff(angular_cutoff, cutoff_kind)
    neighbors: list[tuple[str, ...]] = [(s,) for s in symbols]
    radial, angular = "G2", {True: "G5", False: "W5"}
    if summed:
        neighbors, couples, radial, angular = [()], [()], "S2", {False: "S5"}
    functions = []
    for center in symbols if centers is None else _symbols(centers):
        for eta, r_s in _shells(cutoff, n_radial, first, 0.5):
            functions += [Function(center, radial, far, s, eta, r_s) for s in neighbors]
        for eta, r_s in _shells(angular_cutoff, n_shells, first, 1.0):
            functions += [
                Function(center, angular[bool(couple)], near, couple, eta, r_s, zeta=zeta, lambda_=lambda_)
                for couple in couples
                for zeta in zetas
                for lambda_ in (-1.0, 1.0)
            ]
    return functions


def _reach(
    symbols: Sequence[str], cutoff: float, angular_cutoff: float | None, closest: float | None
) -> tuple[float, float]:
    """Where the grids begin, and the angular cut-off, Å."""
    first = 1.6 * min(float(covalent_radii[atomic_numbers[s]]) for s in symbols)
    if closest is not None:
        if not closest > 0.0:
            raise ValueError(f"closest must be a positive distance; got {closest}")
        first = min(first, closest)
    if angular_cutoff is None:
        angular_cutoff = min(cutoff, max(0.62 * cutoff, 2.0 * first))
    if not min(cutoff, angular_cutoff) > 1.2 * first:
        raise ValueError(
            f"the cut-offs of {', '.join(symbols)} must exceed {1.2 * first:.2f} Å; got {cutoff} and {angular_cutoff}"
        )
    return first, angular_cutoff


def _symbols(elements: Sequence[str]) -> list[str]:
    """The elements' symbols by atomic number, each once."""
    symbols = sorted(set(elements), key=lambda s: atomic_numbers.get(s, 0))
    if not symbols or isinstance(elements, str):
        raise ValueError(f"expected a list of element symbols; got {elements!r}")
    unknown = [s for s in symbols if atomic_numbers.get(s, 0) < 1]
    if unknown:
        raise ValueError(f"expected element symbols; got {unknown[0]!r}")
    return symbols


def _shells(cutoff: float, n: int, first: float, sharpness: float) -> list[tuple[float, float]]:
    """(eta, r_s) of ``n`` Gaussians on an even grid inside the cut-off, eta = sharpness / spacing²."""
    spacing = (cutoff - first) / (n + 0.5) if n > 1 else cutoff - first
    return [(float(sharpness / spacing**2), float(first + k * spacing)) for k in range(n)]


def read_n2p2(path: str | Path, length_unit: str = "bohr") -> list[Function]:
    """The symmetry functions of an n2p2 ``input.nn``; radii and eta converted from ``length_unit`` to Å.

    Types 2 (G2), 3 (G4), 9 (G5), 12 (W2) and 13 (W4) with n2p2's cut-off types 1 to 8 and ``cutoff_alpha``.

    Raises:
        ValueError: no function, an unsupported type, or a line that cannot be read (with its number).
    """
    unit = length_of(length_unit)
    cutoff_type, alpha, lines = 1, 0.0, []
    for number, raw in enumerate(Path(path).read_text().splitlines(), 1):
        words = raw.split("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "cutoff_type":
                cutoff_type = int(words[1])
                alpha = float(words[2]) if len(words) > 2 else alpha
            elif words[0] == "cutoff_alpha":
                alpha = float(words[1])
            elif words[0] in ("symfunction_short", "symfunction"):  # the latter of the fourth generation
                lines.append((number, words[1:]))
            elif words[0].endswith("symfunction_short"):
                raise ValueError(f"{path}, line {number}: expected symfunction_short; got RuNNer's {words[0]}")
        except (IndexError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: cannot read {raw.strip()!r}: {error}") from error
    if not lines:
        raise ValueError(f"{path}: expected lines symfunction_short; found none")
    if cutoff_type not in N2P2_TYPES:
        raise ValueError(f"{path}: cutoff_type must be one of {list(N2P2_TYPES)}; got {cutoff_type}")
    kind = N2P2_TYPES[cutoff_type]
    inner = 0.0 if kind.startswith("tanh3") else alpha
    return [_parse_line(words, kind, inner, unit, f"{path}, line {number}") for number, words in lines]


def _parse_line(words: list[str], cutoff_kind: str, inner: float, unit: float, where: str) -> Function:
    try:
        center, number = words[0], int(words[1])
        if number not in _N2P2_KIND:
            raise ValueError(f"{where}: symmetry function type {number} is not supported (2, 3, 9, 12, 13 are)")
        n_neighbors = {2: 1, 3: 2, 9: 2}.get(number, 0)
        neighbors = tuple(words[2 : 2 + n_neighbors])
        values = [float(w) for w in words[2 + n_neighbors :]]
        zeta, lambda_ = 1.0, 1.0
        if number in (2, 12):
            eta, r_s, radius = values
        elif number == 13:
            eta, r_s, lambda_, zeta, radius = values
        else:
            eta, lambda_, zeta, radius = values[:4]
            (r_s,) = values[4:] or [0.0]
        cutoff = Cutoff(radius * unit, cutoff_kind, inner)
        return Function(
            center,
            _N2P2_KIND[number],
            cutoff,
            neighbors,
            eta / unit**2,
            r_s * unit,
            zeta=zeta,
            lambda_=lambda_,
        )
    except (IndexError, ValueError) as error:
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where}: cannot read symfunction_short {' '.join(words)!r}: {error}") from error


def write_n2p2(functions: Sequence[Function], length_unit: str = "bohr") -> str:
    """Lines ``cutoff_type`` and ``symfunction_short`` for an ``input.nn``; lengths in ``length_unit``.

    Raises:
        ValueError: a kind that n2p2 does not have (G3, W5), or different cut-off functions in one set.
    """
    unit = length_of(length_unit)
    cutoffs = {(f.cutoff.kind, f.cutoff.inner) for f in functions}
    if len(cutoffs) != 1:
        raise ValueError(f"n2p2 has one cut-off function for the whole set; got {sorted(cutoffs)}")
    ((kind, inner),) = cutoffs
    cutoff_type = {v: k for k, v in N2P2_TYPES.items()}[kind]
    return "\n".join([f"cutoff_type {cutoff_type} {inner!r}", *(_format_line(f, unit) for f in functions)]) + "\n"


def _format_line(f: Function, unit: float) -> str:
    numbers = {v: k for k, v in _N2P2_KIND.items()} | {"G1": 2}
    if f.kind not in numbers:
        raise ValueError(f"n2p2 has no symmetry function of kind {f.kind} ({f.label})")
    eta, r_s, radius = f.eta * unit**2, f.r_s / unit, f.cutoff.radius / unit
    values: tuple[float, ...] = (eta, r_s, radius)
    if f.kind == "W4":
        values = (eta, r_s, f.lambda_, f.zeta, radius)
    elif not f.is_radial:
        values = (eta, f.lambda_, f.zeta, radius, r_s)
    words = (f.center, str(numbers[f.kind]), *f.neighbors, *(np.format_float_positional(v) for v in values))
    return "symfunction_short " + " ".join(words)
