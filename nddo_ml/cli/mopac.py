"""``nddo-ml mopac``: inputs of MOPAC as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from nddo_ml.cli import common
from nddo_ml.cli.groups import expanded
from nddo_ml.errors import InputError
from nddo_ml.structures.mopac import SPINS, keywords_of
from nddo_ml.units import EV_KCAL_MOL

Jobs = Annotated[list[str], typer.Argument(metavar="FILES...", help="Inputs of MOPAC (.mop, .dat).")]

METHOD = "PM7"  # MOPAC's, where none is named
TASKS = {"1SCF": "energy", "FORCE": "frequencies", "THERMO": "frequencies", "TS": "ts", "CIS": "excited"}
# what changes nothing here: precision, printing, coordinates, limits of time
NOTHING = re.compile(
    r"PRECISE|AUX.*|GEO-OK|NOREOR|NOSYM|XYZ|INT|DISP|EF|L?BFGS|OPT|GRADIENTS|GRAD|PRNT=.*|VECTORS|BONDS|LET|DDMAX=.*|"
    r"DDMIN=.*|T=.*|DUMP=.*|THREADS=.*|NOLOG|PDBOUT|HTML|LOG|MULLIK|ALLVEC|EIGS?|LARGE|DEBUG|CYCLES=.*|SCFCRT=.*|"
    r"RELSCF=.*|ITRY=.*|PULAY|SHIFT=.*|CHARGE=.*|MS=.*|ISOTOPE|MECI|RHF|MMOK|NOOPT|" + "|".join(SPINS)
)


@dataclass
class Job:
    """What keywords ask for."""

    task: str = "optimize"
    options: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def mopac(files: Jobs) -> None:
    """Run inputs of MOPAC as they are.

    Methods, charge and spin, 1SCF, FORCE, THERMO, TS, CIS, EPS, UHF and GNORM are understood;
    without one of the tasks the geometry is optimised, as MOPAC does. What else
    there is and would change results is named. FILE.json has the results,
    FILE.out.xyz the structures. All calculations of a file must ask for the same.

    Examples:

      nddo-ml mopac examples/water.mop
    """
    report = common.Report(common.console(stderr=True))
    for file in files:
        try:
            job = _job(file)
        except InputError as error:
            report.wrong_input(str(error))
            continue
        for word in job.unknown:
            report.note(f"{file}: {word} is not known here and changes nothing")
        try:
            _task(job.task)(**_arguments(job, file))
        except typer.Exit as left:
            report.exit_code = max(report.exit_code, left.exit_code)
    raise typer.Exit(report.exit_code)


def read_keywords(words: Sequence[str], known: Sequence[str]) -> Job:
    """What keywords in capitals ask for, with the names of the methods that there are."""
    job = Job(options={"model": METHOD})
    for word in words:
        key, _, value = word.partition("=")
        name = key.split("(")[0]
        if word in known:
            job.options["model"] = word
        elif name in TASKS:
            job.task = TASKS[name] if job.task != "frequencies" else job.task
            job.options |= _temperatures(word) if name == "THERMO" else {}
        elif key == "EPS":
            job.options["solvent"] = f"eps={value}"
        elif key == "GNORM":
            job.options["fmax"] = _number(word, value) / EV_KCAL_MOL
        elif word == "UHF":
            job.options["uhf"] = True
        elif not NOTHING.fullmatch(word):
            job.unknown.append(word)
    return job


def _job(file: str) -> Job:
    from nddo_ml.methods.published import METHODS

    jobs = [read_keywords(words, [*METHODS]) for words in keywords_of(file)]
    if any((j.task, j.options) != (jobs[0].task, jobs[0].options) for j in jobs):
        raise InputError(f"{file}: expected the same method and task in all of its calculations")
    return jobs[0]


def _number(word: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{word}: expected a number; got {text!r}") from None


def _temperatures(word: str) -> dict[str, str]:
    """``THERMO(298,400,10)`` as a range."""
    found = re.search(r"\((.*)\)", word)
    values = [_number(word, v) for v in found[1].split(",")] if found else [200.0, 400.0, 10.0]
    first, last, step = values if len(values) == 3 else (values[0], max(values[0], 400.0), 10.0)
    return {"temperature": f"{first:g}:{last:g}:{step:g}"}


def _task(name: str) -> Callable[..., None]:
    from importlib import import_module

    return expanded(getattr(import_module(f"nddo_ml.cli.{name}"), name))


def _arguments(job: Job, file: str) -> dict[str, Any]:
    path = Path(file)
    arguments = {"files": [file], **dict(_taken(job)), "json": str(path.with_suffix(".json"))}
    if job.task != "excited":
        arguments["output_file"] = path.with_name(f"{path.stem}.out.xyz")
    return arguments


def _taken(job: Job) -> Iterator[tuple[str, Any]]:
    """The options that the task has."""
    without = {"energy": {"fmax"}, "excited": {"fmax", "uhf"}, "frequencies": set(), "ts": set(), "optimize": set()}
    for name, value in job.options.items():
        if name not in without[job.task] and (name != "temperature" or job.task == "frequencies"):
            yield name, value
