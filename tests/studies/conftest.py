"""The benchmarks are modules of the repository, not of the package."""

import sys

from places import ROOT

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
