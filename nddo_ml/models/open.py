"""One way to name a model: a method, a shipped model, or a file."""

from __future__ import annotations

from pathlib import Path

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.saved import load_model


def open_model(name: str | Path, uhf: bool | None = None) -> AbstractModel:
    """The published method of this name, the model of a file, or a shipped model.

    ``uhf`` is that of :class:`nddo_ml.NDDO`, for methods and hybrids; None leaves it as it is.

    Raises:
        InputError: none of the three; as :func:`load_model`.
    """
    model = load_model(name)
    if uhf is not None and isinstance(model, NDDO):
        model.uhf = uhf
    return model


def open_nddo(name: str | Path) -> NDDO:
    """The method or hybrid of this name or file.

    Raises:
        InputError: another kind of model; as :func:`open_model`.
    """
    return as_nddo(open_model(name))


def as_nddo(model: AbstractModel) -> NDDO:
    """The model, which must be a method or a hybrid.

    Raises:
        InputError: another kind of model, which has no orbitals.
    """
    if not isinstance(model, NDDO):
        raise InputError(
            f"expected a method or a hybrid; {model.name}, of the class {type(model).__name__}, is neither"
        )
    return model
