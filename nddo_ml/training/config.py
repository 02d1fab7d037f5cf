"""A training's configuration: frozen dataclasses, whose annotations say what is allowed, read from TOML.

Every mistake is named with its key and line before any data are read.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, InstanceOf, JsonValue, Strict

from nddo_ml.datasets.dataset import Source
from nddo_ml.errors import InputError
from nddo_ml.training.build import check_options
from nddo_ml.training.options import (
    Checked,
    Count,
    Fraction,
    Keys,
    Names,
    NotNegative,
    OptionError,
    Positive,
    Seed,
    check_arguments,
    check_fields,
    dotted,
)

MIXTURE = "mixture.pt"  # in a run's folder: what the part after goes on from
_LONGEST = 2000  # lines of a file in which a key's line is looked for
Sources = Annotated[tuple[InstanceOf[Source], ...], Strict(strict=False)]
Label = Literal["energy", "forces", "stress", "dipole", "charges"]


@dataclass(frozen=True)
class DataConfig(Checked):
    """Which files; without validation files a fraction of the training data is held out."""

    train: Sources = ()
    validation: Sources = ()
    test: Sources = ()
    validation_fraction: Fraction = 0.1
    groups: Names = ()  # of the training data only these; none given: all
    exclude_groups: Names = ()  # of the training data not these: not for scaling, ranges or references either
    group_weights: Mapping[str, NotNegative] = field(default_factory=dict)
    check_units: bool = True
    stress_order: Literal["given", "auto"] = "given"  # auto: exchanged components are put right, with a warning


@dataclass(frozen=True)
class LossConfig(Checked):
    """Weights of the labels, 1 over the square of eV an atom, eV/Å, eV/Å³, e·Å, e; Huber's δ where given."""

    energy: NotNegative = 0.0
    forces: NotNegative = 0.0
    stress: NotNegative = 0.0
    dipole: NotNegative = 0.0
    charges: NotNegative = 0.0
    relative: NotNegative = 0.0  # 1/eV², of energies from the mean of their family: group, composition, charge, zero
    huber: Mapping[Label | Literal["relative"], Positive] = field(default_factory=dict)
    l2: NotNegative = 0.0  # penalty on the squared weights (not biases)
    shifts: NotNegative = 0.0  # penalty on a hybrid's parameter shifts: on the mean square of shift over bound


@dataclass(frozen=True)
class PhaseConfig(Checked):
    """One optimiser for some epochs, of all weights and labels or some of them."""

    optimizer: Literal["adam", "soap", "lbfgs", "kalman"] = "adam"
    epochs: Count = 100
    batch: Count = 8  # structures a step; lbfgs: structures held at once, every step sees all
    lr: Positive = 1e-3
    final_lr: Positive = 1e-5
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    weight_decay: NotNegative = 0.0
    clip: NotNegative = 0.0  # largest norm of the gradient; 0: no limit
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay a step of the averaged weights, which are kept; 0: none
    patience: Annotated[int, Field(ge=0)] = 0  # epochs without a better validation loss before the end; 0: never
    validate_every: Count = 1
    history: Annotated[int, Field(ge=1, le=1000)] = 50  # lbfgs: remembered steps
    inner: Annotated[int, Field(ge=1, le=1000)] = 20  # lbfgs: iterations an epoch
    force_updates: Annotated[int, Field(ge=0, le=1000)] = 4  # kalman: updates by forces a batch
    covariance: Positive = 1.0  # kalman: of the weights at the start; small for weights that are already good
    part: Literal["all", "short", "charges"] = "all"  # short: networks of energies; charges: what charges come from
    labels: Annotated[tuple[Label, ...], Strict(strict=False)] = ()  # of the loss only these; none given: all


@dataclass(frozen=True)
class ModelConfig(Checked):
    """What is trained; ``options`` are those of the kind's builder."""

    kind: Literal["nnp", "nddo", "delta", "start"] = "nnp"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AfterConfig(Checked):
    """Delta learning beside the finished hybrid; loss and phases are the configuration's where not given."""

    energy: Mapping[str, Any]  # options of the AtomicEnergyCorrection
    loss: InstanceOf[LossConfig]
    phases: tuple[InstanceOf[PhaseConfig], ...]


