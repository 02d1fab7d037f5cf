"""Files that a command is to write: checked before any work, written beside and renamed when they are whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nddo_ml.errors import InputError
from nddo_ml.results.journal import SUFFIX

STANDARD_OUTPUT = "-"
BONDED = (".sdf", ".mol", ".pdb")  # formats that have bond orders


@dataclass(frozen=True)
class Targets:
    """The files that a command writes, by option; those not asked for are left out."""

    files: Mapping[str, Path]
    json_on_standard_output: bool = False

    @property
    def wants_bonds(self) -> bool:
        """Whether one of the formats has bond orders."""
        return any(path.suffix in BONDED for path in self.files.values())

    @property
    def journal(self) -> Path | None:
        """Where the journal stands: beside the first output that can be a file."""
        regular = [p for p in self.files.values() if not p.exists() or p.is_file()]
        return regular[0].with_name(regular[0].name + SUFFIX) if regular else None


def check_targets(inputs: Sequence[str | Path], **options: str | Path | None) -> Targets:
    """The targets of options, refused where they cannot be written or would destroy something.

    Args:
        inputs: files that are read: structures and models; what is no file (a method, SMILES) does no harm.
        options: by the option's name; None is left out, and ``-`` is standard output.

    Raises:
        InputError: a folder that does not exist or cannot be written, a target that is a folder, an input or
            another target, also by another name of the same file.
    """
    files: dict[str, Path] = {}
    standard = [name for name, target in options.items() if target is not None and str(target) == STANDARD_OUTPUT]
    if standard not in ([], ["json"]):
        raise InputError(f"--{standard[0]} -: expected a file; only --json may be standard output")
    sources = [_source(given) for given in inputs]
    for name, target in options.items():
        if target is None or str(target) == STANDARD_OUTPUT:
            continue
        path = Path(os.path.realpath(target))
        _check_place(path, str(target))
        for claimed in (path, path.with_name(path.name + SUFFIX)):
            for source in sources:
                if _same(claimed, source):
                    raise InputError(f"--{name} {target}: expected another file than the input {source}")
            for other, taken in files.items():
                if any(_same(claimed, t) for t in (taken, taken.with_name(taken.name + SUFFIX))):
                    raise InputError(f"--{name} {target}: expected another file than --{other} {options[other]}")
        files[name] = path
    return Targets(files, bool(standard))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to be written, renamed to it at the end; what was there survives a failure.

    Devices and pipes are written directly.

    Raises:
        InputError: the file cannot be written, for example on a full disk.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        temporary = path.with_name(f".{path.stem}.unfinished{path.suffix}")
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be written; {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def copied_aside(path: Path, start: int = 0) -> Path:
    """A copy of a damaged file, from byte ``start`` on, under a name that is free.

    Raises:
        InputError: there is no room for it.
    """
    names: Iterable[Path] = (path.with_name(f"{path.name}.damaged{k or ''}") for k in range(1000))
    aside = next(p for p in names if not p.exists())
    with whole(aside) as made, path.open("rb") as source, made.open("wb") as target:
        source.seek(start)
        shutil.copyfileobj(source, target)
    return aside


def _source(given: str | Path) -> Path:
    """The file of an input, without the frames that are chosen from it (``file.xyz@0:10``)."""
    path = Path(given)
    return path if path.exists() else Path(re.sub(r"@[^@/]*$", "", str(given)))


def _check_place(path: Path, given: str) -> None:
    if path.is_dir():
        raise InputError(f"{given}: expected a file to write; this is a folder")
    if not path.parent.is_dir():
        raise InputError(f"{given}: expected a file in a folder that exists; there is no {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"{given}: expected a file that can be written; it is write-protected")
    if (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{given}: expected a folder that can be written; {path.parent} cannot")


def _same(one: Path, other: Path) -> bool:
    """Whether two names are one file, through links of either kind."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
