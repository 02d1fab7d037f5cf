"""NDDO: the self-consistent-field model of the MNDO family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, final

import torch
from torch import Tensor

from nddo_ml.core.closed import ClosedCorrections
from nddo_ml.energy.adjoint import ResponseOptions
from nddo_ml.environments.embedding import Environment
from nddo_ml.errors import InputError
from nddo_ml.hybrid.catalog import corrections_from_config
from nddo_ml.hybrid.correction import Correction, Corrections
from nddo_ml.methods.occupation import occupations, open_shells
from nddo_ml.methods.parameters import Method, Parameters, parameters_of
from nddo_ml.methods.tables import load_method
from nddo_ml.models.base import AbstractModel, Capabilities, Request
from nddo_ml.models.by_torch import solved_by_torch
from nddo_ml.models.chunks import BatchResult, ChunkResult, chunks_of
from nddo_ml.models.compiled import Recipe, Share, solved_by_core
from nddo_ml.models.hamiltonian import Hamiltonian, build_hamiltonian
from nddo_ml.models.prediction import Prediction
from nddo_ml.scf.solve import SCFOptions, check_converged
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm, terms_from_config, terms_of, terms_to_config
from nddo_ml.threads import map_threads

_PROPERTIES = frozenset(
    {"energy", "electronic_energy", "core_energy", "heat_of_formation", "forces", "charges", "dipole"}
)
_SPREADS = frozenset({"energy_spread", "atomic_spread"})
_LARGE = 80  # atoms from which a single system's matrices are worth sharing among torch's threads


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
        environment: as :meth:`surround`, such as ``UniformField.of((0, 0, 0.1))``, unless a call has another.
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
        environment: Environment | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.method: Method = load_method(method)
        self.corrections = Corrections([correction] if isinstance(correction, Correction) else correction)
        self.name = name or self.method.name + ("+NN" if len(self.corrections) else "")
        self.elements = self.corrections.elements(self.method.elements)
        self.uhf = uhf
        self.terms = tuple(terms)
        self.surround(environment)
        self.all_terms = terms_of(self.method.name, self.terms)
        self.scf_options = SCFOptions() if scf is None else scf
        self.response_options = ResponseOptions() if response is None else response
        self.card: dict[str, Any] = {}
        self._closed = ClosedCorrections(self.corrections) if len(self.corrections) else None
        self.eval()

    @property
    def capabilities(self) -> Capabilities:
        """See the base class."""
        return Capabilities(
            self.elements,
            periodic=False,
            charge=True,
            spin=True,
            properties=_PROPERTIES | (_SPREADS if self.corrections.committee else frozenset()),
            density=True,
            environment=True,
            unrestricted=True,
        )

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """Energies and properties of a batch, forces where asked for.

        ``E = E_el + E_core`` and ``ΔH_f = E − Σ E_atom + Σ ΔH_atom``; forces are −∂E/∂R at the converged density.

        Raises:
            InputError: a multiplicity that does not fit; as from a call.
            SCFConvergenceError: the field did not converge, naming the systems.
        """
        keep_graph = self._keeps_graph(systems)
        n_occupied, open_shell = systems.kept((self.method.name, self.uhf), lambda: self._spins(systems))
        chunks: list[ChunkResult] = []
        left = torch.ones_like(open_shell)
        if not keep_graph:
            chunks = self._by_core(systems, n_occupied, open_shell, request)
            for chunk in chunks:
                left[chunk.systems] = False
        if bool(left.any()):
            around = request.environment
            beside = None if around is None else around.elements(systems.atoms_per_system)
            chunks += map_threads(
                lambda index: solved_by_torch(
                    systems,
                    index,
                    self._recipe,
                    n_occupied[index],
                    open_shell[index],
                    request,
                    keep_graph=keep_graph,
                    training=self.training,
                ),
                chunks_of(systems, self.method, open_shell, left, beside),
                systems.positions.device,
                large=systems.n_atoms > _LARGE,
            )
        result = BatchResult.of(chunks, systems)
        if request.on_failure == "raise":
            check_converged(result.scf)
        sites = None if request.environment is None else request.environment.positions
        found = self._prediction(systems, result, len(sites) if request.forces and sites is not None else None)
        return found if request.spread else replace(found, energy_spread=None, atomic_spread=None)

    def _spins(self, systems: Systems) -> tuple[Tensor, Tensor]:
        """Electrons of both spins, [systems, 2], and which systems are unrestricted."""
        return occupations(systems, self.method), open_shells(systems, self.uhf)

    def _by_core(self, systems: Systems, n_occupied: Tensor, open_shell: Tensor, request: Request) -> list[ChunkResult]:
        """The results of those systems that the compiled core takes, if any."""
        share = Share.of(systems, self.method, self.scf_options, open_shell)
        if share is None:
            return []
        recipe = self._recipe

        def solved(part: Share) -> ChunkResult:
            forces, start, around = request.forces, request.start, request.environment
            found = systems, part, recipe, n_occupied, open_shell
            return solved_by_core(*found, forces=forces, start=start, environment=around)

        return map_threads(solved, share.parts(systems, request.environment), systems.positions.device, large=True)

    @property
    def _recipe(self) -> Recipe:
        options = self.scf_options, self.response_options
        return Recipe(self.method, self.corrections, self._closed, self.all_terms, *options)

    def _keeps_graph(self, systems: Systems) -> bool:
        trained = self.training and any(p.requires_grad for p in self.corrections.parameters())
        return torch.is_grad_enabled() and (systems.positions.requires_grad or trained)

    def hamiltonian(self, systems: Systems) -> Hamiltonian:
        """Parameters, integrals and energies beside the field, corrected, with their graph."""
        around = None if self.environment is None else self.environment.over(systems.n_systems)
        return build_hamiltonian(systems, self.method, self.corrections.at(systems), self.all_terms, around)

    def _prediction(self, systems: Systems, result: BatchResult, n_sites: int | None) -> Prediction:
        energy = result.of_systems("energy")
        zero = systems.kept(("heat", self.method.name, energy.dtype), lambda: self._heat_of_atoms(systems).to(energy))
        return Prediction(
            energy=energy,
            electronic_energy=result.of_systems("electronic"),
            core_energy=result.of_systems("core"),
            heat_of_formation=energy * self.method.constants.ev_kcal_mol + zero,
            forces=result.of_atoms("forces") if result.has("forces") else None,
            charges=result.of_atoms("charges"),
            dipole=result.of_systems("dipole"),
            shift_size=result.of_systems("shift_size") if result.has("shift_size") else None,
            energy_spread=result.of_systems("energy_spread") if result.has("energy_spread") else None,
            atomic_spread=result.of_atoms("atomic_spread") if result.has("atomic_spread") else None,
            environment_forces=None if n_sites is None else result.of_sites(n_sites),
            scf=result.scf,
        )

    def _heat_of_atoms(self, systems: Systems) -> Tensor:
        """``Σ ΔH_atom − Σ E_atom``, [systems] kcal/mol: what makes an energy a heat of formation."""
        zeros = self.method.heat_of_atomization - self.method.isolated_energy * self.method.constants.ev_kcal_mol
        of_atoms = zeros.to(systems.numbers.device)[systems.numbers]
        return of_atoms.new_zeros(systems.n_systems).index_add(0, systems.system_idx, of_atoms)

    def parameters_of(self, systems: Systems) -> Parameters:
        """The parameters that the method, without corrections, gives these atoms."""
        return parameters_of(systems, self.method)

    def ground_state_multiplicity(self, number: int) -> int:
        """That of the atom, or where the method keeps open shells in the core, that of its valence by Hund's rule."""
        of_atom = super().ground_state_multiplicity(number)
        electrons = int(self.method.core_charge[number])
        holds = 2 * int(self.method.width[number])
        if of_atom - 1 <= min(electrons, holds - electrons) and (of_atom - 1 - electrons) % 2 == 0:
            return of_atom
        valence = self.method.occupation[number].tolist()
        return 1 + round(sum(min(n, 2 * orbitals - n) for n, orbitals in zip(valence, (1, 3, 5), strict=True)))

    def unrestrict(self) -> None:
        """See the base class."""
        self.uhf = True

    def surround(self, environment: Environment | None) -> None:
        """See the base class."""
        if environment is not None and not environment.alike:
            raise InputError("a model's environment is the same for every system; expected one without system_idx")
        self.environment = environment

    def seek(self, solution: str) -> None:
        """See the base class."""
        self.scf_options = replace(self.scf_options, solution=solution, probe=None)

    @property
    def parent(self) -> NDDO | None:
        """The published method of a hybrid; None for a method."""
        if not len(self.corrections):
            return None
        made = NDDO(self.method.name, uhf=self.uhf, scf=self.scf_options, response=self.response_options)
        made.surround(self.environment)
        return made

    def with_corrections(self, corrections: Sequence[Correction], name: str | None = None) -> NDDO:
        """The same method, settings and energy terms with other corrections."""
        return NDDO(
            self.method.name,
            correction=corrections,
            uhf=self.uhf,
            scf=self.scf_options,
            response=self.response_options,
            terms=self.terms,
            environment=self.environment,
            name=name,
        )

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` builds the same model with new weights, without its surroundings.

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
            corrections = corrections_from_config(config["corrections"])
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
        """Of what it is made, on one line."""
        made = dict.fromkeys(type(part).__name__ for part in (*self.corrections, *self.terms))
        return f"{self.method.name} with {' and '.join(made)}" if made else ""
