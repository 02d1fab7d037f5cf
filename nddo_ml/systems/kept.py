"""What was once found out about systems, and holds wherever their atoms move."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """A memory of systems: ``systems.kept(key, find)`` is ``find()``, called once.

    Threads that are first together may each call it, and get the same.

    What is found must not depend on positions or cells; what else it depends on is in the key. Systems of other
    positions (``with_positions``) share it; pickles begin with an empty one.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, find: Callable[[], T]) -> T:
        if key not in self._found:
            self._found.setdefault(key, find())
        found: T = self._found[key]
        return found

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()
