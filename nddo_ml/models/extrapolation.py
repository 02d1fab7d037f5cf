"""Symmetry functions outside the range that a potential's training data span."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors import Scaler
from nddo_ml.errors import NDDOMLError
from nddo_ml.systems import Systems


class ExtrapolationError(NDDOMLError, RuntimeError):
    """A symmetry function left the range of the training data; ``report`` lists all of them."""

    def __init__(self, message: str, report: list[SystemExtrapolation]) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class SystemExtrapolation:
    """One symmetry function of one atom outside the range that the training data span."""

    system: int
    atom: int  # within the system
    element: str
    function: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"system {self.system}, atom {self.atom} ({self.element}): {self.function} is {self.value:.6g}, "
            f"outside {self.low:.6g} to {self.high:.6g}"
        )


def extrapolations(scaler: Scaler, features: Tensor, systems: Systems, margin: float) -> list[SystemExtrapolation]:
    """Every one of ``features`` [atoms, F], not scaled, more than ``margin`` of its range's width outside it."""
    found, places = [], systems.places
    for e in scaler.extrapolations(features, systems.numbers, margin):
        system = int(systems.system_idx[e.atom])
        found.append(SystemExtrapolation(system, int(places[e.atom]), e.element, e.function, e.value, e.low, e.high))
    return found


def beyond(report: list[SystemExtrapolation], systems: Systems, name: str, on_failure: str) -> Tensor | None:
    """Which systems leave the training data's range, [systems] bool; None where there is none.

    Raises:
        ExtrapolationError: some system does, unless ``on_failure`` is "mask".
    """
    if not report:
        return None
    if on_failure == "raise":
        more = f" (and {len(report) - 1} more)" if len(report) > 1 else ""
        raise ExtrapolationError(f"{name} extrapolates: {report[0]}{more}", report)
    failed = torch.zeros_like(systems.charge, dtype=torch.bool)
    failed[[entry.system for entry in report]] = True
    return failed
