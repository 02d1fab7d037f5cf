"""What the commands share: options, the model, batches of bounded memory, errors and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.structures.read import read_structures
from nddo_ml.structures.structure import Refused, Structure, addressed

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.systems import Systems

T = TypeVar("T")

SHIPPED = ("hybrid-chno", "nnp-chno")
MAX_BATCH_PAIRS = 100_000  # atoms² summed over a padded batch: about 1 GB of matrices

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILES...",
        help="Structure files: xyz, sdf, mol2, pdb, inputs of other programs, what ASE reads; "
        "- is standard input, file@0:10 the first ten frames.",
        show_default=False,
    ),
]
NoPbc = Annotated[bool, typer.Option("--no-pbc", help="Take what stands in a cell as a molecule.")]
Smiles = Annotated[
    list[str] | None, typer.Option("--smiles", metavar="SMILES", help="A molecule, made by RDKit; repeat it.")
]
Method = Annotated[str, typer.Option("--method", "-m", help="NDDO method; `nddo-ml methods` lists them.")]
ModelFile = Annotated[Path | None, typer.Option("--model", help="A trained model instead of a method.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "--method",
        "-m",
        metavar="NAME",
        help="A method, a model file or a shipped model; repeat it. Else hybrid-chno, its parent and nnp-chno.",
    ),
]
Uhf = Annotated[
    bool, typer.Option("--uhf", help="Unrestricted singlets too, with broken spin symmetry where this is lower.")
]
Json = Annotated[str | None, typer.Option("--json", metavar="OUT", help="JSON file; - is standard output.")]
Charge = Annotated[
    int | None,
    typer.Option("--charge", "-c", help="Charge of every system; else as the file says, else 0."),
]
Multiplicity = Annotated[
    int | None,
    typer.Option("--multiplicity", "-s", help="2S+1 of every system; else as the file says, else the lowest."),
]


class Report:
    """Tells the user at once what went wrong, and remembers the exit code."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.exit_code = 0

    def wrong_input(self, message: str) -> None:
        """A user's mistake: exit code 2."""
        self._tell(message, 2)

    def not_converged(self, message: str) -> None:
        """A calculation that did not converge: exit code 1, unless some input was wrong as well."""
        self._tell(message, 1)

    def note(self, message: str) -> None:
        """What was assumed or not used: no error."""
        self.console.print(f"note: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def _tell(self, message: str, code: int) -> None:
        self.console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
        self.exit_code = max(self.exit_code, code)


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; 140 columns when the output is not one."""
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=140)


def load_model(method: str, model_file: Path | None, uhf: bool = False) -> AbstractModel:
    """The NDDO method, or the trained model of a file.

    Raises:
        InputError: an unknown method, a file that is no model, or --uhf with a potential.
    """
    from nddo_ml.models.nddo import NDDO

    if model_file is None:
        return NDDO(method, uhf=True if uhf else None)
    from nddo_ml.models.saved import load_model as load

    model = load(model_file)
    if uhf:
        model.unrestrict()
    return model


def open_models(names: Sequence[str] | None, uhf: bool = False) -> list[AbstractModel]:
    """Methods, model files and shipped models by name; none given: the shipped hybrid, its parent and the potential.

    Of models with the same name, the later ones are called as they were given.

    Raises:
        InputError: a name that is none of these.
    """
    from nddo_ml.models.open import open_model

    unrestricted = True if uhf else None
    models: list[AbstractModel] = []
    for name in names or SHIPPED:
        model = open_model(name, unrestricted)
        if not names and model.parent is not None:
            models.append(model.parent)
        if model.name in [m.name for m in models]:
            model.name = str(name)
        models.append(model)
    return models


def read(
    files: Sequence[str | Path] | None,
    report: Report,
    charge: int | None = None,
    multiplicity: int | None = None,
    *,
    no_pbc: bool = False,
    smiles: Sequence[str] | None = None,
) -> list[Structure]:
    """The structures of all sources that can be read; the others are reported, and so is what was assumed.

    Raises:
        InputError: neither files nor SMILES.
    """
    if not files and not smiles:
        raise InputError("expected structure files, - for standard input, or --smiles; got none of them")
    structures = []
    found = read_structures(
        [str(f) for f in files or ()],
        charge=charge,
        multiplicity=multiplicity,
        pbc=False if no_pbc else None,
        smiles=smiles or (),
    )
    for entry in found:
        if isinstance(entry, Refused):
            report.wrong_input(str(entry))
            continue
        structures.append(entry)
        for remark in entry.remarks:
            report.note(f"{entry.address}: {remark}")
    return structures


def batches(structures: Sequence[Structure]) -> Iterator[list[int]]:
    """Indices of the structures in batches of like size and bounded memory, the largest first."""
    order = sorted(range(len(structures)), key=lambda k: -len(structures[k].atoms))
    batch: list[int] = []
    for k in order:
        largest = len(structures[batch[0]].atoms) if batch else 0
        if batch and (len(batch) + 1) * largest**2 > MAX_BATCH_PAIRS:
            yield batch
            batch = []
        batch.append(k)
    if batch:
        yield batch


def run_all(
    structures: Sequence[Structure],
    compute: Callable[[list[Structure], Systems], Sequence[T]],
    charge: int | None,
    multiplicity: int | None,
    report: Report,
) -> list[T]:
    """The results of ``compute``, one a structure, in the order of the structures, batch by batch.

    When a batch is refused, its halves are tried, until the culprits stand alone and are reported; systems
    whose SCF does not converge are reported, and the rest of their batch is computed without them.
    """
    from nddo_ml.systems import Systems

    results: dict[int, T] = {}

    def run(batch: list[int]) -> None:
        if not batch:
            return
        chosen = [structures[k] for k in batch]
        try:
            systems = Systems.from_ase([s.atoms for s in chosen], charge, multiplicity)
            results.update(zip(batch, compute(chosen, systems), strict=True))
        except InputError as error:
            if len(batch) == 1:
                report.wrong_input(_with_address(str(error), chosen[0]))
                return
            run(batch[: len(batch) // 2])
            run(batch[len(batch) // 2 :])
        except SCFConvergenceError as error:
            for i in error.systems:
                report.not_converged(f"{chosen[i].address}: the SCF did not converge")
            run([k for i, k in enumerate(batch) if i not in error.systems])

    for batch in batches(structures):
        run(batch)
    return [results[k] for k in sorted(results)]


def _with_address(message: str, structure: Structure) -> str:
    text = addressed(message, [structure])
    return text if structure.address in text else f"{structure.address}: {text}"


@contextmanager
def progress(what: str, total: int, on: Console) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields a function that advances it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=on, transient=True, disable=not on.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)
