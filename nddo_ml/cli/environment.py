"""What surrounds the molecules of a command: options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nddo_ml.environments.embedding import Environment

Field = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--field", metavar="X Y Z", help="A uniform electric field, V/Å, in the frame of the coordinates."),
]
Charges = Annotated[
    str | None,
    typer.Option(
        "--charges",
        metavar="FILE",
        help="Point charges around every structure: lines of x y z charge \\[radius] (Å, e), pqr, or a file of ASE.",
    ),
]
Solvent = Annotated[
    str | None,
    typer.Option("--solvent", metavar="NAME", help="An implicit solvent: water, …, eps=NUMBER; gb:NAME is faster."),
]

_SAID: Mapping[str, Callable[[Any], str]] = {  # a part of a record in words
    "field_V_A": lambda field: f"field {' '.join(f'{x:g}' for x in field)} V/Å",
    "point_charges": lambda found: f"{found['count']} point charges, {found['total_e'] + 0.0:.4g} e in all",
    "solvent": lambda found: f"{found['model']} {found['name'] or 'ε = ' + str(found['permittivity'])}",
}


@dataclass(frozen=True)
class Around:
    """What surrounds the molecules, a group of options."""

    field: Field = None
    charges: Charges = None
    solvent: Solvent = None

    @property
    def files(self) -> list[str]:
        """Files that are read."""
        return [] if self.charges is None else [self.charges]

    def environment(self) -> Environment | None:
        """What the options ask for, together; None of none.

        Raises:
            InputError: numbers that are not finite; as :func:`read_charges` and :func:`named_solvent`.
        """
        from nddo_ml.environments.field import UniformField
        from nddo_ml.environments.files import read_charges
        from nddo_ml.environments.solvents import named_solvent
        from nddo_ml.environments.together import Together

        parts: list[Environment] = []
        if self.field is not None:
            parts.append(UniformField.of(self.field))
        if self.charges is not None:
            parts.append(read_charges(self.charges))
        if self.solvent is not None:
            parts.append(named_solvent(self.solvent))
        return Together.of(parts) if parts else None


def record(environment: Environment | None) -> dict[str, Any] | None:
    """What surrounds the molecules, as results have it."""
    return None if environment is None else environment.record()


def said(found: Mapping[str, Any] | None) -> str:
    """A record of surroundings in words, for titles."""
    return f" ({', '.join(_SAID[key](value) for key, value in found.items())})" if found else ""
