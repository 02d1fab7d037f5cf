"""Run the studies and write the report: ``python -m benchmarks.studies [NAME …] --out runs/studies``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.common import note
from benchmarks.studies.frame.report import write_report
from benchmarks.studies.frame.runner import all_studies, run_all


def main(arguments: list[str]) -> int:
    studies = {study.name: study for study in all_studies()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(studies)}; all unless given")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="folder; an earlier run there goes on")
    parser.add_argument("--small", action="store_true", help="the settings of the tests")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--viewer", type=Path, help="3Dmol-min.js, with which molecules on the page can be turned")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in studies]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(studies)}")
    entries = run_all([studies[name] for name in chosen.names or studies], chosen.out, chosen.small, chosen.fresh)
    viewer = chosen.viewer if chosen.viewer and chosen.viewer.exists() else None
    write_report(chosen.out / "report.html", entries, viewer)
    note(f"{chosen.out / 'report.html'}")
    return int(any("error" in e or not all(c["holds"] for c in e["claims"]) for e in entries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
