"""What hybrids are worth beside their parent and a pure potential, in parts.

convergence   does the self-consistent field always converge: files, QM9, QM9 displaced by 0.2 Å
geometries    QM9 molecules of H, C, N, O relaxed: distance from the DFT geometries
dissociation  H2, N2, CO, ethane and the water dimer pulled apart to 20 Å: limits, smoothness, a figure
noncovalent   binding energies of the S22 complexes
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.common import finish
from benchmarks.hybrid_quality import convergence, dissociation, geometries, noncovalent
from nddo_ml.errors import NDDOMLError
from nddo_ml.models.open import open_model

PARTS = {
    "convergence": convergence,
    "geometries": geometries,
    "dissociation": dissociation,
    "noncovalent": noncovalent,
}


def main() -> None:
    """Run one part."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = options.add_subparsers(dest="part", required=True, metavar="PART")
    for name, module in PARTS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        part = parts.add_parser(name, help=summary, description=summary)
        part.add_argument("--models", nargs="+", required=True, help="methods, model files, shipped models")
        part.add_argument("--out", type=Path, help="also write the JSON to this file")
        module.options(part)
    arguments = options.parse_args()
    try:
        models = [open_model(name, PARTS[arguments.part].UHF) for name in arguments.models]
        for model, name in zip(models, arguments.models, strict=True):
            model.name = name
        report, table = PARTS[arguments.part].run(models, arguments)
    except NDDOMLError as error:
        sys.exit(f"error: {error}")
    Console(stderr=True, width=140).print(table)
    finish({"benchmark": f"hybrid_quality {arguments.part}", **report}, arguments.out)


if __name__ == "__main__":
    main()
