"""The studies of silicon with small settings: every claim of theirs holds, and their figures are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies.frame.runner import all_studies, run_one

STUDIES = {study.name: study for study in all_studies()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["surface", "solids", "dislocation"])
def test_claims_hold(name: str, tmp_path: Path) -> None:
    if name == "dislocation":
        pytest.importorskip("matscipy")
    entry = run_one(STUDIES[name], tmp_path, small=True)
    assert entry.get("error") is None
    assert [c["text"] for c in entry["claims"] if not c["holds"]] == []
    assert all((tmp_path / figure).stat().st_size > 10_000 for figure in entry["figures"])


@pytest.mark.slow
def test_learning_curves_are_whole(tmp_path: Path) -> None:
    """So few cells and epochs claim nothing."""
    entry = run_one(STUDIES["learning"], tmp_path, small=True)
    assert entry.get("error") is None
    assert len(entry["tables"][0]["rows"]) == 6
