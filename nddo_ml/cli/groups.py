"""Options that go together: a parameter of a command that is a dataclass stands for an option for each field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its groups as options of their own, which is what typer reads."""
    parameters: list[Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in signature(command, eval_str=True).parameters.items():
        kind = parameter.annotation
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
            continue
        hints, groups[name] = get_type_hints(kind, include_extras=True), kind
        parameters += [
            Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]) for f in fields(kind)
        ]

    @wraps(command)
    def flat(**options: Any) -> None:
        made = {
            name: kind(**{f.name: options.pop(f.name) for f in fields(kind) if f.name in options})
            for name, kind in groups.items()
        }
        command(**made, **options)

    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    flat.__dict__["__signature__"] = Signature(parameters)
    return flat
