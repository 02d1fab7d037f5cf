"""The compiled core beside what pyproject.toml says: plain C without Python's headers, one library an instruction set.

Where no compiler is found the package installs without it and uses torch alone.
"""

import platform

from setuptools import Extension, setup

_FLAGS = "-std=c11 -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast -fopenmp-simd -fvisibility=hidden".split()
_BUILDS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    _BUILDS["avx2"] = ["-mavx2", "-mfma", "-mtune=haswell"]

setup(
    ext_modules=[
        Extension(
            f"nddo_ml.core._{name}",
            ["nddo_ml/core/csrc/core.c"],
            depends=[f"nddo_ml/core/csrc/{part}.h" for part in ("core", "matrix", "rotate", "pair", "field", "repulsion", "scf", "gradient")],
            extra_compile_args=[*_FLAGS, *options],
            optional=True,
        )
        for name, options in _BUILDS.items()
    ]
)
