"""Compiled libraries beside what pyproject.toml says: plain C without Python's headers, one an instruction set.

Where no compiler is found the package installs without it and uses torch alone.
"""

import platform
from pathlib import Path

from setuptools import Extension, setup

SHARED = Path("bp_descriptors/csrc")  # headers of both
SOURCES = {"nddo_ml.core": Path("nddo_ml/core/csrc/core.c"), "bp_descriptors": Path("bp_descriptors/csrc/functions.c")}
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
            f"{package}._{name}",
            [str(source)],
            include_dirs=[str(SHARED)],
            depends=[
                str(header) for folder in sorted({source.parent, SHARED}) for header in sorted(folder.glob("*.h"))
            ],
            extra_compile_args=[*FLAGS, *options],
            optional=True,
        )
        for package, source in SOURCES.items()
        for name, options in BUILDS.items()
    ]
)
