"""The command line ``nddo-ml``: a module and a function a command, imported when it is called."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from math import isfinite
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from nddo_ml.cli.groups import expanded

COMMANDS = {
    "energy": "Energies, forces, charges and dipoles of the molecules in files.",
    "optimize": "Relax the molecules in files, all of them at once.",
    "frequencies": "Vibrations, infrared spectra and thermochemistry.",
    "md": "Molecular dynamics, all replicas in one batch.",
    "conformers": "Conformers with Boltzmann weights.",
    "reaction": "Barriers and paths from reactants to products.",
    "ts": "Saddle points from guesses.",
    "excited": "Excited states and absorption spectra.",
    "orbitals": "Orbitals, bond orders, densities and potentials, as tables and files.",
    "mopac": "Inputs of MOPAC as they are.",
    "models": "Methods and shipped models, their elements and references.",
    "train": "Train a model from a configuration and data.",
    "label": "Reference energies and forces of structures, by density functional theory.",
    "learn": "Rounds of training and labelling where a committee is in doubt.",
    "evaluate": "Errors of a model or method against reference data.",
    "compare": "Methods, hybrids and potentials side by side on the same structures.",
    "scan": "Curves along a bond, an angle or a torsion.",
    "dimer": "Two atoms from the wall to the tail.",
    "surface": "Reconstructions of the (100) face of diamond-like crystals.",
    "solid": "Lattice, equation of state, elastic constants, thermal expansion of crystals.",
}


class Strict(TyperCommand):
    """A command that refuses numbers that are none, and an option given twice, of which only the last would count."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What click makes of the arguments, once the options are counted."""
        given = Counter(self.make_parser(ctx).parse_args(list(args))[2])
        for option, times in given.items():
            if isinstance(option, TyperOption) and times > 1 and not (option.multiple or option.is_flag):
                raise typer.BadParameter(f"expected once; given {times} times", ctx, option)
        rest = super().parse_args(ctx, args)
        for option in self.get_params(ctx):
            if not isinstance(option, TyperOption):
                continue
            value = ctx.params.get(option.name)
            for number in value if isinstance(value, list | tuple) else (value,):
                if isinstance(number, float) and not isfinite(number):
                    raise typer.BadParameter(f"expected a finite number; got {number}", ctx, option)
        return rest


RENAMED = {"methods": "models"}  # old names, which keep working


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The application for these arguments: only the commands that they name are imported."""
    app = typer.Typer(
        help="Semi-empirical quantum chemistry and neural networks: NDDO methods, hybrids, potentials.",
        epilog="Examples: nddo-ml energy examples/water_dimer.xyz --model AM1  |  "
        "nddo-ml optimize examples/molecules/*.xyz --output relaxed.xyz  |  nddo-ml COMMAND --help",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_general)
    for name, summary in COMMANDS.items():
        function = _load(name) if name in arguments else _placeholder
        app.command(name, cls=Strict, short_help=summary, no_args_is_help=name != "models")(function)
    for old, name in RENAMED.items():
        function = _load(name) if old in arguments else _placeholder
        app.command(old, cls=Strict, hidden=True, no_args_is_help=name != "models")(function)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``nddo-ml``.

    Exit codes: 0 all done; 1 some calculation did not converge; 2 some input was wrong (the rest is done);
    130 interrupted by Ctrl-C or SIGTERM.
    """
    from nddo_ml.errors import NDDOMLError, warnings_as_sentences

    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with warnings_as_sentences():
            build_app(arguments)(args=list(arguments), prog_name="nddo-ml")
    except NDDOMLError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(2)
    except MemoryError as error:
        typer.secho(f"error: expected a calculation that memory holds; {error or 'there is not enough'}", err=True)
        sys.exit(2)


def _load(name: str) -> Callable[..., None]:
    """A command's function, which Ctrl-C ends with a word and exit code 130."""
    function = expanded(getattr(import_module(f"nddo_ml.cli.{name}"), name))

    @wraps(function)
    def interruptible(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except KeyboardInterrupt:
            typer.secho("interrupted", err=True)
            raise typer.Exit(130) from None

    return interruptible


def _placeholder() -> None:
    """Stands for a command that was not called, so that the list of commands is complete."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from nddo_ml import __version__

        typer.echo(f"nddo-ml {__version__}")
        raise typer.Exit()


def _general(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before a command."""
