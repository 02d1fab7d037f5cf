"""Modules of version 0.1 under their old names."""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter

import pytest

import nddo_ml
from nddo_ml.moved import MOVED

OLD = {  # names that users of 0.1 may import, by module
    "nddo": ["NDDO", "Field"],
    "density": ["Reference", "reference", "diagonalize"],
    "nnp": ["NNP"],
    "calculator": ["NDDOCalculator"],
    "checkpoint": ["load_model", "open_model", "save_atomically"],
    "dataset": ["Dataset", "take"],
    "hybrid.mixture": ["mixture"],
    "integrals.multipoles": ["Multipoles", "solve_multipoles"],
    "loss": ["errors"],
    "methods": ["METHODS"],
    "models": ["AbstractModel", "Prediction"],
    "scf_loops": ["electronic_energy"],
    "training.readers": ["read_structures"],
    "training.references": ["fit_references"],
    "scf": ["SCFOptions", "SCFResult"],
    "energy": ["electronic_energy"],
    "evaluation": ["tabulate"],
    "optimize": ["optimize"],
    "response": ["vibrations"],
    "train": ["train"],
    "training.predictor": ["Predictor", "predictor_for"],
}


@pytest.mark.parametrize("old", OLD)
def test_old_names_are_found_and_warned_of(old: str) -> None:
    module = import_module(f"nddo_ml.{old}")
    for name in OLD[old]:
        with pytest.warns(DeprecationWarning, match=f"nddo_ml.{old}.{name} is now nddo_ml"):
            getattr(module, name)


def test_every_new_place_exists() -> None:
    for places in MOVED.values():
        for place in places:
            import_module(f"nddo_ml.{place}")


def test_names_that_never_were_are_errors() -> None:
    with pytest.raises(AttributeError, match=r"'nddo_ml\.nddo' has no attribute 'nothing'"):
        attrgetter("nothing")(import_module("nddo_ml.nddo"))
    with pytest.raises(ModuleNotFoundError):
        import_module("nddo_ml.nothing")


def test_the_package_shows_its_public_names() -> None:
    assert set(dir(nddo_ml)) == {*nddo_ml.__all__, "__version__"}
