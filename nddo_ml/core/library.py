"""The compiled library, and the structures that it reads.

It is plain C called through ctypes, so that one build serves every version of Python, calls release the interpreter's
lock, and nothing is compiled when it is used. What it computes is defined by the torch code; where it is missing
(installed without a compiler) that code is used.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from bp_descriptors.library import address, best_build

__all__ = ["address", "library"]

ABI = 5  # of the structures below; as in csrc/core.c
N_SHELLS = 24
_double, _int32, _int64 = c_void_p, c_void_p, c_void_p  # arrays, given by their addresses


class PairTable(Structure):
    _fields_ = (
        [(n, c_int64) for n in ("n_separations_a", "n_separations_b", "n_terms", "n_unique", "n_entries")]
        + [(n, _double) for n in ("z", "x", "y")]
        + [(n, _int32) for n in ("radius_a", "radius_b", "first", "term")]
        + [("weight", _double)]
        + [(n, _int32) for n in ("row", "col", "unique")]
    )


class OverlapTable(Structure):
    _fields_ = [("n_terms", c_int64), ("top", c_int64), ("m", _int32), ("i", _int32), ("j", _int32), ("c", _double)]


class Generator(Structure):
    _fields_ = [("n_entries", c_int64), ("axis", _int32), ("row", _int32), ("col", _int32), ("value", _double)]


class OneCenter(Structure):
    _fields_ = (
        [("n_entries", c_int64)] + [(n, _int32) for n in ("row", "col", "first", "radial")] + [("value", _double)]
    )


class Tables(Structure):
    _fields_ = [
        ("pair", PairTable * 12),
        ("overlap", POINTER(OverlapTable) * (N_SHELLS * N_SHELLS)),
        ("orbital", Generator * 3),
        ("product", Generator * 3),
        ("one_center", OneCenter * 3),
        *((n, _double) for n in ("nodes", "weights", "powers", "forms")),
        *((n, _int32) for n in ("product_a", "product_b")),
        *((n, _double) for n in ("series", "boron", "pd_moment")),
        ("hartree", c_double),
        ("bohr", c_double),
    ]


class MethodTable(Structure):
    _fields_ = [
        ("kind", c_int64),
        ("parameters", _double),
        ("integers", _int32),
        ("pair_alpha", _double),
        ("pair_x", _double),
        ("distance", c_double),
        ("steepness", c_double),
    ]


class Options(Structure):
    _fields_ = [
        ("tolerance", c_double),
        ("max_iterations", c_int64),
        ("max_descent", c_int64),
        ("history", c_int64),
        ("iterate", c_int64),
        ("search", c_int64),
    ]


class Batch(Structure):
    _fields_ = [
        ("tables", POINTER(Tables)),
        ("method", POINTER(MethodTable)),
        ("options", Options),
        *((n, c_int64) for n in ("n_systems", "n_spins_out", "size")),
        *((n, _int64) for n in ("first_atom", "first_pair", "n_spins", "n_occupied", "row")),
        *((n, _double) for n in ("positions", "masses", "guess", "closed_angles", "open_angles")),
        *((n, _double) for n in ("density", "fock", "electronic", "core", "residual", "charges", "dipole")),
        *((n, _int64) for n in ("iterations", "state")),
        *((n, _double) for n in ("gradient", "by_parameter", "factors", "by_factor")),
        ("n_surrounded", c_int64),
        *((n, _double) for n in ("surrounding", "reaction")),
    ]


@cache
def library() -> Any | None:
    """The library of the best build for this processor; None where it was not built, or is of another version."""
    return best_build(Path(__file__).parent, _fits)


def _fits(loaded: Any) -> bool:
    sizes = [loaded.nddo_core_sizes(k) for k in range(3)]
    loaded.nddo_core_solve.restype = c_int64
    loaded.nddo_core_open.restype = c_void_p
    loaded.nddo_core_hamiltonian.restype = POINTER(c_double)
    loaded.nddo_core_hamiltonian.argtypes = [c_void_p]
    loaded.nddo_core_fock.argtypes = [c_void_p, c_void_p, c_void_p]
    loaded.nddo_core_finish.argtypes = loaded.nddo_core_close.argtypes = [c_void_p]
    return loaded.nddo_core_abi() == ABI and sizes == [ctypes.sizeof(s) for s in (Tables, MethodTable, Batch)]
