"""NNP: the Behler–Parrinello potential, element networks on scaled symmetry functions, energies summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast, final

import torch
from torch import Tensor, nn

from bp_descriptors import Pairs, Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from nddo_ml.core.committee import ClosedCommittee
from nddo_ml.derivatives import gradient
from nddo_ml.elements import number_of, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models import n2p2
from nddo_ml.models.base import AbstractModel, Capabilities, Request
from nddo_ml.models.extrapolation import ExtrapolationError, SystemExtrapolation, extrapolations
from nddo_ml.models.n2p2_settings import read_settings
from nddo_ml.models.nnp_sums import summed
from nddo_ml.models.prediction import Prediction
from nddo_ml.models.term_energies import with_terms
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm, terms_from_config, terms_to_config
from nddo_ml.units import HARTREE_EV

ENERGY_UNITS: Mapping[str, float] = {"hartree": HARTREE_EV, "ev": 1.0}


@final
class NNP(AbstractModel):
    """E = Σ_i [E_ref(Z_i) + s ⟨N_Z(G_i)⟩] + terms, ⟨ ⟩ the mean over a committee of sets of element networks.

    Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007). Periodic cells of any shape; forces, stress and
    per-atom virials are exact derivatives (conventions in :mod:`nddo_ml.derivatives`). In training mode
    results keep their graph to the weights; in evaluation mode (the default) they are plain numbers. A committee
    gives its spread as well; set ``spread = False`` for dynamics, where one derivative is then enough.

    Args:
        functions: the symmetry functions.
        scaler: their centring and scaling, with the ranges for the extrapolation report.
        members: the committee, at least one.
        reference_energies: eV by atomic number; those of an isolated atom or fitted.
        energy_scale: s, eV; what one unit of the networks' output is worth.
        extrapolation_margin: raise ExtrapolationError when a symmetry function leaves its range by more than
            this fraction of the range's width; None never raises.
        terms: energy terms beside the networks, such as ``DispersionD3()`` or ``ScreenedRepulsionZBL()``.
        ignore_charge_and_spin: whether ions and radicals are treated as if they were neutral singlets; else they are
            refused.

    Raises:
        InputError: no member, or an element without a network or reference energy.
    """

    periodic = True
    reference_energies: Tensor  # [120] eV by atomic number
    energy_scale: Tensor  # eV

    def __init__(
        self,
        functions: SymmetryFunctions,
        scaler: Scaler,
        members: Sequence[ElementNetworks],
        reference_energies: Mapping[int, float],
        *,
        energy_scale: float = 1.0,
        extrapolation_margin: float | None = None,
        terms: Sequence[EnergyTerm] = (),
        ignore_charge_and_spin: bool = False,
        name: str = "NNP",
    ) -> None:
        super().__init__()
        numbers = [number_of(s) for s in functions.elements]
        if not members:
            raise InputError("a potential needs at least one set of element networks; got none")
        lacking = [z for z in numbers if z not in reference_energies or any(z not in m.shapes for m in members)]
        if lacking:
            raise InputError(f"element {symbol_of(lacking[0])} has no network or no reference energy")
        self.name = name
        self.elements = frozenset(numbers)
        self.functions = functions
        self.scaler = scaler
        self.members = nn.ModuleList(members)
        self.extrapolation_margin = extrapolation_margin
        energies = torch.zeros(120, dtype=torch.float64)
        for z, energy in reference_energies.items():
            energies[z] = energy
        self.register_buffer("reference_energies", energies)
        self.register_buffer("energy_scale", torch.tensor(energy_scale, dtype=torch.float64))
        self.terms = tuple(terms)
        self.ignore_charge_and_spin = ignore_charge_and_spin
        self.spread = True
        self._closed = ClosedCommittee(functions, scaler, self.networks)
        self.card = {}
        self.eval()

    @property
    def cutoff(self) -> float:
        """Distance in Å beyond which atoms do not interact."""
        return self.functions.cutoff

    @property
    def networks(self) -> list[ElementNetworks]:
        """The committee's members."""
        return [cast(ElementNetworks, member) for member in self.members]

    @property
    def capabilities(self) -> Capabilities:
        """See the base class."""
        # an energy term has no unique share of each atom
        shared = [] if self.terms else ["atomic_energies", "virials"]
        spread = ["energy_spread", "forces_spread"] if self._gives_spread else []
        return Capabilities(
            self.elements,
            periodic=True,
            charge=False,
            spin=False,
            properties=frozenset(["energy", "forces", "stress", *shared, *spread]),
            training_range=True,
            data_zero=True,
        )

    @property
    def _gives_spread(self) -> bool:
        return self.spread and len(self.members) > 1 and not self.training

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """Energies [systems] eV; forces [atoms, 3] eV/Å, stress [systems, 3, 3] eV/Å³ and virials if asked.

        Raises:
            InputError: as from a call; a stress without a cell volume.
            ExtrapolationError: see ``extrapolation_margin``.
        """
        wanted_graph = self.training or systems.positions.requires_grad or systems.cell.requires_grad
        keep_graph = wanted_graph and torch.is_grad_enabled()
        closed = not keep_graph and self.energy_scale.dtype == torch.float64 and self._closed.serves(systems.positions)
        way = self._in_closed_form if closed else self._by_graph
        energies, gradients, failed, pairs, vectors = way(systems, request, keep_graph=keep_graph)
        with torch.set_grad_enabled(keep_graph):
            prediction = summed(
                systems, energies, gradients, pairs, vectors, stress=request.stress, spread=self._gives_spread
            )
        if self.terms:
            prediction = with_terms(prediction, self.terms, systems, keep_graph=keep_graph)
        prediction = prediction if keep_graph else prediction.detached()
        return prediction.masked(failed, systems.system_idx) if failed is not None else prediction

    def _by_graph(
        self, systems: Systems, request: Request, *, keep_graph: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Pairs, Tensor]:
        """Energies [members, atoms], derivatives by the vectors, failed systems, pairs and vectors, by torch."""
        differentiate = request.forces or request.stress
        with torch.set_grad_enabled(keep_graph or differentiate):
            pairs, vectors = self._neighbors(systems)
            if differentiate and not vectors.requires_grad:
                vectors = vectors.requires_grad_()
            features = self.functions(systems.numbers, vectors, pairs)
            failed = self._beyond_margin(features, systems, request.on_failure)
            energies = self.member_energies(self.scaler(features, systems.numbers), systems.numbers)
            gradients = None
            if differentiate:
                wanted = energies if self._gives_spread else energies.mean(0, keepdim=True)
                retain = keep_graph or len(wanted) > 1
                slopes = [gradient(e, [vectors], create_graph=keep_graph, retain_graph=retain) for e in wanted]
                gradients = torch.stack([slope for (slope,) in slopes])
        return energies, gradients, failed, pairs, vectors

    def _in_closed_form(
        self, systems: Systems, request: Request, *, keep_graph: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Pairs, Tensor]:
        """The same by the compiled core, without a graph."""
        assert not keep_graph
        slopes = ("members" if self._gives_spread else "mean") if request.forces or request.stress else None
        with torch.no_grad():
            pairs, vectors = self._neighbors(systems)
            features, around = self._closed.features(systems.numbers, vectors, pairs)
            failed = self._beyond_margin(features, systems, request.on_failure)
            outputs, found = self._closed.outputs(systems.numbers, features, vectors, around, slopes=slopes)
            energies = self.reference_energies[systems.numbers] + self.energy_scale * outputs
            return energies, None if found is None else self.energy_scale * found, failed, pairs, vectors

    def member_energies(self, scaled: Tensor, numbers: Tensor) -> Tensor:
        """Atomic energies [members, atoms] eV of scaled features [atoms, F]; ``scaled`` keeps its graph."""
        dtype = self.energy_scale.dtype
        outputs = torch.stack([member(scaled.to(dtype), numbers).squeeze(1) for member in self.networks])
        return self.reference_energies[numbers] + self.energy_scale * outputs

    def extrapolation(self, systems: Systems, margin: float = 0.0) -> list[SystemExtrapolation]:
        """Every symmetry function outside its range in the training data, by system and atom.

        Raises:
            InputError: an element the model does not know.
        """
        self.check_elements(systems)
        with torch.no_grad():
            pairs, vectors = self._neighbors(systems)
            return extrapolations(self.scaler, self.functions(systems.numbers, vectors, pairs), systems, margin)

    @classmethod
    def committee(cls, models: Sequence[Self], name: str | None = None) -> Self:
        """One model of several that share symmetry functions, scaling, reference energies and energy terms.

        Raises:
            InputError: models that differ in these.
        """
        first = models[0]
        for model in models[1:]:
            alike = (model.functions.to_dict(), model.terms) == (first.functions.to_dict(), first.terms)
            same = alike and all(
                torch.equal(value, first.state_dict()[key])
                for key, value in model.state_dict().items()
                if not key.startswith("members.")
            )
            if not same:
                raise InputError(
                    "a committee's members must share symmetry functions, scaling, reference energies and terms"
                )
        merged = cls.from_config(
            {**first.to_config(), "members": [m for x in models for m in x.to_config()["members"]]}
        )
        state = {k: v for k, v in first.state_dict().items() if not k.startswith("members.")}
        members = [member for model in models for member in model.networks]
        for k, member in enumerate(members):
            state.update({f"members.{k}.{key}": value for key, value in member.state_dict().items()})
        merged.load_state_dict(state)
        merged.name = name or first.name
        return merged

    def extra_repr(self) -> str:
        """Of what it is made, on one line."""
        made = [f"committee of {len(self.members)}"] * (len(self.members) > 1)
        return " with ".join([*made, *(type(term).__name__ for term in self.terms)])

    def to_config(self) -> dict[str, Any]:
        """Plain data from which :meth:`from_config` builds a model that takes the same ``state_dict``."""
        return {
            "name": self.name,
            "functions": self.functions.to_dict(),
            "scaler": self.scaler.to_dict(),
            "members": [
                {symbol_of(z): shape.to_dict() for z, shape in member.shapes.items()} for member in self.networks
            ],
            "extrapolation_margin": self.extrapolation_margin,
            "terms": terms_to_config(self.terms),
            "ignore_charge_and_spin": self.ignore_charge_and_spin,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A model of this configuration with weights not yet set.

        Raises:
            InputError: not a configuration of :meth:`to_config`.
        """
        try:
            functions = SymmetryFunctions.from_dict(config["functions"])
            statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
            scaler = Scaler(functions, statistics, **config["scaler"])
            members = [
                ElementNetworks({number_of(s): NetworkShape.from_dict(d) for s, d in member.items()}, seed=0)
                for member in config["members"]
            ]
            return cls(
                functions,
                scaler,
                members,
                {number_of(s): 0.0 for s in functions.elements},
                extrapolation_margin=config["extrapolation_margin"],
                terms=terms_from_config(config.get("terms", {})),
                ignore_charge_and_spin=config.get("ignore_charge_and_spin", False),
                name=config["name"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the configuration of a potential: {error}") from None

    @classmethod
    def from_n2p2(
        cls,
        folder: str | Path,
        length_unit: str = "bohr",
        energy_unit: str = "hartree",
        name: str | None = None,
    ) -> Self:
        """Read an n2p2 potential: input.nn, scaling.data and weights.*.data of a folder.

        ``length_unit`` ("bohr" or "angstrom") and ``energy_unit`` ("hartree" or "eV") are those of the files.

        Raises:
            InputError: a missing or unreadable file, or something that the format does not allow.
        """
        folder = Path(folder)
        unit = _energy_unit(energy_unit)
        settings = read_settings(folder / "input.nn")
        try:
            functions = SymmetryFunctions.from_n2p2(folder / "input.nn", length_unit)
            scaler = n2p2.read_scaler(settings, functions)
            shapes = {z: n2p2.network_shape(settings, z, functions.features_of(z)) for z in settings.elements}
        except (ValueError, OSError) as error:
            raise InputError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from None
        networks = ElementNetworks(shapes, seed=0)
        for z in settings.elements:
            n2p2.read_weights(folder / f"weights.{z:03d}.data", networks.of(z))
        reference = {z: (settings.atom_energy[z] + settings.mean_energy) * unit for z in settings.elements}
        scale = unit / settings.conv_energy
        return cls(functions, scaler, [networks], reference, energy_scale=scale, name=name or folder.resolve().name)

    def to_n2p2(self, folder: str | Path, length_unit: str = "bohr", energy_unit: str = "hartree") -> None:
        """Write input.nn, scaling.data and weights.*.data; a committee into folders member_1, member_2 …

        Raises:
            InputError: something that n2p2 does not have (see :mod:`nddo_ml.models.n2p2`).
        """
        if self.terms:
            raise InputError(f"n2p2 has no energy terms beside its networks; {self.name} has some")
        folder = Path(folder)
        unit = _energy_unit(energy_unit)
        targets = [folder] if len(self.members) == 1 else [folder / f"member_{k + 1}" for k in range(len(self.members))]
        reference = {z: float(self.reference_energies[z]) / unit for z in sorted(self.elements)}
        for target, member in zip(targets, self.networks, strict=True):
            n2p2.write_potential(
                target,
                self.functions,
                self.scaler,
                member,
                reference,
                float(self.energy_scale) / unit,
                length_unit,
            )

    def _neighbors(self, systems: Systems) -> tuple[Pairs, Tensor]:
        pairs = neighbor_list(systems.positions, self.cutoff, systems.system_idx, systems.cell, systems.pbc)
        return pairs, pair_vectors(systems.positions, pairs, systems.system_idx, systems.cell)

    def _beyond_margin(self, features: Tensor, systems: Systems, on_failure: str) -> Tensor | None:
        """Which systems leave the training data's range, [systems] bool; None where nothing is to be masked."""
        if self.extrapolation_margin is None:
            return None
        report = extrapolations(self.scaler, features.detach(), systems, self.extrapolation_margin)
        if not report:
            return None
        if on_failure == "raise":
            more = f" (and {len(report) - 1} more)" if len(report) > 1 else ""
            raise ExtrapolationError(f"{self.name} extrapolates: {report[0]}{more}", report)
        failed = torch.zeros_like(systems.charge, dtype=torch.bool)
        failed[[entry.system for entry in report]] = True
        return failed

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # the name that files of version 0.1 have
        if prefix + "reference" in state_dict:
            state_dict[prefix + "reference_energies"] = state_dict.pop(prefix + "reference")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _energy_unit(name: str) -> float:
    if name.lower() not in ENERGY_UNITS:
        raise InputError(f"energy_unit must be hartree or eV; got {name!r}")
    return ENERGY_UNITS[name.lower()]
