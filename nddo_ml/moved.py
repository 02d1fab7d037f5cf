"""Modules of version 0.1 under their old names: deep imports go on working for one release, with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from operator import attrgetter
from types import ModuleType
from typing import Any

# Old module -> where its names are now, in the order in which they are looked up.
MOVED: Mapping[str, tuple[str, ...]] = {
    "answers": ("compare.answers",),
    "calculator": ("workflows.calculator",),
    "checkpoint": ("models.saved", "models.open", "storage"),
    "comparison": ("compare.comparison",),
    "comparison_figures": ("compare.figures",),
    "coordinates": ("workflows.coordinates",),
    "core_repulsion": ("energy.core_repulsion",),
    "corrections": ("terms.catalog",),
    "dataset": ("datasets.dataset", "systems"),
    "density": ("scf.density",),
    "dispersion": ("terms.dispersion", "systems"),
    "extrapolation": ("models.extrapolation",),
    "fock": ("scf.fock", "integrals.packing"),
    "fock_kernels": ("scf.fock_kernels",),
    "fragments": ("workflows.fragments",),
    "halogen_bonds": ("terms.halogen_bonds",),
    "hybrid.mixture": ("models.mixture",),
    "hydrogen_bonds": ("terms.hydrogen_bonds",),
    "implicit": ("energy.adjoint",),
    "io": ("structures.read", "structures.structure"),
    "integrals.hcore": ("integrals.build",),
    "integrals.multipoles": ("methods.multipoles", "methods.parameters"),
    "integrals.slater_condon": ("methods.slater_condon",),
    "loss": ("training.loss", "evaluation.residuals"),
    "model_hessian": ("workflows.model_hessian",),
    "n2p2": ("models.n2p2",),
    "nddo": ("models.nddo",),
    "nnp": ("models.nnp",),
    "occupation": ("methods.occupation",),
    "optimize": ("workflows.optimize",),
    "orbitals": ("integrals.layout",),
    "parallel": ("threads",),
    "parameters": ("methods.parameters", "methods.derived"),
    "peptide": ("terms.peptide",),
    "pm6_terms": ("terms.pm6",),
    "properties": ("energy.properties", "scf.density"),
    "report": ("evaluation.figures",),
    "response": ("workflows.response",),
    "scan": ("compare.scan",),
    "scf_loops": ("scf.loop",),
    "scf_search": ("scf.search",),
    "second_order": ("scf.newton",),
    "solids": ("workflows.solids",),
    "train": ("training.run",),
    "training.checks": ("datasets.checks",),
    "training.frozen_field": ("predictors.frozen_field", "training.build_hybrid"),
    "training.geometry": ("datasets.contacts",),
    "training.hybrid": ("training.build_hybrid", "predictors.warm_starts"),
    "training.parallel": ("training.processes",),
    "training.predictor": ("predictors.cached", "predictors.direct", "predictors.choose"),
    "training.readers": ("datasets.readers",),
    "training.references": ("datasets.zeros",),
    "training.stress_order": ("datasets.stress_order",),
}

# Old name -> module and name of what it is called now.
RENAMED: Mapping[str, tuple[str, str]] = {
    "dataset.take": ("systems", "Systems.select_with_atoms"),
    "density.Reference": ("scf.density", "SplitOrbitals"),
    "density.occupied_reference": ("scf.density", "canonical_orbitals"),
    "density.reference": ("scf.density", "split_orbitals"),
    "nddo.Field": ("models.nddo", "Hamiltonian"),
    "scf_loops.electronic_energy": ("scf.loop", "field_energy"),
    "training.readers.read_structures": ("datasets.readers", "read_labelled_frames"),
    "training.references.fit_references": ("datasets.zeros", "fit_zeros"),
}


def names_from(old: str, *new: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that finds names of the module ``old`` in the modules ``new``, with a warning."""

    def find(name: str) -> Any:
        renamed = RENAMED.get(f"{old}.{name}")
        for place, now in [renamed] if renamed else [(place, name) for place in new]:
            module = import_module(f"nddo_ml.{place}")
            if not name.startswith("__") and hasattr(module, now.partition(".")[0]):
                warnings.warn(
                    f"nddo_ml.{old}.{name} is now nddo_ml.{place}.{now}; the old name goes with version 0.3",
                    DeprecationWarning,
                    stacklevel=2,
                )
                return attrgetter(now)(module)
        raise AttributeError(f"module 'nddo_ml.{old}' has no attribute {name!r}")

    return find


class OldModules(MetaPathFinder, Loader):
    """Finds the modules of MOVED; their names come from where they are now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "nddo_ml" and old in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.partition(".")[2]
        vars(module)["__getattr__"] = names_from(old, *MOVED[old])


def install() -> None:
    """Let old names be found, after all that exists."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())
