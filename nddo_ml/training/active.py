"""Active learning: train a committee, label where its members differ most, train again.

Everything of a round stands in a folder of its own, ``round_0``, ``round_1``, …: the run of the training, what was
proposed (``proposed.extxyz``) and its labels (``labels.extxyz``), so that a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nddo_ml.datasets.dataset import Source as DataSource
from nddo_ml.errors import InputError
from nddo_ml.labelling.run import Outcome, Task, label
from nddo_ml.labelling.sources import Source
from nddo_ml.labelling.store import KEY, LabelFile, structure_key
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model
from nddo_ml.results.pool import Resources
from nddo_ml.results.targets import whole
from nddo_ml.systems import Systems
from nddo_ml.training.config import TrainConfig
from nddo_ml.training.run import MODEL, train
from nddo_ml.workflows import dynamics

if TYPE_CHECKING:
    from ase import Atoms

PROPOSED, LABELS, HISTORY = "proposed.extxyz", "labels.extxyz", "rounds.json"
SPREAD = "spread_eV"
AT_ONCE = 256  # structures
DOUBTFUL = 3.0  # times the pool's median spread, from which a path is not followed further


@dataclass(frozen=True)
class Plan:
    """How much is proposed, and where from."""

    rounds: int = 3  # of labels; models are trained once more
    batch: int = 50  # structures a round
    until: float = 0.0  # eV, largest spread a square root of atoms at which there is nothing left to learn
    steps: int = 0  # of dynamics from the most doubtful structures of the pool; 0: none
    every: int = 20  # steps between structures that are looked at
    motion: dynamics.Motion = field(default_factory=lambda: dynamics.Motion(0.5, 300.0, friction=5.0))

    def __post_init__(self) -> None:
        if min(self.rounds, self.batch, self.every) < 1 or min(self.steps, self.until) < 0:
            raise InputError(
                "expected at least one round, one structure a round and one step between looks; got "
                f"{self.rounds}, {self.batch} and {self.every}, with {self.steps} steps and until {self.until}"
            )


@dataclass(frozen=True)
class Round:
    """What a round found. Spreads are standard deviations of the committee over the square root of atoms, eV."""

    number: int
    learned: int  # labels of earlier rounds that the model was trained with
    median: float | None = None  # spread of the candidates; None in the last round, which proposes nothing
    largest: float | None = None
    proposed: int = 0
    labelled: int = 0
    failed: int = 0
    test_errors: dict[str, Any] | None = None


def learn(
    config: TrainConfig,
    pool: Sequence[Task],
    source: Source,
    plan: Plan,
    resources: Resources,
    *,
    retry_failed: bool = False,
    on_round: Callable[[Round], None] = lambda found: None,
    on_epoch: Callable[[Any], None] = lambda entry: None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Path:
    """Rounds of training, proposing and labelling in the folder ``config.output``; the path of the last model.

    Args:
        config: of the training; its data are what is known at first.
        pool: structures without labels, as :func:`nddo_ml.labelling.run.prepare` makes them.
        source: of the labels: PySCF, a calculator, a program.
        plan: how many.
        resources: what the labels are computed with.
        retry_failed: whether labels that failed before are tried again.
        on_round: is told of every round that is finished.
        on_epoch: as of :func:`nddo_ml.training.run.train`.
        on_outcome: as of :func:`nddo_ml.labelling.run.label`.

    Raises:
        InputError: as from the training and the labelling, or a model that has no spread.
    """
    output = Path(config.output)
    _check_same(output, config, pool, source, plan)
    history: list[Round] = []
    used: set[str] = set()
    for number in range(plan.rounds + 1):
        folder = output / f"round_{number}"
        learned = [output / f"round_{k}" / LABELS for k in range(number)]
        model, errors = _trained(config, folder, [p for p in learned if p.is_file()], on_epoch)
        found = Round(number, sum(r.labelled for r in history), test_errors=errors)
        if number < plan.rounds:
            if not (folder / PROPOSED).is_file():
                _propose(model, [t for t in pool if t.key not in used], plan, number, folder / PROPOSED)
            chosen, spreads = _proposed(folder)
            used |= {t.key for t in chosen}
            label(chosen, folder / LABELS, source, resources, retry_failed, on_outcome)
            with LabelFile(folder / LABELS, source.description) as file:
                labelled = len(file.done)
            median, largest, missing = spreads["median"], spreads["largest"], len(chosen) - labelled
            found = Round(number, found.learned, median, largest, len(chosen), labelled, missing, errors)
        history.append(found)
        _write(output / HISTORY, [asdict(r) for r in history])
        on_round(found)
        if found.largest is not None and (not found.labelled or found.largest < plan.until):
            break
    return folder / MODEL


def spread_of(model: AbstractModel, frames: Sequence[Atoms]) -> np.ndarray:
    """Standard deviation of a committee's energies over the square root of atoms, [frames] eV; NaN where it has none.

    Raises:
        InputError: a model that is no committee, or that cannot have the structures.
    """
    found = []
    for begin in range(0, len(frames), AT_ONCE):
        systems = _systems(frames[begin : begin + AT_ONCE])
        spread = model(systems, on_failure="mask").energy_spread
        if spread is None:
            raise InputError(
                f"{model.name}: expected a committee, whose members' differences say where labels are needed "
                "(committee = 4 in the configuration); got a single model"
            )
        found.append((spread / systems.atoms_per_system.sqrt()).detach().numpy())
    return np.concatenate(found) if found else np.zeros(0)


def _systems(frames: Sequence[Atoms]) -> Systems:
    return Systems.from_ase(list(frames), [a.info["charge"] for a in frames], [a.info["multiplicity"] for a in frames])


def _trained(
    config: TrainConfig, folder: Path, learned: Sequence[Path], on_epoch: Callable[[Any], None]
) -> tuple[AbstractModel, dict[str, Any] | None]:
    """The round's model and its errors on the test files, from the folder where it is finished."""
    if (folder / MODEL).is_file():
        errors = folder / "errors.json"
        return load_model(folder / MODEL), _read(errors) if errors.is_file() else None
    data = replace(config.data, train=(*config.data.train, *(DataSource(str(p)) for p in learned)))
    result = train(replace(config, data=data, output=str(folder)), on_epoch=on_epoch)
    return result.model, result.test_errors


