"""Models of a solvent from a word or from a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nddo_ml.environments.born import GeneralizedBorn
from nddo_ml.environments.media import Continuum
from nddo_ml.environments.solvent import Solvent
from nddo_ml.errors import InputError

KINDS: Mapping[str, type[Continuum]] = {kind.KIND: kind for kind in (Solvent, GeneralizedBorn)}
_PREFIX = "gb:"


def named_solvent(text: str) -> Continuum:
    """``water``, ``eps=10``, or either behind ``gb:`` for the generalised-Born model.

    Raises:
        InputError: an unknown solvent, a permittivity that is none.
    """
    short = text.strip().lower()
    kind = GeneralizedBorn if short.startswith(_PREFIX) else Solvent
    word = short.removeprefix(_PREFIX).replace(" ", "") if "=" in short else short.removeprefix(_PREFIX)
    if not word.startswith("eps="):
        return kind(word)
    try:
        return kind(eps=float(word.removeprefix("eps=")))
    except ValueError:
        raise InputError(f"expected eps=NUMBER; got {text!r}") from None


def of_record(found: Mapping[str, Any]) -> Continuum:
    """The solvent of a :meth:`Continuum.record`.

    Raises:
        InputError: a record of other surroundings.
    """
    if set(found) != {"solvent"}:
        raise InputError(f"expected a solvent alone; got {', '.join(found)}")
    table = dict(found["solvent"])
    kind, name, eps = KINDS[table.pop("model")], table.pop("name"), table.pop("permittivity")
    tension = table.pop("surface_tension_kcal_mol_A2")
    return kind(name, None if name else float(eps), tension, **table)
