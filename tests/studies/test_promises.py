"""The hybrid's promises, one test each; and where a closed shell breaks them, what an unrestricted field says."""

import pytest

from benchmarks.studies.promises import PROMISES, failure, fractional


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_promise(promise) -> None:
    for claim in promise():
        assert claim.holds, claim


@pytest.mark.slow
def test_where_a_closed_shell_fails() -> None:
    for claim in failure(fractional()):
        assert claim.holds, claim