def _propose(model: AbstractModel, left: Sequence[Task], plan: Plan, number: int, path: Path) -> None:
    """Write the structures with the largest spread, of the pool and of paths from there."""
    spreads = spread_of(model, [t.atoms for t in left])
    known = np.isfinite(spreads)
    median = float(np.median(spreads[known])) if known.any() else 0.0
    order = np.argsort(np.where(known, -spreads, np.inf), kind="stable")[: plan.batch]
    first = [left[k] for k in order.tolist() if known[k]]
    found = list(zip(first, spreads[order].tolist(), strict=False))
    if plan.steps and first:
        found += _on_paths(model, first, plan, replace(plan.motion, seed=plan.motion.seed + number), median)
    found = sorted(found, key=lambda pair: -pair[1])[: plan.batch]
    frames = []
    for task, spread in found:
        atoms = task.atoms.copy()
        atoms.info |= {KEY: task.key, SPREAD: spread}
        frames.append(atoms)
    from ase.io import write

    _write(path.with_suffix(".json"), {"median": median, "largest": found[0][1] if found else 0.0})
    with whole(path) as unfinished:  # last, for it says that the round has its proposals
        write(unfinished, frames, format="extxyz")


def _on_paths(
    model: AbstractModel, starts: Sequence[Task], plan: Plan, motion: dynamics.Motion, median: float
) -> list[tuple[Task, float]]:
    """One structure of each path: the first that is very doubtful, else the most doubtful one."""
    systems, stream = _systems([t.atoms for t in starts]), torch.arange(len(starts))
    state = dynamics.first_state(systems, motion, stream)
    _, samples = dynamics.run(systems, model, motion, state, stream, plan.steps, plan.every)
    place = [torch.nonzero(systems.system_idx == k).squeeze(1) for k in range(len(starts))]
    found = []
    for task, rows in zip(starts, place, strict=True):
        frames = [_moved(task, s.positions[rows]) for s in samples[1:]]
        spreads = spread_of(model, frames)
        if not np.isfinite(spreads).any():
            continue
        far = np.flatnonzero(spreads > DOUBTFUL * median)
        best = int(far[0]) if far.size else int(np.nanargmax(spreads))
        found.append((Task(structure_key(frames[best]), task.source, task.frame, frames[best]), float(spreads[best])))
    return found


def _moved(task: Task, positions: Tensor) -> Atoms:
    atoms = task.atoms.copy()
    atoms.positions = positions.numpy()
    return atoms


def _proposed(folder: Path) -> tuple[list[Task], dict[str, float]]:
    """What was proposed, and the spreads of the candidates."""
    from ase.io import read

    frames = read(folder / PROPOSED, ":", format="extxyz") if (folder / PROPOSED).stat().st_size else []
    tasks = [Task(str(a.info.pop(KEY)), str(a.info["source"]), int(a.info["frame"]), a) for a in frames]
    return tasks, _read((folder / PROPOSED).with_suffix(".json"))


def _check_same(output: Path, config: TrainConfig, tasks: Sequence[Task], source: Source, plan: Plan) -> None:
    """Refuse a folder of another run; more rounds may follow in one's own."""
    settings = {
        "configuration": json.loads(json.dumps(asdict(replace(config, output="run", workers=1)), default=str)),
        "data": {s.path: _digest(Path(s.path)) for s in (*config.data.train, *config.data.validation)},
        "pool": sorted(t.key for t in tasks),
        "labels": source.description,
        "plan": asdict(replace(plan, rounds=1)),
    }
    output.mkdir(parents=True, exist_ok=True)
    path = output / "learn.json"
    if not path.is_file():
        _write(path, settings)
        return
    old = _read(path)
    other = [name for name, value in settings.items() if old.get(name) != value]
    if other:
        raise InputError(
            f"{output} holds a run with another {' and another '.join(other)}; expected the same, or a new folder"
        )


def _digest(path: Path) -> str:
    """Of a file's content; none where the training will say that there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected what an earlier call wrote; it cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected what an earlier call wrote; got a {type(content).__name__}")
    return content


def _write(path: Path, content: Any) -> None:
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
