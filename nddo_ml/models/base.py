"""The protocol of models: what every one is asked, says and can do."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nddo_ml.elements import ground_state_multiplicity, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models.extrapolation import SystemExtrapolation
from nddo_ml.models.prediction import Prediction
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm
from nddo_ml.threads import alone_after_fork

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.environments.embedding import Environment

__all__ = ["AbstractModel", "Capabilities", "Prediction", "Request"]

_SHOWN = 8  # elements in a representation
ON_FAILURE = ("raise", "mask")
_MOLECULES_ONLY = "treats molecules only; expected pbc = False and stress = False"


@dataclass(frozen=True)
class Capabilities:
    """What a model can do; workflows ask this, not which class it is."""

    elements: frozenset[int]  # atomic numbers that it knows
    periodic: bool  # whether periodic cells are honoured, and with them stress
    charge: bool  # whether its energy depends on the charge
    spin: bool  # whether its energy depends on the multiplicity
    properties: frozenset[str]  # fields of a Prediction that it gives where they are asked for
    density: bool = False  # whether it has a density (Prediction.scf), from which a later call may start
    unrestricted: bool = False  # whether singlets may be computed unrestricted, see AbstractModel.unrestrict
    training_range: bool = False  # whether it knows what its training data span, see AbstractModel.extrapolation
    environment: bool = False  # whether molecules may be surrounded by fields, point charges or a solvent
    data_zero: bool = False  # whether its zero of energy is that of its training data, not one of its own


@dataclass(frozen=True)
class Request:
    """What a call asks of :meth:`AbstractModel.forward`, once it is checked."""

    forces: bool = False
    stress: bool = False
    start: Tensor | None = None  # density [systems, spin, M, M], of a model that has one
    on_failure: str = "raise"  # or "mask": systems that fail have NaN
    environment: Environment | None = None  # of a model that feels it
    spread: bool = True  # of a committee


class AbstractModel(nn.Module, ABC):
    """A map from structures to a Prediction: ``model(systems, forces=True)``.

    A class of models sets ``name``, ``elements`` and ``periodic``, has ``forward``, and says in ``capabilities`` what
    it can do.
    """

    name: str  # "AM1", "hybrid-chno", …
    elements: frozenset[int]  # atomic numbers the model knows
    periodic: bool  # whether periodic cells are honoured
    terms: tuple[EnergyTerm, ...] = ()  # energies of the geometry alone that are part of the model's
    environment: Environment | None = None  # what surrounds the molecules of every call, see AbstractModel.surround
    card: dict[str, Any]  # what a saved model says of itself
    ignore_charge_and_spin: bool = False  # whether a model that knows neither treats ions and radicals all the same

    def __init__(self) -> None:
        super().__init__()
        alone_after_fork()

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; left as it is, energies and forces of any charge and spin."""
        properties = frozenset({"energy", "forces", *(["stress"] if self.periodic else [])})
        return Capabilities(self.elements, self.periodic, charge=True, spin=True, properties=properties)

    def __call__(
        self,
        systems: Systems | Atoms | Sequence[Atoms],
        *,
        forces: bool = False,
        stress: bool = False,
        start: Prediction | Tensor | None = None,
        on_failure: str = "raise",
        environment: Environment | None = None,
        spread: bool = True,
        guess: Prediction | Tensor | None = None,
    ) -> Prediction:
        """Energies and properties of a batch, forces and stress where asked for.

        Args:
            systems: Systems, or ASE ``Atoms`` (one or several), whose charge and multiplicity are those of ``info``.
            forces: whether to give forces.
            stress: whether to give the stress of periodic cells.
            start: an earlier prediction for the same systems, or its density, to start from; models without a density
                need none.
            on_failure: "raise", or "mask": systems that fail have NaN.
            environment: what surrounds the molecules in this call, such as ``PointCharges.of(…)``; left out, the
                model's own.
            spread: False leaves out the standard deviations of a committee; forces then cost one derivative for all.
            guess: the old name of ``start``, which goes with version 0.3.

        Raises:
            InputError: what the model does not know: elements, periodic cells, stress, charge or spin, naming the
                system; anything but the types above.
            SCFConvergenceError, ExtrapolationError: a system failed, unless masked.
        """
        if guess is not None:
            warnings.warn("guess= is now start=; the old name goes with 0.3", DeprecationWarning, stacklevel=2)
            start = guess
        if not isinstance(systems, Systems):
            systems = self._from_ase(systems)
        self._check(systems, stress=stress, on_failure=on_failure)
        density = None if start is None or not self.capabilities.density else _density_of(start, systems)
        around = self.environment if environment is None else environment
        if around is not None:
            if not self.capabilities.environment:
                raise self._feels_nothing()
            around = around.over(systems.n_systems)
            around.check(systems)
        prediction: Prediction = super().__call__(systems, Request(forces, stress, density, on_failure, around, spread))
        return prediction

    @abstractmethod
    def forward(self, systems: Systems, request: Request) -> Prediction:
        """What a call does once its arguments are checked."""

    def to_config(self) -> dict[str, Any]:
        """Plain data from which the class builds the same model, its weights yet to be loaded.

        Raises:
            InputError: a model of this class cannot be saved.
        """
        raise InputError(f"models of the class {type(self).__name__} cannot be saved")

    def isolated_energies(self, numbers: Iterable[int] | None = None) -> dict[int, float]:
        """The model's zero of energy: its energies, eV, of isolated neutral atoms in their ground state.

        Args:
            numbers: atomic numbers; left out, all that the model knows. Those that it does not know are left out.

        Raises:
            SCFConvergenceError: the field of an atom did not converge.
        """
        atoms = self.isolated_atoms(numbers)
        if atoms is None:
            return {}
        with torch.no_grad():
            energy = super().__call__(atoms, Request()).energy  # without surroundings
        return dict(zip(atoms.numbers.tolist(), energy.tolist(), strict=True))

    def isolated_atoms(self, numbers: Iterable[int] | None = None) -> Systems | None:
        """Those of the elements that the model knows, each an atom alone in its ground state; None if there is none."""
        known = sorted(self.elements if numbers is None else self.elements & set(numbers))
        if not known:
            return None
        spins = [self.ground_state_multiplicity(z) for z in known] if self.capabilities.spin else 1
        positions = torch.zeros(len(known), 3, dtype=torch.float64, device=self.device)
        return Systems.build(torch.tensor(known), positions, torch.arange(len(known)), multiplicity=spins)

    def ground_state_multiplicity(self, number: int) -> int:
        """2S + 1 of the neutral atom that :meth:`isolated_energies` takes."""
        return ground_state_multiplicity(number)

    def atomization_energies(self, systems: Systems | Atoms | Sequence[Atoms]) -> Tensor:
        """``Σ_A E_A − E``, [systems] eV: what it takes to part each system into the atoms of isolated_energies.

        Raises:
            InputError, SCFConvergenceError: as from a call.
        """
        systems = systems if isinstance(systems, Systems) else self._from_ase(systems)
        energy = self(systems).energy
        table = energy.new_zeros(int(systems.numbers.max()) + 1)
        for number, value in self.isolated_energies(systems.numbers.unique().tolist()).items():
            table[number] = value
        return (-energy).index_add(0, systems.system_idx, table[systems.numbers])

    def extrapolation(self, systems: Systems, margin: float = 0.0) -> list[SystemExtrapolation]:
        """What lies outside the training data's range, by system and atom; nothing where no range is known."""
        return []

    def unrestrict(self) -> None:
        """Compute singlets unrestricted as well, with broken spin symmetry where this is lower.

        Raises:
            InputError: a model without electrons.
        """
        raise InputError(f"{self.name} has no electrons; unrestricted fields are those of methods and hybrids")

    def surround(self, environment: Environment | None) -> None:
        """Surround every molecule of every call, so that relaxations and vibrations take place there; None: nothing.

        Raises:
            InputError: a model without electrons; surroundings that are not the same for every system.
        """
        if environment is not None:
            raise self._feels_nothing()

    def _feels_nothing(self) -> InputError:
        return InputError(f"{self.name} has no electrons to feel an environment; expected a method or a hybrid")

    def seek(self, solution: str) -> None:
        """Take another solution of the field than the lowest, where there are several: see ``SCFOptions.solution``.

        Raises:
            InputError: an unknown solution, or a model without electrons.
        """
        raise InputError(f"{self.name} has no electrons; solutions of a field are those of methods and hybrids")

    @property
    def parent(self) -> AbstractModel | None:
        """What the model is a correction of, such as a hybrid's method; None where there is nothing."""
        return None

    @property
    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Weights that may be trained while others stay, by name; none where there are no such parts."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        weight = next(self.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device

    def __repr__(self) -> str:
        known = [symbol_of(z) for z in sorted(self.elements)]
        elements = " ".join(known) if len(known) <= _SHOWN else f"{len(known)} elements"
        details = [repr(self.name), elements, self.extra_repr()]
        return f"{type(self).__name__}({', '.join(d for d in details if d)})"

    def check_elements(self, systems: Systems) -> None:
        """Raise InputError, naming system and atom, if the model lacks an element."""
        for number in systems.numbers.unique().tolist():
            if number not in self.elements:
                atom = int((systems.numbers == number).nonzero()[0, 0])
                where = f"system {int(systems.system_idx[atom])}, atom {int(systems.places[atom])}"
                known = ", ".join(symbol_of(z) for z in sorted(self.elements))
                raise InputError(f"{where}: {self.name} has no element {symbol_of(number)}; it has {known}")

    def _from_ase(self, atoms: Atoms | Sequence[Atoms]) -> Systems:
        from ase import Atoms

        frames = [atoms] if isinstance(atoms, Atoms) else atoms
        if not isinstance(frames, Sequence) or not all(isinstance(frame, Atoms) for frame in frames):
            found = type(atoms).__name__
            raise InputError(f"{self.name}: expected Systems, ASE Atoms or a list of these; got {found}")
        return Systems.from_ase(frames, device=self.device)

    def _check(self, systems: Systems, *, stress: bool, on_failure: str) -> None:
        """Refuse, in one sentence, what the model does not know."""
        if on_failure not in ON_FAILURE:
            raise InputError(f'on_failure must be "raise" or "mask"; got {on_failure!r}')
        if stress and not self.periodic:
            raise InputError(f"stress was asked for: {self.name} {_MOLECULES_ONLY}")
        known = self.capabilities
        systems.kept((known, self.ignore_charge_and_spin), lambda: self._check_atoms(systems, known))

    def _check_atoms(self, systems: Systems, known: Capabilities) -> None:
        """The part that is the same wherever the atoms are."""
        periodic = torch.nonzero(systems.pbc.any(dim=1)).squeeze(1).tolist()
        if periodic and not self.periodic:
            raise InputError(f"system {periodic[0]} is periodic: {self.name} {_MOLECULES_ONLY}")
        self.check_elements(systems)
        if not self.ignore_charge_and_spin:
            self._check_charge_and_spin(systems, known)

    def _check_charge_and_spin(self, systems: Systems, known: Capabilities) -> None:
        if known.charge and known.spin:
            return
        refused = systems.open_shell if known.charge else systems.charged_or_open
        bad = torch.nonzero(refused).squeeze(1).tolist()
        if bad:
            k = bad[0]
            charge = "" if known.charge else f"charge {int(systems.charge[k])} and "
            raise InputError(
                f"system {k} has {charge}multiplicity {int(systems.multiplicity[k])}, of which {self.name} knows "
                "nothing; set its ignore_charge_and_spin (--ignore-charge-and-spin) to treat it all the same"
            )


def _density_of(start: Prediction | Tensor, systems: Systems) -> Tensor:
    """The density [systems, spin, M, M] of a prediction, or the density itself, for these systems."""
    if isinstance(start, Prediction):
        if start.scf is None:
            raise InputError("start must be a prediction with a density (scf), or a density; this one has none")
        start = start.scf.density
    if start.ndim != 4 or start.shape[0] != systems.n_systems:
        expected = f"[{systems.n_systems}, spin, M, M]"
        raise InputError(f"a starting density must have shape {expected}; got {list(start.shape)}")
    return start.to(systems.positions)
