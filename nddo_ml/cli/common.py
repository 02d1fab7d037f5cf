"""What the commands share: options, the model, batches of bounded memory, errors and the exit code."""

from __future__ import annotations

from collections import Counter
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

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from nddo_ml.environments.embedding import Environment
    from nddo_ml.models.base import AbstractModel

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
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "--method",
        "-m",
        metavar="NAME",
        help="A method, a shipped model or a model file; `nddo-ml models` lists them.",
    ),
]
NamedModel = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="A method, a shipped model or a model file; else the first argument."
    ),
]
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
Solution = Annotated[
    str, typer.Option("--solution", help="Of several solutions of the field: lowest, first, or mopac, MOPAC's.")
]
Ignore = Annotated[
    bool,
    typer.Option("--ignore-charge-and-spin", help="A potential, which knows neither, treats ions and radicals alike."),
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
        self.tell(2, message)

    def not_converged(self, message: str) -> None:
        """A calculation that did not converge: exit code 1, unless some input was wrong as well."""
        self.tell(1, message)

    def note(self, message: str) -> None:
        """What was assumed or not used: no error."""
        self._print(f"note: {message}", "yellow")

    def tell(self, code: int, message: str) -> None:
        """An error with its exit code."""
        self._print(f"error: {message}", "red")
        self.exit_code = max(self.exit_code, code)

    def say(self, message: str) -> None:
        """What is no error."""
        self._print(message, None)

    def _print(self, text: str, style: str | None) -> None:
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; 140 columns when the output is not one."""
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=140)


def load_model(
    name: str,
    uhf: bool = False,
    solution: str = "lowest",
    surroundings: Environment | None = None,
    ignore: bool = False,
) -> AbstractModel:
    """The method, shipped model or model of a file, in its surroundings.

    Raises:
        InputError: none of these, an unknown solution, --uhf, --solution or surroundings with a potential, or
            --ignore-charge-and-spin with another model.
    """
    from nddo_ml.models.open import open_model

    model = open_model(name, True if uhf else None)
    if uhf:
        model.unrestrict()
    if solution != "lowest":
        model.seek(solution)
    if surroundings is not None:
        model.surround(surroundings)
    if ignore:
        if knows_state(model):
            raise InputError(f"--ignore-charge-and-spin is for potentials; {model.name} knows both")
        model.ignore_charge_and_spin = True
    return model


def knows_state(model: AbstractModel) -> bool:
    """Whether charge and spin are something to the model."""
    return model.capabilities.charge and model.capabilities.spin


def model_and_files(given: Sequence[str], name: str | None) -> tuple[str, list[Path]]:
    """The model and the files of a command that takes its model as first argument or by option.

    Raises:
        InputError: no model, or no file beside it.
    """
    model, files = (name, list(given)) if name is not None else (given[0], list(given[1:]))
    if not files:
        raise InputError(f"expected a model and at least one file; got {' '.join(given)}")
    return model, [Path(f) for f in files]


def open_models(
    names: Sequence[str] | None, uhf: bool = False, surroundings: Environment | None = None, ignore: bool = False
) -> list[AbstractModel]:
    """Methods, model files and shipped models by name; none given: the shipped hybrid, its parent and the potential.

    Of models with the same name, the later ones are called as they were given. In surroundings, where the potential
    feels nothing, it is left out of the models that are taken by default. ``ignore`` is for the potentials among them.

    Raises:
        InputError: a name that is none of these, or given twice; a named potential in surroundings.
    """
    from nddo_ml.models.open import open_model

    for name, times in Counter(names or ()).items():
        if times > 1:
            raise InputError(f"expected different models; got {name} {times} times")
    unrestricted = True if uhf else None
    models: list[AbstractModel] = []
    for name in names or SHIPPED:
        model = open_model(name, unrestricted)
        if not names and surroundings is not None and not model.capabilities.environment:
            continue
        if surroundings is not None:
            model.surround(surroundings)
        if ignore and not knows_state(model):
            model.ignore_charge_and_spin = True
        if not names and model.parent is not None:
            models.append(model.parent)
        if model.name in [m.name for m in models]:
            model.name = str(name)
        models.append(model)
    return models


@contextmanager
def progress(what: str, total: int | None, on: Console) -> Iterator[Callable[[int], None]]:
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
