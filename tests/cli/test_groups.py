"""Groups of options."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import typer
from typer.testing import CliRunner

from nddo_ml.cli.groups import expanded

Size = Annotated[int, typer.Option("--size", "-s")]


@dataclass(frozen=True)
class Box:
    """A group."""

    size: Size = 2
    name: Annotated[str, typer.Option("--name")] = "box"


def pack(*, first: Annotated[str, typer.Argument()], box: Box, last: Annotated[bool, typer.Option("--last")] = False):
    print(first, box, last)


def test_a_group_is_its_fields() -> None:
    assert list(signature(expanded(pack)).parameters) == ["first", "size", "name", "last"]
    app = typer.Typer()
    app.command()(expanded(pack))
    found = CliRunner().invoke(app, ["a", "-s", "3", "--last"])
    assert found.output.strip() == f"a {Box(3)} True"


def test_fields_that_are_left_out_have_the_groups_defaults(capsys) -> None:
    expanded(pack)(first="b", name="crate")
    assert capsys.readouterr().out.strip() == f"b {Box(2, 'crate')} False"
