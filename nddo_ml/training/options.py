"""Options of configurations: their types and ranges stand in annotations, and are checked by these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, Strict, TypeAdapter, ValidationError

from nddo_ml.errors import InputError

Keys = tuple[str | int, ...]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, le=1_000_000_000)]
Distance = Annotated[float, Field(gt=0, le=100)]  # Å
Width = Annotated[int, Field(ge=1, le=10_000)]  # nodes of a layer
Widths = Annotated[tuple[Width, ...], Strict(strict=False), Field(max_length=20)]
Size = Literal["small", "medium", "large"]  # of an automatic set of symmetry functions
Names = Annotated[tuple[str, ...], Strict(strict=False)]
_WORDS = {  # pydantic's kinds of error -> what is expected
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_pattern_mismatch": "cpu, cuda or cuda:0, cuda:1, …",
    "invalid-json-value": "plain data",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
}


class OptionError(InputError):
    """An option is unknown, missing or wrong; ``keys`` lead to it, and ``reason`` says what is expected."""

    def __init__(self, keys: Keys, reason: str) -> None:
        super().__init__(f"{dotted(keys)} {reason}" if keys else reason)
        self.keys, self.reason = keys, reason


def dotted(keys: Keys) -> str:
    """``phases.0.lr``, as ``--set`` takes it."""
    return ".".join(str(key) for key in keys)


class Checked:
    """A dataclass that checks its fields by their annotations when it is made."""

    def __post_init__(self) -> None:
        check_fields(self)


def check_fields(instance: Any) -> None:
    """Check a dataclass's fields by their annotations.

    Raises:
        OptionError: a field of another type or out of its range.
    """
    kind: Any = type(instance)
    for name, check in _checks(kind).items():
        _check_value(check, getattr(instance, name), (name,))


def check_arguments(function: Callable[..., Any], options: Mapping[str, Any], keys: Keys, own: tuple[str, ...]) -> None:
    """Check options by the annotations of the parameters that they will be given to, but for its ``own``.

    Raises:
        OptionError: an option that is unknown, missing, of another type or out of its range.
    """
    target = function.__init__ if inspect.isclass(function) else function
    parameters = dict(inspect.signature(target).parameters)
    others = [p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    known = [name for name in parameters if name not in ("self", *own, *others)]
    for name, value in options.items():
        if name in known:
            _check_value(_checks(target)[name], value, (*keys, name))
        elif not others:
            raise OptionError((*keys, name), f"is unknown; there are {', '.join(known)}")
    for name in known:
        if name not in options and parameters[name].default is inspect.Parameter.empty:
            raise OptionError((*keys, name), "is needed and not given")


@cache
def _checks(of: Hashable) -> dict[str, TypeAdapter[Any]]:
    """pydantic's checks by name: no conversions but of whole numbers to floats, no infinite numbers.

    They are of tuples of one value, since pydantic takes these settings for no dataclass itself.
    """
    strict: Any = {"strict": True, "allow_inf_nan": False, "arbitrary_types_allowed": True}
    hints = {k: v for k, v in get_type_hints(of, include_extras=True).items() if k != "return"}
    checks: dict[str, TypeAdapter[Any]] = {}
    for name, hint in hints.items():
        alone: Any = tuple.__class_getitem__(hint)
        checks[name] = TypeAdapter(alone, config=strict)
    return checks


def _check_value(check: TypeAdapter[Any], value: Any, keys: Keys) -> None:
    try:
        check.validate_python((value,))
    except ValidationError as error:
        found = error.errors(include_url=False)
        place = found[0]["loc"][1:] if len(found) == 1 else ()
        inner: list[str | int] = []
        for key in place:  # alternatives have places too, which are no keys
            known = (
                value if isinstance(value, Mapping) else range(len(value)) if isinstance(value, list | tuple) else ()
            )
            if key not in known:
                break
            value = value[key]
            inner.append(key)
        words = [_WORDS.get(e["type"], e["msg"].replace("Input should be ", "")) for e in found]
        raise OptionError((*keys, *inner), f"must be {' or '.join(dict.fromkeys(words))}; got {value!r:.80}") from None
