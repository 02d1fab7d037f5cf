"""Every claim of every study holds at small settings."""

import pytest

from benchmarks.studies.frame.runner import all_studies
from benchmarks.studies.frame.study import Work


@pytest.mark.slow
@pytest.mark.parametrize("study", all_studies(), ids=lambda study: study.name)
def test_claims(study, tmp_path) -> None:
    findings = study.run(Work(tmp_path), **study.small)
    assert findings.claims
    assert [claim for claim in findings.claims if not claim.holds] == []
    assert all((tmp_path / name).stat().st_size > 1000 for name in findings.figures)
    assert findings.text
