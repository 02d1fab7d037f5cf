"""The command line, called as a user does."""

from __future__ import annotations

import pytest

from nddo_ml.cli import main


def call(*arguments: object) -> int:
    """The exit code of ``nddo-ml ARGUMENTS``."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)
