"""Reading a file in a test: everything, or the one sentence on it."""

from pathlib import Path

from nddo_ml.structures import Refused, Structure
from nddo_ml.structures.read import read_structures


def structures(*sources: object, **options: object) -> list[Structure]:
    """All structures; none may be refused."""
    found = list(read_structures([str(s) for s in sources], **options))
    assert not [str(f) for f in found if isinstance(f, Refused)]
    return found


def refusal(source: object, **options: object) -> str:
    """The one sentence on a source of which nothing can be read."""
    (found,) = read_structures(str(source), **options)
    assert isinstance(found, Refused)
    return str(found)


def one(path: Path, text: str, **options: object) -> Structure | Refused:
    """The only record of a file with this text."""
    path.write_text(text)
    (found,) = read_structures(path, **options)
    return found
