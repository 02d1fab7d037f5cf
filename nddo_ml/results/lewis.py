"""Lewis structures: whole bond orders and formal charges that fit computed bond orders, charge and spin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

BOND, WEAK = 0.3, 0.7  # computed orders from which there may be a bond, and from which there is one
CHARGED, UNPAIRED, ODD = 0.5, 1.0, 5.0  # what a formal charge, an electron too many, an unknown valence cost
UNMET = 10.0  # what a charge costs that the structure does not have

# per element: formal charge, valence, unpaired electrons, what it costs beside the charge
State = tuple[int, int, int, float]
Bond = tuple[int, int, float | None]  # two atoms and the order, None where it is not known
_CARBON: list[State] = [(0, 4, 0, 0), (-1, 3, 0, 0), (1, 3, 0, 0), (0, 3, 1, 0), (0, 2, 0, 1.5), (0, 2, 2, 0.5)]
_NITROGEN: list[State] = [(0, 3, 0, 0), (1, 4, 0, 0), (-1, 2, 0, 0), (0, 2, 1, 0), (0, 1, 2, 0)]
_OXYGEN: list[State] = [(0, 2, 0, 0), (-1, 1, 0, 0), (1, 3, 0, 0), (0, 1, 1, 0), (0, 0, 2, 0)]
_HALOGEN: list[State] = [(0, 1, 0, 0), (-1, 0, 0, 0), (1, 2, 0, 0), (0, 0, 1, 0)]
_HIGHER: list[State] = [(0, v, 0, 0.1) for v in (4, 5, 6, 7)]
_STATES: dict[int, list[State]] = {
    1: [(0, 1, 0, 0), (1, 0, 0, 0), (-1, 0, 0, 0), (0, 0, 1, 0)],
    5: [(0, 3, 0, 0), (-1, 4, 0, 0), (0, 2, 1, 0)],
    6: _CARBON,
    7: _NITROGEN,
    8: _OXYGEN,
    9: _HALOGEN,
    14: _CARBON,
    15: [*_NITROGEN, _HIGHER[1]],
    16: [*_OXYGEN, _HIGHER[0], _HIGHER[2]],
    17: [*_HALOGEN, (0, 3, 0, 0.3), (0, 5, 0, 0.3), (0, 7, 0, 0.3)],
    35: [*_HALOGEN, (0, 3, 0, 0.3), (0, 5, 0, 0.3)],
    53: [*_HALOGEN, (0, 3, 0, 0.3), (0, 5, 0, 0.3), (0, 7, 0, 0.3)],
}


@dataclass(frozen=True)
class Lewis:
    """Bonds and formal charges of a molecule."""

    bonds: list[tuple[int, int, int]]  # atoms from 0, order 1 to 3
    charges: list[int]  # by atom; their sum is the charge
    unpaired: list[int]  # electrons by atom


def lewis_structure(numbers: Sequence[int], orders: Iterable[Bond], charge: int, multiplicity: int) -> Lewis:
    """The Lewis structure nearest to computed bond orders.

    An integer programme: whole orders b_ij and a state of every atom (formal charge, valence, unpaired electrons) with
    Σ_j b_ij the valence and Σ q the charge minimise Σ|b_ij − B_ij| and the costs of charges and unpaired electrons.

    Args:
        numbers: atomic numbers.
        orders: pairs of atoms and their bond orders, Wiberg's or whole; None where only the bond is known.
        charge: of the molecule.
        multiplicity: 2S + 1.
    """
    from scipy.optimize import LinearConstraint, milp

    bonds = [(i, j, order) for i, j, order in orders if order is None or order > BOND]
    states = [_states(z, sum(k in (i, j) for i, j, _ in bonds)) for k, z in enumerate(numbers)]
    first = np.cumsum([0, *(len(s) for s in states)])
    n_bonds, n_states = len(bonds), int(first[-1])
    size = 2 * n_bonds + n_states + 4  # orders, their deviations, states, charge and spin too small and too large
    rows, low_sum, high_sum = _conditions(bonds, states, size, charge, multiplicity - 1)
    costs = [CHARGED * abs(q) + extra for own in states for q, _, _, extra in own]
    cost = np.array([0.0] * n_bonds + [1.0] * n_bonds + costs + [UNMET] * 2 + [UNPAIRED] * 2)
    low = np.zeros(size)
    low[:n_bonds] = [0.0 if order is not None and order < WEAK else 1.0 for _, _, order in bonds]
    high = np.array([3.0] * n_bonds + [np.inf] * n_bonds + [1.0] * n_states + [np.inf] * 4)
    whole = np.array([1] * n_bonds + [0] * n_bonds + [1] * n_states + [0] * 4)
    limits = LinearConstraint(rows, low_sum, high_sum)
    found = milp(cost, constraints=limits, integrality=whole, bounds=(low, high), options={"time_limit": 10.0})
    if found.x is None:  # out of time: single bonds
        return _remaining(Lewis([(i, j, 1) for i, j, _ in bonds], [0] * len(numbers), [0] * len(numbers)), charge)
    shares = np.split(found.x[2 * n_bonds : size - 4], first[1:-1])
    made = [own[int(np.argmax(share))] for own, share in zip(states, shares, strict=True)]
    kept = [(i, j, round(x)) for (i, j, _), x in zip(bonds, found.x, strict=False) if round(x) > 0]
    return _remaining(Lewis(kept, [s[0] for s in made], [s[2] for s in made]), charge)


def _conditions(
    bonds: Sequence[Bond], states: Sequence[Sequence[State]], size: int, charge: int, unpaired: int
) -> tuple[np.ndarray, list[float], list[float]]:
    """Rows of the programme, [conditions, size], and the bounds of their products with the unknowns."""
    rows: list[np.ndarray] = []
    low: list[float] = []
    high: list[float] = []

    def require(row: np.ndarray, least: float, most: float) -> None:
        rows.append(row)
        low.append(least)
        high.append(most)

    for e, (_, _, order) in enumerate(bonds):
        for sign in (1.0, -1.0):
            row = np.zeros(size)
            row[e], row[len(bonds) + e] = sign, -1.0
            require(row, -np.inf, np.inf if order is None else sign * order)
    charges, electrons = np.zeros(size), np.zeros(size)
    begin = 2 * len(bonds)
    for k, own in enumerate(states):
        places = slice(begin, begin := begin + len(own))
        one, valence = np.zeros(size), np.zeros(size)
        one[places] = 1.0
        valence[places] = [-float(v) for _, v, _, _ in own]
        valence[[e for e, (i, j, _) in enumerate(bonds) if k in (i, j)]] = 1.0
        charges[places] = [q for q, _, _, _ in own]
        electrons[places] = [u for _, _, u, _ in own]
        require(one, 1.0, 1.0)
        require(valence, 0.0, 0.0)
    charges[-4:-2] = (1.0, -1.0)
    electrons[-2:] = (1.0, -1.0)
    require(charges, charge, charge)
    require(electrons, unpaired, unpaired)
    return np.array(rows), low, high


def _states(number: int, neighbours: int) -> list[State]:
    """Usual states of an element, and any other valence at a price; metals take charges."""
    known = _STATES.get(number, [(q, 0, 0, 0.0) for q in range(4)])
    return [*known, *((0, v, 0, ODD if number in _STATES else 0.2) for v in range(3 * neighbours + 1))]


def _remaining(made: Lewis, charge: int) -> Lewis:
    """The charge that no state explains goes to the first atom, so that the sum is right."""
    rest = charge - sum(made.charges)
    return Lewis(made.bonds, [made.charges[0] + rest, *made.charges[1:]], made.unpaired)
