"""What tests of interrupted jobs share."""

import pytest

from nddo_ml.results import run as results_run


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few structures."""
    monkeypatch.setattr(results_run, "CHUNK_PAIRS", 60)
