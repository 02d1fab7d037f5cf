"""The tables of ``data/`` (sources in ``data/SOURCES.md``) as rows of text."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources


@cache
def rows(table: str) -> tuple[dict[str, str], ...]:
    """The rows of ``data/TABLE.csv``, by the names of the columns; none where there is no such file."""
    file = resources.files("nddo_ml").joinpath("data", f"{table}.csv")
    return tuple(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.is_file() else ()


def element_rows(table: str, *, with_d: bool) -> list[dict[str, str]]:
    """The rows of a method's table that describe an element completely; those with d orbitals only if asked for."""
    valence = {row["Z"] for row in rows("elements") if int(row["n_s"])}
    complete = [row for row in rows(table) if row["zeta_s"] and row["Z"] in valence]
    return [row for row in complete if with_d or not row.get("zeta_d")]
