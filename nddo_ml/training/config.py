"""A training's configuration: TOML into frozen dataclasses; unknown keys and wrong types are errors."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nddo_ml.datasets.dataset import Source
from nddo_ml.errors import InputError

MIXTURE = "mixture.pt"  # in a run's folder: what the part after goes on from


@dataclass(frozen=True)
class DataConfig:
    """Which files; without validation files a fraction of the training data is held out."""

    train: tuple[Source, ...] = ()
    validation: tuple[Source, ...] = ()
    test: tuple[Source, ...] = ()
    validation_fraction: float = 0.1
    group_weights: Mapping[str, float] = field(default_factory=dict)
    check_units: bool = True
    stress_order: str = "given"  # given | auto: exchanged off-diagonal components are put right, with a warning


@dataclass(frozen=True)
class LossConfig:
    """Weights of the labels, 1 over the square of eV an atom, eV/Å, eV/Å³, e·Å, e; Huber's δ where given."""

    energy: float = 0.0
    forces: float = 0.0
    stress: float = 0.0
    dipole: float = 0.0
    charges: float = 0.0
    huber: Mapping[str, float] = field(default_factory=dict)
    l2: float = 0.0  # penalty on the squared weights (not biases)
    shifts: float = 0.0  # penalty on a hybrid's parameter shifts: on the mean square of shift over bound


@dataclass(frozen=True)
class PhaseConfig:
    """One optimiser for some epochs."""

    optimizer: str = "adam"  # adam | soap | lbfgs | kalman
    epochs: int = 100
    batch: int = 8  # structures a step; lbfgs: structures held at once, every step sees all
    lr: float = 1e-3
    final_lr: float = 1e-5
    schedule: str = "cosine"  # cosine | exponential | constant
    weight_decay: float = 0.0
    clip: float = 0.0  # largest norm of the gradient; 0: no limit
    average: float = 0.0  # decay a step of the averaged weights, which are the ones validated and kept; 0: none
    patience: int = 0  # epochs without a better validation loss before the phase ends; 0: never
    validate_every: int = 1
    history: int = 50  # lbfgs: remembered steps
    inner: int = 20  # lbfgs: iterations an epoch
    force_updates: int = 4  # kalman: updates by forces a batch
    covariance: float = 1.0  # kalman: of the weights at the start; small for weights that are already good


@dataclass(frozen=True)
class ModelConfig:
    """What is trained; ``options`` are those of the kind's builder."""

    kind: str = "nnp"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AfterConfig:
    """Delta learning beside the finished hybrid; loss and phases are the configuration's where not given."""

    energy: Mapping[str, Any]  # options of the AtomicEnergyCorrection
    loss: LossConfig
    phases: tuple[PhaseConfig, ...]


@dataclass(frozen=True)
class TrainConfig:
    """Everything of one training."""

    data: DataConfig
    loss: LossConfig
    phases: tuple[PhaseConfig, ...]
    model: ModelConfig = field(default_factory=ModelConfig)
    output: str = "runs/train"
    seed: int = 1
    committee: int = 1
    after: AfterConfig | None = None
    workers: int = 1  # committee members trained at once, each in a process of its own
    device: str = "cpu"  # cpu | cuda; with several processes each takes the GPU of its local rank
    checkpoint_seconds: float = 60.0
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data.stress_order not in ("given", "auto"):
            raise InputError(f"data: stress_order must be given or auto; got {self.data.stress_order!r}")
        if not self.phases:
            raise InputError("a training needs at least one [[phases]] table; got none")
        for phase in [*self.phases, *(self.after.phases if self.after else ())]:
            if phase.optimizer not in ("adam", "soap", "lbfgs", "kalman"):
                raise InputError(f"phases: optimizer must be adam, soap, lbfgs or kalman; got {phase.optimizer!r}")
            if phase.schedule not in ("cosine", "exponential", "constant"):
                raise InputError(f"phases: schedule must be cosine, exponential or constant; got {phase.schedule!r}")
            if min(phase.epochs, phase.batch, phase.validate_every) < 1 or not phase.lr > 0:
                raise InputError(f"phases: epochs, batch, validate_every and lr must be positive; got {phase}")
        if self.committee < 1 or self.workers < 1:
            raise InputError(f"committee and workers must be at least 1; got {self.committee} and {self.workers}")
        if self.after and self.model.kind not in ("nddo", "delta"):
            raise InputError(f"after: goes on from a hybrid, model.kind nddo or delta; got {self.model.kind!r}")

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
        InputError: no such file, not TOML, an unknown key, a value of the wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such configuration file")
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML ({error})") from None
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        place = table
        for name in parents:
            place = _entry(place, name, path)
        place[last] = value
    data = dict(table.get("data", {}))
    for part in ("train", "validation", "test"):
        data[part] = _sources(data.get(part, ()), path, part)
    model = dict(table.get("model", {}))
    kind = model.pop("kind", "nnp")
    after = None
    if "after" in table:
        where = f"{path}: after"
        given = {key: table[key] for key in ("loss", "phases") if key in table} | table["after"]
        after = _build(AfterConfig, {"energy": {}, **given, **_training(given, where)}, where)
    return _build(
        TrainConfig,
        {
            **table,
            **_training(table, str(path)),
            "data": _build(DataConfig, data, f"{path}: data"),
            "model": ModelConfig(kind, model),
            "after": after,
        },
        str(path),
    )


def _training(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Loss and phases of a table."""
    phases = enumerate(table.get("phases", []))
    return {
        "loss": _build(LossConfig, table.get("loss", {}), f"{where}: loss"),
        "phases": tuple(_build(PhaseConfig, p, f"{where}: phases[{k}]") for k, p in phases),
    }


def _entry(place: Any, name: str, path: Path) -> Any:
    """A table inside another, made if missing, or one of a list of tables by its number."""
    if not isinstance(place, list):
        return place.setdefault(name, {})
    if not name.isdigit() or int(name) >= len(place):
        raise InputError(f"{path}: expected a number below {len(place)}; got {name!r}")
    return place[int(name)]


def _sources(entries: Any, config: Path, part: str) -> tuple[Source, ...]:
    entries = [entries] if isinstance(entries, str | Mapping) else entries
    sources = []
    for entry in entries:
        values = {"path": entry} if isinstance(entry, str) else dict(entry)
        if "path" not in values:
            raise InputError(f"{config}: data.{part} needs paths; got {entry!r}")
        beside = config.parent / values["path"]
        if not Path(values["path"]).exists() and beside.exists():
            values["path"] = str(beside)
        sources.append(_build(Source, values, f"{config}: data.{part}"))
    return tuple(sources)


def _build(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """A dataclass of a table's values, types checked against those of the defaults."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise InputError(f"{where}: unknown key {name!r}; there are {', '.join(fields)}")
        default = fields[name].default
        if default is dataclasses.MISSING or default is None or isinstance(value, type(default)):
            continue
        if not (isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)):
            if isinstance(default, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
                continue
            raise InputError(f"{where}: {name} must be of type {type(default).__name__}; got {value!r}")
    return kind(**values)
