"""Compiled libraries: plain C called through ctypes, one build for every processor and one for those with AVX2."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import torch


def best_build(folder: Path, fits: Callable[[Any], bool]) -> Any | None:
    """The library of a folder that suits this processor; None where it was not built, or does not fit the Python code.

    Args:
        folder: with the libraries ``_generic`` and, on x86, ``_avx2``.
        fits: whether a loaded library is of the right version.
    """
    fast = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    found = (_load(folder, name, fits) for name in (("avx2", "generic") if fast else ("generic",)))
    return next((library for library in found if library is not None), None)


def _load(folder: Path, name: str, fits: Callable[[Any], bool]) -> Any | None:
    path = next((p for s in EXTENSION_SUFFIXES if (p := folder / f"_{name}{s}").exists()), None)
    if path is None:
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        return loaded if fits(loaded) else None
    except (OSError, AttributeError):
        return None


def address(array: np.ndarray | None) -> int | None:
    """Where an array's elements begin; they must be contiguous."""
    if array is None:
        return None
    assert array.flags.c_contiguous
    found: int = array.__array_interface__["data"][0]  # .ctypes is five times slower
    return found
