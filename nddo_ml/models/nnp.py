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
from nddo_ml.electrostatics.model import Electrostatics
from nddo_ml.elements import number_of, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel, Capabilities, Request
from nddo_ml.models.extrapolation import SystemExtrapolation, beyond, extrapolations
from nddo_ml.models.n2p2_potential import Potential, read_potential, write_potential
from nddo_ml.models.nnp_committee import joined
from nddo_ml.models.nnp_sums import AtomicResults, Slopes, summed
from nddo_ml.models.prediction import Prediction
from nddo_ml.models.strained import Strained
from nddo_ml.models.term_energies import pair_terms, with_pair_terms, with_terms
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm, terms_from_config, terms_to_config


@final
class NNP(AbstractModel):
    """E = Σ_i [E_ref(Z_i) + s ⟨N_Z(G_i)⟩] + terms, ⟨ ⟩ the mean over a committee of sets of element networks.

    With ``anchored``, ``N_Z(G_i) − N_Z(0)`` stands for ``N_Z(G_i)``: an atom alone has E_ref exactly. With
    electrostatics the Coulomb energy of its charges is added, and networks may see their atom's charge.

    Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007). Periodic cells of any shape; forces, stress and
    per-atom virials are exact derivatives (conventions in :mod:`nddo_ml.derivatives`). In training mode
    results keep their graph to the weights; in evaluation mode (the default) they are plain numbers. A committee
    gives its spread as well; a call with ``spread=False`` does not, and is as fast as that of one member.

    Args:
        functions: the symmetry functions.
        scaler: their centring and scaling, with the ranges for the extrapolation report.
        members: the committee, at least one.
        reference_energies: eV by atomic number; those of an isolated atom or fitted.
        energy_scale: s, eV; what one unit of the networks' output is worth.
        extrapolation_margin: raise ExtrapolationError when a symmetry function leaves its range by more than
            this fraction of the range's width; None never raises.
        terms: energy terms beside the networks, such as ``DispersionD3()`` or ``ScreenedRepulsionZBL()``.
        electrostatics: charges and their Coulomb energy, with a charge model for each member; None: there are none.
        anchored: whether the reference energies are those of isolated atoms by construction.
        ignore_charge_and_spin: whether ions and radicals are treated as if they were neutral singlets (with
            electrostatics: radicals as singlets); else they are refused.

    Raises:
        InputError: no member, an element without a network or reference energy, or another number of charge models.
    """

    periodic = True
    reference_energies: Tensor  # [120] eV by atomic number
    energy_scale: Tensor  # eV
    _charge_columns: Tensor

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
        electrostatics: Electrostatics | None = None,
        anchored: bool = False,
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
        if electrostatics is not None and len(electrostatics.members) != len(members):
            raise InputError(f"expected {len(members)} charge models, one a member; got {len(electrostatics.members)}")
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
        self.electrostatics = electrostatics
        self.anchored = anchored
        columns = torch.zeros(120, dtype=torch.int64)  # of the charge among a network's inputs
        columns[numbers] = torch.tensor([functions.features_of(z) for z in numbers])
        self.register_buffer("_charge_columns", columns, persistent=False)
        self.ignore_charge_and_spin = ignore_charge_and_spin
        self._closed = ClosedCommittee(functions, scaler, self.networks)
        self.card = {}
        self.eval()

    @property
    def cutoff(self) -> float:
        """Distance in Å beyond which symmetry functions do not see."""
        return self.functions.cutoff

    @property
    def networks(self) -> list[ElementNetworks]:
        """The committee's members."""
        return [cast(ElementNetworks, member) for member in self.members]

    @property
    def capabilities(self) -> Capabilities:
        """See the base class."""
        # an energy term of more than pairs has no unique share of each atom, and a sum over all pairs no virial of each
        whole = [t for t in self.terms if t not in pair_terms(self.terms, torch.tensor([*self.elements]), self.cutoff)]
        shared = [] if whole else ["atomic_energies", *(["virials"] if self.electrostatics is None else [])]
        charges = [] if self.electrostatics is None else ["charges", "dipole"]
        spread = ["energy_spread", "forces_spread"] if self._has_spread else []
        return Capabilities(
            self.elements,
            periodic=True,
            charge=self.electrostatics is not None,
            spin=False,
            properties=frozenset(["energy", "forces", "stress", *shared, *charges, *spread]),
            training_range=True,
            data_zero=True,
        )

    @property
    def parts(self) -> dict[str, list[nn.Parameter]]:
        """See the base class."""
        charges = {} if self.electrostatics is None else {"charges": list(self.electrostatics.parameters())}
        return {"short": list(self.members.parameters()), **charges}

    @property
    def _has_spread(self) -> bool:
        return len(self.members) > 1 and not self.training

    def _wants_spread(self, request: Request) -> bool:
        return request.spread and self._has_spread

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """Energies [systems] eV; forces [atoms, 3] eV/Å, stress [systems, 3, 3] eV/Å³ and virials if asked.

        Raises:
            InputError, ExtrapolationError: as from a call; a stress without a cell volume.
        """
        wanted_graph = self.training or systems.positions.requires_grad or systems.cell.requires_grad
        keep_graph = wanted_graph and torch.is_grad_enabled()
        derivatives = request.forces or request.stress
        numbers, spread = systems.numbers, self._wants_spread(request)
        near = pair_terms(self.terms, numbers, self.cutoff)
        with torch.set_grad_enabled(keep_graph or derivatives):
            pairs, vectors = self._neighbors(systems)
            if not keep_graph and self._has_closed_form(systems):
                features, atoms, slopes = self._in_closed_form(systems, pairs, vectors, request)
            else:
                features, atoms, slopes = self._by_graph(systems, request, pairs, vectors, keep_graph=keep_graph)
            failed = self._outside(features.detach(), systems, request.on_failure)
            if near:
                atoms, slopes = with_pair_terms(atoms, slopes, near, numbers, pairs, vectors, keep_graph=keep_graph)
            prediction = summed(systems, atoms, slopes, pairs, vectors, stress=request.stress, spread=spread)
        if others := [term for term in self.terms if term not in near]:
            prediction = with_terms(prediction, others, systems, keep_graph=keep_graph)
        prediction = prediction if keep_graph else prediction.detached()
        return prediction.masked(failed, systems.system_idx) if failed is not None else prediction

    def _by_graph(
        self, systems: Systems, request: Request, pairs: Pairs, vectors: Tensor, *, keep_graph: bool
    ) -> tuple[Tensor, AtomicResults, Slopes | None]:
        """Symmetry functions [atoms, F], what networks and charges say of atoms, and its derivatives."""
        derivatives, far = request.forces or request.stress, self.electrostatics is not None
        if derivatives and not vectors.requires_grad:
            vectors.requires_grad_()
        features = self.functions(systems.numbers, vectors, pairs)
        apart = Strained.of(systems, forces=derivatives and far, stress=request.stress and far)
        atoms = self.of_atoms(self.scaler(features, systems.numbers), apart.systems)
        if not derivatives:
            return features, atoms, None
        wanted = atoms.energies if self._wants_spread(request) else atoms.energies.mean(0, keepdim=True)
        how = {"create_graph": keep_graph, "retain_graph": keep_graph or len(wanted) > 1}
        return features, atoms, Slopes.stacked([gradient(e, [vectors, *apart.inputs], **how) for e in wanted])

    def _has_closed_form(self, systems: Systems) -> bool:
        plain = self.electrostatics is None and self.energy_scale.dtype == torch.float64
        return plain and self._closed.serves(systems.positions)

    @torch.no_grad()
    def _in_closed_form(
        self, systems: Systems, pairs: Pairs, vectors: Tensor, request: Request
    ) -> tuple[Tensor, AtomicResults, Slopes | None]:
        """The same by the compiled core, without a graph."""
        wanted: str | None = None
        if request.forces or request.stress:
            wanted = "members" if self._wants_spread(request) else "mean"
        features, around = self._closed.features(systems, vectors, pairs)
        outputs, found = self._closed.outputs(systems, features, vectors, around, slopes=wanted)
        if self.anchored:
            outputs = outputs - self.alone(systems.numbers)
        energies = self.reference_energies[systems.numbers] + self.energy_scale * outputs
        return features, AtomicResults(energies), None if found is None else Slopes(self.energy_scale * found)

    def _outside(self, features: Tensor, systems: Systems, on_failure: str) -> Tensor | None:
        """Which systems leave the training data's range, [systems] bool; None where nothing is to be masked."""
        if self.extrapolation_margin is None:
            return None
        report = extrapolations(self.scaler, features, systems, self.extrapolation_margin)
        return beyond(report, systems, self.name, on_failure)

    def of_atoms(self, scaled: Tensor, systems: Systems) -> AtomicResults:
        """Atomic energies and charges of every member from scaled features [atoms, F]; both arguments keep their graph.

        Raises:
            InputError: what the electrostatics refuse.
        """
        numbers, scaled = systems.numbers, scaled.to(self.energy_scale.dtype)
        far = None if self.electrostatics is None else self.electrostatics(scaled, systems)
        inputs = [scaled] * len(self.members)
        if self.electrostatics is not None and far is not None and self.electrostatics.as_inputs:
            inputs = [self._with_charges(scaled, numbers, q) for q in far.charges]
        outputs = torch.stack([m(x, numbers).squeeze(1) for m, x in zip(self.networks, inputs, strict=True)])
        if self.anchored:
            outputs = outputs - self.alone(numbers)
        energies = self.reference_energies[numbers] + self.energy_scale * outputs
        return AtomicResults(energies) if far is None else AtomicResults(energies + far.energies, far.charges)

    def alone(self, numbers: Tensor) -> Tensor:
        """What the networks say of neutral atoms without neighbours, [members, atoms]."""
        elements, place = torch.unique(numbers, return_inverse=True)
        nothing = self.energy_scale.new_zeros(len(elements), self.functions.n_features)
        scaled = self._with_charges(self.scaler(nothing, elements), elements, nothing[:, 0])
        return torch.stack([member(scaled, elements).squeeze(1)[place] for member in self.networks])

    def _with_charges(self, scaled: Tensor, numbers: Tensor, charges: Tensor) -> Tensor:
        """Features with each atom's charge behind those that its element has."""
        return nn.functional.pad(scaled, (0, 1)).scatter(1, self._charge_columns[numbers][:, None], charges[:, None])

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
        """One model of several that share all but the weights of their networks.

        Raises:
            InputError: models that differ in more.
        """
        config, state = joined(models)
        merged = cls.from_config(config)
        merged.load_state_dict(state)
        merged.name = name or models[0].name
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
            "electrostatics": None if self.electrostatics is None else self.electrostatics.to_config(),
            "anchored": self.anchored,
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
                electrostatics=Electrostatics.from_config(far) if (far := config.get("electrostatics")) else None,
                anchored=config.get("anchored", False),
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
        """Read an n2p2 potential; see :func:`~nddo_ml.models.n2p2_potential.read_potential`.

        Raises:
            InputError: a missing or unreadable file, or something that the format does not allow.
        """
        made = read_potential(Path(folder), length_unit, energy_unit)
        return cls(
            made.functions,
            made.scaler,
            [made.networks],
            made.reference_energies,
            energy_scale=made.energy_scale,
            electrostatics=made.electrostatics,
            name=name or Path(folder).resolve().name,
        )

    def to_n2p2(self, folder: str | Path, length_unit: str = "bohr", energy_unit: str = "hartree") -> None:
        """Write input.nn, scaling.data and weights.*.data; a committee into folders member_1, member_2 …

        Raises:
            InputError: something that n2p2 does not have (see :mod:`nddo_ml.models.n2p2`).
        """
        if self.terms:
            raise InputError(f"n2p2 has no energy terms beside its networks; {self.name} has some")
        several = len(self.members) > 1
        for k, member in enumerate(self.networks):
            zeros = self.reference_energies
            if self.anchored:
                elements = torch.tensor(sorted(self.elements), device=zeros.device)
                zeros = zeros.index_add(0, elements, -self.energy_scale * self.alone(elements)[k].detach())
            one = Potential(
                self.functions,
                self.scaler,
                member,
                {z: float(zeros[z]) for z in sorted(self.elements)},
                float(self.energy_scale),
                self.electrostatics,
            )
            target = Path(folder, f"member_{k + 1}") if several else Path(folder)
            write_potential(target, one, k, length_unit, energy_unit)

    def _neighbors(self, systems: Systems) -> tuple[Pairs, Tensor]:
        pairs = neighbor_list(systems.positions, self.cutoff, systems.system_idx, systems.cell, systems.pbc)
        return pairs, pair_vectors(systems.positions, pairs, systems.system_idx, systems.cell)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # the name that files of version 0.1 have
        if prefix + "reference" in state_dict:
            state_dict[prefix + "reference_energies"] = state_dict.pop(prefix + "reference")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