@dataclass(frozen=True)
class TrainConfig:
    """Everything of one training."""

    data: InstanceOf[DataConfig]
    loss: InstanceOf[LossConfig]
    phases: Annotated[tuple[InstanceOf[PhaseConfig], ...], Strict(strict=False)]
    model: InstanceOf[ModelConfig] = field(default_factory=ModelConfig)
    output: Annotated[str, Field(min_length=1)] = "runs/train"
    seed: Seed = 1
    committee: Annotated[int, Field(ge=1, le=100)] = 1
    after: InstanceOf[AfterConfig] | None = None
    workers: Annotated[int, Field(ge=1, le=1000)] = 1  # committee members trained at once, each in a process of its own
    device: Annotated[str, Field(pattern="^(cpu|cuda(:[0-9]+)?)$")] = "cpu"  # with processes, cuda: of the local rank
    checkpoint_seconds: NotNegative = 60.0
    card: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.phases:
            raise OptionError((), "a training needs at least one [[phases]] table; got none")
        if not any(getattr(self.loss, label) > 0 for label in get_args(Label)):
            raise OptionError(("loss",), "must have a positive weight for one label")
        if self.after and self.model.kind not in ("nddo", "delta"):
            reason = f"goes on from a hybrid, model.kind nddo or delta; got {self.model.kind!r}"
            raise OptionError(("after",), reason)

    def single(self) -> list[TrainConfig]:
        """The trainings of single models that this one consists of, each in a folder of its own where there are
        several: those of the committee, whose seeds count up, then the one that goes on from their mixture.
        """
        alone = replace(self, committee=1, after=None)
        jobs = [
            replace(alone, seed=self.seed + k, output=str(Path(self.output) / f"member_{k + 1}"))
            for k in range(self.committee)
        ]
        if self.after:
            options = {**self.after.energy, "base": str(Path(self.output) / MIXTURE)}
            if "name" in self.model.options:
                options["name"] = self.model.options["name"]
            model = ModelConfig("delta", options)
            output = str(Path(self.output) / "after")
            jobs.append(replace(alone, model=model, loss=self.after.loss, phases=self.after.phases, output=output))
        return jobs if len(jobs) > 1 else [self]


