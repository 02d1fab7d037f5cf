"""Who has the fields: the compiled core, where it serves, or torch, which defines them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nddo_ml.models import compiled


@contextmanager
def torch_alone() -> Iterator[None]:
    """Models do not ask the core."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr(compiled, "available", lambda method: False)
        yield
