"""NDDO: the self-consistent-field model of the MNDO family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from nddo_ml.derivatives import contracted_gradient
from nddo_ml.elements import atomic_masses, symbol_of
from nddo_ml.energy.adjoint import ResponseOptions, implicit_density
from nddo_ml.energy.core_repulsion import core_repulsion
from nddo_ml.energy.functional import electronic_energy, energy_weights, flat_integrals
from nddo_ml.energy.properties import coulson_charges, dipole_moment
from nddo_ml.errors import InputError
from nddo_ml.hybrid.correction import Correction, Corrections, CorrectionsAt
from nddo_ml.integrals.build import Integrals, build_integrals
from nddo_ml.integrals.layout import OrbitalLayout, build_layout
from nddo_ml.methods.occupation import occupations, open_shells
from nddo_ml.methods.parameters import Method, Parameters, parameters_of
from nddo_ml.methods.tables import load_method
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFOptions, SCFResult, check_converged, merge_results, solve_scf
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm, terms_from_config, terms_of, terms_to_config
from nddo_ml.threads import map_threads

if TYPE_CHECKING:
    from nddo_ml.predictors.cached import Predictor

_LARGE = 80  # atoms from which a single system's matrices are worth sharing among torch's threads
_SMALL_CHUNK = 20_000  # matrix elements below which a chunk is not cut further
_CHEAP_CHUNK = 50_000  # matrix elements up to which padding costs less than one chunk more
_CHUNK_ELEMENTS = 200_000  # matrix elements worked on at once, so that a chunk's matrices stay in the cache


@dataclass(frozen=True)
class _Part:
    """Results of one chunk of systems."""

    systems: Tensor  # [k] indices into the batch's systems
    atoms: Tensor  # [n] indices into the batch's atoms
    scf: SCFResult
    electronic: Tensor  # [k] eV
    core: Tensor  # [k] eV
    energy: Tensor  # [k] eV
    charges: Tensor  # [n] e
    dipole: Tensor  # [k, 3] e·Å
    forces: Tensor | None  # [n, 3] eV/Å
    shift_size: Tensor | None  # [k]


@dataclass(frozen=True)
class Field:
    """What the field of one batch is made of, with its graph."""

    parameters: Parameters
    layout: OrbitalLayout
    integrals: Integrals
    core: Tensor  # [systems] eV
    other: Tensor  # [systems] eV, energies beside the field and the core repulsion


@final
class NDDO(AbstractModel):
    """Self-consistent field with an NDDO method: ``NDDO("AM1")(systems, forces=True)``.

    With corrections it is a hybrid: ``NDDO("AM1", correction=ParameterCorrection(features))``. Results carry a graph
    where ``systems.positions`` requires one, and in training mode to the networks' weights; the density's is that of
    :func:`nddo_ml.energy.adjoint.implicit_density`. Otherwise, and in evaluation mode (the default), they are plain
    numbers.

    Args:
        method: a key of ``nddo_ml.methods.tables.METHODS``, in upper or lower case.
        correction: one or several corrections by networks, applied in order.
        uhf: unrestricted for all systems (True), for none (False), or where the multiplicity exceeds one (None).
        scf: tolerance and limits of the self-consistent field, and which of several solutions is wanted;
            ``SCFOptions(solution="mopac")`` asks for the one that MOPAC finds.
        response: tolerance and limit of the density's response, where a gradient needs it.
        terms: further energy terms, such as ``DispersionD3()``, beside those that the method has of its own; one of a
            class that the method has takes its place.
        name: left out, the method's, with "+NN" for a hybrid.

    Raises:
        InputError: an unknown method; a correction that is none.
    """

    periodic = False

    def __init__(
        self,
        method: str,
        *,
        correction: Correction | Sequence[Correction] = (),
        uhf: bool | None = None,
        scf: SCFOptions | None = None,
        response: ResponseOptions | None = None,
        terms: tuple[EnergyTerm, ...] = (),
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.method: Method = load_method(method)
        self.corrections = Corrections([correction] if isinstance(correction, Correction) else correction)
        self.name = name or self.method.name + ("+NN" if len(self.corrections) else "")
        self.elements = self.corrections.elements(self.method.elements)
        self.uhf = uhf
        self.terms = tuple(terms)
        self.all_terms = terms_of(self.method.name, self.terms)
        self.scf_options = SCFOptions() if scf is None else scf
        self.response_options = ResponseOptions() if response is None else response
        self.card: dict[str, Any] = {}
        self.eval()

    def forward(
        self,
        systems: Systems,
        *,
        forces: bool = False,
        stress: bool = False,
        guess: Tensor | None = None,
        on_failure: str = "raise",
    ) -> Prediction:
        """Energies and properties of a batch, forces where asked for.

        ``E = E_el + E_core`` and ``ΔH_f = E − Σ E_atom + Σ ΔH_atom``; forces are −∂E/∂R at the converged density.

        Args:
            systems: molecules; charge and multiplicity as they say.
            forces: whether to give forces.
            stress: not defined for molecules.
            guess: [systems, spin, M, M] densities to start from, ``scf.density`` of an earlier prediction.
            on_failure: "raise", or "mask": systems whose field does not converge get NaN and ``scf.converged`` False.

        Raises:
            InputError: an element without parameters, a multiplicity that does not fit, a periodic cell.
            SCFConvergenceError: the field did not converge, naming the systems.
        """
        self._check(systems, stress, on_failure)
        n_occupied = occupations(systems, self.method)
        keep_graph = self._keeps_graph(systems)
        chunks = _chunks(systems, self.method, open_shells(systems, self.uhf))
        parts = map_threads(
            lambda index: self._solve(systems, index, n_occupied[index], forces, guess, keep_graph),
            chunks,
            systems.positions.device,
            large=systems.n_atoms > _LARGE,
        )
        scf = merge_results([(part.systems, part.scf) for part in parts], systems.n_systems)
        if on_failure == "raise":
            check_converged(scf)
        return self._prediction(systems, parts, scf)

    def _check(self, systems: Systems, stress: bool, on_failure: str) -> None:
        if on_failure not in ("raise", "mask"):
            raise InputError(f'on_failure must be "raise" or "mask"; got {on_failure!r}')
        periodic = torch.nonzero(systems.pbc.any(dim=1)).squeeze(1).tolist()
        if periodic or stress:
            where = f"system {periodic[0]} is periodic" if periodic else "stress was asked for"
            raise InputError(f"{where}: {self.name} treats molecules only; expected pbc = False and stress = False")
        self.check_elements(systems)

    def _keeps_graph(self, systems: Systems) -> bool:
        trained = self.training and any(p.requires_grad for p in self.corrections.parameters())
        return torch.is_grad_enabled() and (systems.positions.requires_grad or trained)

    def _solve(
        self,
        batch: Systems,
        index: Tensor,
        n_occupied: Tensor,
        forces: bool,
        guess: Tensor | None,
        keep_graph: bool,
    ) -> _Part:
        systems, atoms = batch.select_with_atoms(index)
        if bool((open_shells(systems, self.uhf) == 0).all()):
            n_occupied = n_occupied[:, :1]
        if forces and not systems.positions.requires_grad:
            systems = systems.with_positions(systems.positions.detach().requires_grad_())
        positions = systems.positions
        with torch.set_grad_enabled(keep_graph or forces):
            corrections = self.corrections.at(systems)
            field = self._field(systems, corrections)
            integrals, layout, parameters = field.integrals, field.layout, field.parameters
            builder = FockBuilder.from_integrals(integrals)
            start = _slice(guess, index, n_occupied, layout.size)
            scf = solve_scf(builder, parameters.shell_populations, n_occupied, self.scf_options, start)
            density = scf.density
            if keep_graph:
                density = implicit_density(integrals, builder, scf, self.response_options, index)
            weights = energy_weights(integrals, density)
            electronic = electronic_energy(integrals, weights.detached())
            force = None
            if forces:
                rest = (field.core + field.other).sum()
                outputs, factors = [*flat_integrals(integrals), rest], [*weights.flat, torch.ones_like(rest)]
                force = -contracted_gradient(outputs, factors, positions, create_graph=keep_graph)
        with torch.set_grad_enabled(keep_graph):
            total = 2 * density[:, 0] if density.shape[1] == 1 else density.sum(dim=1)
            charges = coulson_charges(layout, parameters, total)
            masses = atomic_masses(systems.numbers, positions.dtype)
            dipole = dipole_moment(layout, parameters, total, positions, charges, masses)
        energies = (electronic, field.core, electronic + field.core + field.other)
        electronic, core, energy = (t if keep_graph else t.detach() for t in energies)
        size = corrections.shift_size() if keep_graph and self.training else None
        return _Part(index, atoms, scf, electronic, core, energy, charges, dipole, force, size)

    def field(self, systems: Systems) -> Field:
        """Parameters, integrals and energies beside the field, corrected, with their graph."""
        return self._field(systems, self.corrections.at(systems))

    def _field(self, systems: Systems, corrections: CorrectionsAt) -> Field:
        parameters = corrections.shifted(self.parameters_of(systems))
        layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
        factors = corrections.pair_factors(layout)
        resonance = [None if f is None else f.resonance for f in factors]
        repulsion = [None if f is None else f.core for f in factors]
        integrals = build_integrals(systems.positions, layout, parameters, resonance)
        core = core_repulsion(systems.numbers, parameters, self.method, integrals, repulsion)
        other = corrections.energy()
        for term in self.all_terms:
            other = other + term.energy(systems)
        return Field(parameters, layout, integrals, core, other)

    def _prediction(self, systems: Systems, parts: list[_Part], scf: SCFResult) -> Prediction:
        def of_systems(name: str) -> Tensor:
            values = torch.cat([getattr(part, name) for part in parts])
            order = torch.cat([part.systems for part in parts])
            value = torch.empty_like(values).index_copy(0, order, values)
            return torch.where(scf.converged.view(-1, *(1,) * (value.ndim - 1)), value, torch.nan)

        def of_atoms(name: str) -> Tensor | None:
            if getattr(parts[0], name) is None:
                return None
            values = torch.cat([getattr(part, name) for part in parts])
            order = torch.cat([part.atoms for part in parts])
            value = torch.empty_like(values).index_copy(0, order, values)
            good = scf.converged[systems.system_idx].view(-1, *(1,) * (value.ndim - 1))
            return torch.where(good, value, torch.nan)

        energy = of_systems("energy")
        z = systems.numbers
        reference = (
            self.method.heat_of_atomization - self.method.isolated_energy * self.method.constants.ev_kcal_mol
        ).to(energy)[z]
        heat = (energy * self.method.constants.ev_kcal_mol).index_add(0, systems.system_idx, reference)
        return Prediction(
            energy=energy,
            electronic_energy=of_systems("electronic"),
            core_energy=of_systems("core"),
            heat_of_formation=heat,
            forces=of_atoms("forces"),
            charges=of_atoms("charges"),
            dipole=of_systems("dipole"),
            shift_size=None if parts[0].shift_size is None else of_systems("shift_size"),
            scf=scf,
        )

    def parameters_of(self, systems: Systems) -> Parameters:
        """The parameters that the method, without corrections, gives these atoms."""
        return parameters_of(systems, self.method)

    def with_corrections(self, corrections: Sequence[Correction], name: str | None = None) -> NDDO:
        """The same method, settings and energy terms with other corrections."""
        return NDDO(
            self.method.name,
            correction=corrections,
            uhf=self.uhf,
            scf=self.scf_options,
            response=self.response_options,
            terms=self.terms,
            name=name,
        )

    def predictor(self, systems: Systems, forces: Tensor, stress: Tensor) -> Predictor:
        """How training asks for structures of ``systems``: each starts from its last density, or, where only atomic
        energies are trained, from the results of the field that stays."""
        from nddo_ml.predictors.frozen_field import FrozenField
        from nddo_ml.training.build_hybrid import WarmStarts

        return FrozenField(self, systems, forces) if FrozenField.serves(self) else WarmStarts(self, systems)

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` builds the same model with new weights.

        Raises:
            InputError: an energy term that cannot be saved.
        """
        return {
            "method": self.method.name,
            "name": self.name,
            "uhf": self.uhf,
            "scf": asdict(self.scf_options),
            "response": asdict(self.response_options),
            "terms": terms_to_config(self.terms),
            "corrections": self.corrections.to_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NDDO:
        """A model of the configuration, its weights yet to be loaded.

        Raises:
            InputError: not a configuration of :meth:`to_config`.
        """
        try:
            corrections = Corrections.from_config(config["corrections"])
            return cls(
                config["method"],
                correction=[*corrections],
                uhf=config["uhf"],
                scf=SCFOptions(**config["scf"]),
                response=ResponseOptions(**config["response"]),
                terms=terms_from_config(config["terms"]),
                name=config["name"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the configuration of a method: {error}") from None

    def extra_repr(self) -> str:
        return f"{self.name!r}, {len(self.elements)} elements ({symbol_of(min(self.elements))} …)"


def _slice(guess: Tensor | None, index: Tensor, n_occupied: Tensor, size: int) -> Tensor | None:
    if guess is None:
        return None
    if guess.ndim != 4:
        raise InputError(f"a starting density must have shape [systems, spin, M, M]; got {list(guess.shape)}")
    chosen = guess[index, :, :size, :size]
    return chosen[:, :1] if n_occupied.shape[1] == 1 else chosen.expand(-1, 2, -1, -1)


def _chunks(systems: Systems, method: Method, open_shell: Tensor) -> list[Tensor]:
    """Indices of systems that are worked on together: alike in size and spin treatment, small enough for the cache.

    There are at least as many chunks as threads where the work is worth it.
    """
    width = method.width.to(systems.numbers.device)[systems.numbers]
    orbitals = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, width)
    share = int(orbitals.square().sum()) // torch.get_num_threads() + 1
    limit = max(min(_CHUNK_ELEMENTS, share), _SMALL_CHUNK)
    chunks: list[Tensor] = []
    for spin in (False, True):
        chosen = torch.nonzero(open_shell == spin).squeeze(1)
        chosen = chosen[torch.argsort(orbitals[chosen], stable=True)]
        sizes = orbitals[chosen].tolist()
        first = 0
        for k in range(len(sizes)):
            # sizes ascend, so a chunk is padded to its last system
            last = k + 1 == len(sizes)
            longer = 0 if last else (k + 2 - first) * sizes[k + 1] ** 2
            unlike = not last and sizes[k + 1] > 1.3 * sizes[first] + 8
            if last or longer > limit or (unlike and longer > _CHEAP_CHUNK):
                chunks.append(chosen[first : k + 1])
                first = k + 1
    return chunks
