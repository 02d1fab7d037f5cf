"""The compiled core beside what pyproject.toml says: plain C without Python's headers, one library an instruction set.

Where no compiler is found the package installs without it and uses torch alone.
"""

import platform
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("nddo_ml/core/csrc")
FLAGS = [
    *("-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math"),
    *("-ffp-contract=fast", "-fopenmp-simd", "-fvisibility=hidden", "-Wno-psabi"),
]
BUILDS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    BUILDS["avx2"] = ["-mavx2", "-mfma", "-mtune=haswell"]

setup(
    ext_modules=[
        Extension(
            f"nddo_ml.core._{name}",
            [str(FOLDER / "core.c")],
            depends=[str(header) for header in sorted(FOLDER.glob("*.h"))],
            extra_compile_args=[*FLAGS, *options],
            optional=True,
        )
        for name, options in BUILDS.items()
    ]
)
