"""Where labels come from besides PySCF: any ASE calculator by its import path, any program that reads extxyz."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

KNOWN = ("energy", "forces", "dipole", "charges")  # properties that become labels, of whatever a source gives
MOVED = 1e-3  # Å, atoms in a program's output farther than this from its input are in another frame
STATE = {"charge": 0, "multiplicity": 1}  # what a source must be told where a structure differs from it


class Source(Protocol):
    """What gives labels; sent to the workers as it is, so it holds plain data only."""

    @property
    def description(self) -> str:
        """One line that stands with every label and says how it was made."""

    def check(self) -> None:
        """Raise InputError before any work is done, if something is missing."""

    def check_structure(self, atoms: Atoms) -> None:
        """Raise InputError for a structure that the source cannot label."""

    def label(self, structures: Sequence[Atoms], threads: int) -> list[Atoms]:
        """Copies of the structures with their labels."""


@dataclass(frozen=True)
class CalculatorSource:
    """An ASE calculator, made in every worker by ``factory(**arguments)``.

    ``{charge}`` and ``{multiplicity}`` as a value of an argument stand for those of each structure; a calculator
    that reads them from ``atoms.info`` by itself has ``reads_state``.
    """

    factory: str  # "package.module:Name" or "path/file.py:Name"
    arguments: str = "{}"  # JSON object
    level: str | None = None  # the description; else factory, arguments and the version of its package
    reads_state: bool = False

    @property
    def description(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in _object(self.arguments).items())
        return _plain(self.level or f"{self.factory}({given}){_release(self.factory)}")

    def check(self) -> None:
        if importlib.util.find_spec("threadpoolctl") is None:
            raise InputError("labelling needs threadpoolctl; install it with: pip install 'nddo-ml[label]'")
        _calculator(self.factory, _filled(self.arguments, STATE))

    def check_structure(self, atoms: Atoms) -> None:
        _check_state(atoms, self.arguments, self.reads_state, "calculator", "--calculator-args")

    def label(self, structures: Sequence[Atoms], threads: int) -> list[Atoms]:
        """Energy, and those of forces, dipole and charges that the calculator has; other numbers come into ``info``.

        Raises:
            RuntimeError: an energy or force that is not a finite number.
        """
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads):
            return [self._labelled(atoms) for atoms in structures]

    def _labelled(self, atoms: Atoms) -> Atoms:
        self.check_structure(atoms)
        calculator = _calculator(self.factory, _filled(self.arguments, _state(atoms)))
        given = atoms.copy()
        names = [n for n in KNOWN if n in calculator.implemented_properties]
        results = {name: calculator.get_property(name, given) for name in names}
        return _with_results(atoms, results, getattr(calculator, "results", {}))


@dataclass(frozen=True)
class CommandSource:
    """A program that reads structures (extxyz) from ``{input}`` and writes them with energies to ``{output}``.

    ``{charge}`` and ``{multiplicity}`` may stand in the command, too; then its structures are given one by one. They
    are in the header of every frame anyway: a program that reads them there has ``reads_state``.
    """

    command: str
    level: str | None = None  # the description; else the command
    reads_state: bool = False

    @property
    def description(self) -> str:
        return _plain(self.level or self.command)

    def check(self) -> None:
        words = self._words(input="input.extxyz", output="output.extxyz", **STATE)
        if "{input}" not in self.command or "{output}" not in self.command:
            raise InputError(f"--command expects a program with {{input}} and {{output}}; got {self.command!r}")
        if shutil.which(words[0]) is None:
            raise InputError(f"--command expects a program that can be run; found none named {words[0]!r}")

    def check_structure(self, atoms: Atoms) -> None:
        _check_state(atoms, self.command, self.reads_state, "program", "--command")

    def label(self, structures: Sequence[Atoms], threads: int) -> list[Atoms]:
        """The structures as the program gives them back, in one call, or in one each where one call fails.

        Raises:
            RuntimeError: the program failed, or its output is not the input with energies.
        """
        if any(f"{{{name}}}" in self.command for name in STATE):
            return [self._run([atoms], threads)[0] for atoms in structures]
        return self._run(structures, threads)

    def _run(self, structures: Sequence[Atoms], threads: int) -> list[Atoms]:
        from ase.io import read, write

        for atoms in structures:
            self.check_structure(atoms)
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "input.extxyz", Path(folder) / "output.extxyz"
            write(source, structures, format="extxyz")
            words = self._words(input=str(source), output=str(target), **_state(structures[0]))
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=_environment(threads))
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise RuntimeError(f"the program ended with {done.returncode}: {said[-1] if said else 'no message'}")
            if not target.is_file():
                raise RuntimeError("the program wrote no output")
            return _matched(structures, list(read(target, ":", format="extxyz")))

    def _words(self, **values: Any) -> list[str]:
        try:
            return [word.format(**values) for word in shlex.split(self.command)]
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(
                "--command expects {input}, {output}, {charge} and {multiplicity} only in braces (others doubled); "
                f"got {self.command!r}"
            ) from error


def _matched(structures: Sequence[Atoms], given: Sequence[Atoms]) -> list[Atoms]:
    """The program's labels on the structures; raise RuntimeError where its frames are not theirs."""
    if len(given) != len(structures):
        raise RuntimeError(f"the program's output holds {len(given)} structures; expected {len(structures)}")
    labelled = []
    for atoms, frame in zip(structures, given, strict=True):
        if not np.array_equal(atoms.numbers, frame.numbers):
            raise RuntimeError("the program's output holds other atoms, or in another order")
        if np.abs(atoms.positions - frame.positions).max() > MOVED:
            raise RuntimeError("the program's output holds moved or turned atoms")
        results = dict(frame.calc.results) if frame.calc is not None else {}
        results = {name: results.pop(name) for name in KNOWN if name in results}
        labelled.append(_with_results(atoms, results, {k: v for k, v in frame.info.items() if k not in atoms.info}))
    return labelled