def read_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a TOML file; ``overrides`` ("loss.energy", "phases.0.epochs" -> value) replace or add entries.

    Paths of data are taken relative to the working directory, or else to the file's folder.

    Raises:
        InputError: no such file, not TOML, an unknown key, a value of the wrong type or out of its range; with the key
            and the line of the file.
    """
    path = Path(path)
    text = _text(path)
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path}: not a configuration: tables or arrays are nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid TOML ({error})") from None
    set_ = dict(overrides or {})
    try:
        for key, value in set_.items():
            _override(table, key.split("."), value)
        return _configuration(table, path.parent)
    except OptionError as error:
        raise InputError(f"{_where(path, text, error.keys, set_)}: {error}") from None


def line_of(text: str, keys: Keys) -> int | None:
    """Line, from 1, of the statement that sets a key: the first statement after which the text has it."""
    lines = text.split("\n")
    whole = 0  # lines that are TOML by themselves; a statement may take several
    for n in range(1, min(len(lines), _LONGEST) + 1):
        try:
            table = tomllib.loads("\n".join(lines[:n]))
        except ValueError:
            continue
        if _has(table, keys):
            return next(k for k in range(whole + 1, n + 1) if lines[k - 1].split("#")[0].strip())
        whole = n
    return None


@dataclass(frozen=True)
class _Table:
    """A table of the configuration and the keys that lead to it."""

    values: Mapping[str, Any]
    keys: Keys = ()

    def table(self, key: str, default: Any = None) -> _Table:
        """A table in this one."""
        value = self.values.get(key, {} if default is None else default)
        return _table(value, (*self.keys, key))

    def build(self, kind: type[Any], **given: Any) -> Any:
        """A dataclass of the values, with those of ``given`` in place of raw ones."""
        names = [f.name for f in dataclasses.fields(kind)]
        for name in self.values:
            if name not in names:
                raise OptionError((*self.keys, name), f"is unknown; there are {', '.join(names)}")
        try:
            return kind(**{**self.values, **given})
        except OptionError as error:
            raise OptionError((*self.keys, *error.keys), error.reason) from None


def _configuration(raw: Mapping[str, Any], folder: Path) -> TrainConfig:
    table = _Table(raw)
    data = table.table("data")
    files = {part: _sources(data, part, folder) for part in ("train", "validation", "test")}
    model = table.table("model")
    options = {key: value for key, value in model.values.items() if key != "kind"}
    kind = _Table({"kind": model.values.get("kind", "nnp")}, ("model",)).build(ModelConfig, options=options)
    after = None
    if "after" in raw:
        own = table.table("after")
        loss = own.table("loss") if "loss" in own.values else table.table("loss")
        phases = _phases(own if "phases" in own.values else table)
        energy = own.table("energy")
        check_options("delta", {**energy.values, "base": ""}, energy.keys)
        after = own.build(AfterConfig, energy=energy.values, loss=loss.build(LossConfig), phases=phases)
    given = {
        "data": data.build(DataConfig, **files),
        "loss": table.table("loss").build(LossConfig),
        "phases": _phases(table),
        "model": kind,
        "after": after,
    }
    config: TrainConfig = table.build(TrainConfig, **given)
    check_options(config.model.kind, options, ("model",))
    return config


def _phases(table: _Table) -> tuple[PhaseConfig, ...]:
    entries, keys = table.values.get("phases", []), (*table.keys, "phases")
    if not isinstance(entries, list):
        raise OptionError(keys, f"must be a list of tables, [[{dotted(keys)}]]; got {entries!r:.80}")
    return tuple(_table(entry, (*keys, k)).build(PhaseConfig) for k, entry in enumerate(entries))


def _table(value: Any, keys: Keys) -> _Table:
    if not isinstance(value, Mapping):
        raise OptionError(keys, f"must be a table; got {value!r:.80}")
    return _Table(value, keys)


def _sources(data: _Table, part: str, folder: Path) -> tuple[Source, ...]:
    """Files of a part: one name or table, or a list of them."""
    entries, keys = data.values.get(part, []), (*data.keys, part)
    if isinstance(entries, str | Mapping):
        entries = [entries]
    if not isinstance(entries, list):
        raise OptionError(keys, f"must be files: names, or tables with a path; got {entries!r:.80}")
    sources = []
    for k, entry in enumerate(entries):
        place = (*keys, k)
        values = {"path": entry} if isinstance(entry, str) else dict(_table(entry, place).values)
        check_arguments(Source, values, place, ())
        name = values["path"]
        if not name or "\0" in name:
            raise OptionError(place, f"must be the name of a file; got {name!r:.80}")
        if not Path(name).exists() and (folder / name).exists():
            values["path"] = str(folder / name)
        try:
            sources.append(Source(**values))
        except InputError as error:
            raise OptionError(place, f"is wrong: {error}") from None
    return tuple(sources)


def _text(path: Path) -> str:
    """The file as text: UTF-8, with or without a mark of the byte order."""
    if not path.is_file():
        raise InputError(f"{path}: no such configuration file")
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: expected text in UTF-8; got the byte 0x{data[error.start]:02x}"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _override(table: Any, keys: list[str], value: Any) -> None:
    """Put a value where its keys lead, through tables that are made if missing, or lists of tables by number."""
    place = table
    for depth, name in enumerate(keys):
        last = depth == len(keys) - 1
        here = tuple(keys[:depth])
        if isinstance(place, list):
            if not name.isdecimal() or int(name) >= len(place):
                raise OptionError(here, f"has entries 0 to {len(place) - 1}; got {name!r}")
            at: Any = int(name)
        elif isinstance(place, dict):
            at = name
        else:
            raise OptionError(here, f"is {place!r:.80}, which has no {name!r}")
        if last:
            place[at] = value
        else:
            place = place[at] if isinstance(place, list) else place.setdefault(at, {})


def _where(path: Path, text: str, keys: Keys, overrides: Mapping[str, Any]) -> str:
    """File and line of a key, or the override that set it."""
    name = dotted(keys)
    for key in overrides:
        if name == key or name.startswith(f"{key}."):
            return f"{path}, with {key} from the command line"
    for depth in range(len(keys), 0, -1):  # a key that is missing has no line, but its table has
        line = line_of(text, keys[:depth])
        if line is not None:
            return f"{path}, line {line}"
    return str(path)


def _has(table: Any, keys: Keys) -> bool:
    place = table
    for key in keys:
        if isinstance(place, list):
            if not isinstance(key, int) or key >= len(place):
                return False
        elif not isinstance(place, Mapping) or key not in place:
            return False
        place = place[key]
    return True