def _with_results(atoms: Atoms, results: dict[str, Any], others: dict[str, Any]) -> Atoms:
    """A copy with the results; other finite numbers that ASE has no name for stand in ``info``."""
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    if "energy" not in results:
        raise RuntimeError("expected an energy; there is none")
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise RuntimeError(f"expected finite numbers; the {name} holds others")
    labelled = atoms.copy()
    plain = {k: v for k, v in others.items() if k not in all_properties and isinstance(v, (int, float, np.number))}
    labelled.info |= {k: v for k, v in plain.items() if not isinstance(v, bool) and math.isfinite(v)}
    labelled.calc = SinglePointCalculator(labelled, **results)
    return labelled


@lru_cache(maxsize=8)
def _calculator(factory: str, arguments: str) -> Any:
    """The calculator, once in a process for every set of arguments."""
    name = factory.rpartition(":")[2]
    make = getattr(_module(factory), name, None)
    if not callable(make):
        raise InputError(f"--calculator expects MODULE:FACTORY; {factory!r} has no {name!r} that can be called")
    try:
        calculator = make(**_object(arguments))
    except Exception as error:  # a foreign constructor raises whatever it runs into
        raise InputError(f"--calculator: {factory} could not be made from {arguments}: {_line(error)}") from error
    if not hasattr(calculator, "get_property") or not hasattr(calculator, "implemented_properties"):
        raise InputError(f"--calculator expects an ASE calculator; {factory} makes a {type(calculator).__name__}")
    return calculator


def _module(factory: str) -> Any:
    """The module of a factory, by import or from a file."""
    place, colon, name = factory.rpartition(":")
    if not (place and colon and name):
        raise InputError(f"--calculator expects MODULE:FACTORY (ase.calculators.lj:LennardJones); got {factory!r}")
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(Path(place).stem, module)
        spec.loader.exec_module(module)
    except Exception as error:  # importing runs foreign code
        raise InputError(f"--calculator: {place} could not be imported: {_line(error)}") from error
    return module


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--calculator-args expects a JSON object; got {text!r} ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"--calculator-args expects a JSON object; got {text!r}")
    return found


def _filled(arguments: str, state: dict[str, int]) -> str:
    """The arguments with the structure's charge and multiplicity in their places."""
    places = {f"{{{name}}}": value for name, value in state.items()}
    return json.dumps({k: places.get(v, v) if isinstance(v, str) else v for k, v in _object(arguments).items()})


def _state(atoms: Atoms) -> dict[str, int]:
    return {name: int(atoms.info.get(name, usual)) for name, usual in STATE.items()}


def _check_state(atoms: Atoms, told: str, reads_state: bool, what: str, option: str) -> None:
    """Raise where a structure is charged or has unpaired electrons and the source would not know."""
    for name, value in _state(atoms).items():
        if value != STATE[name] and not reads_state and f"{{{name}}}" not in told:
            raise InputError(
                f"system 0: has {name} {value}; expected {{{name}}} in {option}, or --reads-state where the {what} "
                "takes it from the structure"
            )


def _release(factory: str) -> str:
    """Name and version of the package that a factory comes from, where there is one."""
    package = factory.partition(":")[0].partition(".")[0]
    try:
        return f", {package} {version(package)}"
    except (PackageNotFoundError, ValueError):
        return ""


def _environment(threads: int) -> dict[str, str]:
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict(os.environ) | dict.fromkeys(limits, str(threads))


def _plain(text: str) -> str:
    """The text in one line and without the quotation marks of extxyz headers."""
    return " ".join(text.replace('"', "'").replace("\\", "/").split())


def _line(error: Exception) -> str:
    """The error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
