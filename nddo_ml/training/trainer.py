"""Trainer: one model through its phases; any step may be the last before a kill, and the run goes on exactly.

The order of structures follows from seed and epoch alone, so that a checkpoint needs no generator's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import LABELS, Dataset
from nddo_ml.errors import InputError, NDDOMLError
from nddo_ml.evaluation.residuals import errors, label_weights
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.predictors.direct import Predictor
from nddo_ml.training.config import PhaseConfig, TrainConfig
from nddo_ml.training.loss import RELATIVE, Loss
from nddo_ml.training.optimizers import Optimizer, all_parameters, learning_rate, make_optimizer
from nddo_ml.training.processes import Processes
from nddo_ml.training.state import JsonLog, Progress, read_checkpoint, write_checkpoint

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
_VALIDATED_AT_ONCE = 64  # structures
_OF_A_FAMILY = 8  # structures whose relative energies are looked at together


class DivergenceError(NDDOMLError, RuntimeError):
    """The loss became infinite or NaN."""


@dataclass
class Trainer:
    """Trains ``model`` on ``train``, watches ``valid``, keeps everything it needs to resume in ``folder``."""

    model: AbstractModel
    train: Dataset
    valid: Dataset
    predict: Predictor
    predict_valid: Predictor
    config: TrainConfig
    folder: Path
    fingerprint: str
    processes: Processes = field(default_factory=Processes)
    on_epoch: Callable[[Mapping[str, Any]], None] = lambda entry: None

    def __post_init__(self) -> None:
        self.all_parameters = all_parameters(self.model)
        self.families = self.train.families if self.config.loss.relative > 0 else None
        for phase in self.config.phases:
            self._enter(phase)
        self.progress = Progress()
        self.average: list[Tensor] = []
        self.best = self._weights()

    def run(self) -> AbstractModel:
        """Train to the end, from the checkpoint if there is one; the model with its best weights.

        Raises:
            DivergenceError: the loss is not finite any more.
            InputError: a checkpoint that is corrupt or belongs to another training.
        """
        path, saved = self.folder / CHECKPOINT, None
        if path.exists():
            saved = self._restore(path)
        self.log = JsonLog(self.folder / LOG, self.progress.log_bytes) if self.processes.is_first else None
        self.last_save = time.monotonic()
        while self.progress.phase < len(self.config.phases):
            phase = self.config.phases[self.progress.phase]
            self._enter(phase)
            optimizer = make_optimizer(phase, self.parameters, self, self._labels_in_data())
            if saved:
                optimizer.load_state_dict(saved)
                saved = None
            self._run_phase(phase, optimizer)
        for p in self.all_parameters:
            p.requires_grad_()
        self.model.load_state_dict(self.best)
        return self.model.eval()

    def loss(self, index: Tensor) -> float:
        """Loss of structures ``index`` over all processes; its gradient is left in the parameters."""
        self.model.train()
        for p in self.parameters:
            p.grad = None
        labels, sizes = self._labels(index)
        normalizers = self.loss_function.normalizers(labels, sizes)
        total = 0.0
        phase = self.config.phases[self.progress.phase]
        for part in _parts(self.train, self.processes.share(index), phase.batch):
            if part.numel():
                value = self._loss_of(part, normalizers)
                if value.requires_grad:
                    value.backward(inputs=self.parameters)
                total += float(value.detach())
        if self.config.loss.l2 > 0 and self.processes.is_first:
            squares = torch.stack([(p * p).sum() for p in self.parameters if p.ndim > 1])
            penalty = self.config.loss.l2 * squares.sum()
            penalty.backward()
            total += float(penalty.detach())
        total = self.processes.sum_gradients(self.parameters, total)
        if not torch.isfinite(torch.tensor(total)):
            raise DivergenceError(
                f"the loss became {total} in epoch {self.progress.total_epochs}; "
                f"the last good state is in {self.folder / CHECKPOINT}; a smaller learning rate may help"
            )
        return total

    def innovation(self, index: Tensor, label: str, part: int, parts: int) -> float:
        """See :class:`~nddo_ml.training.optimizers.Objective`."""
        self.model.train()
        for p in self.parameters:
            p.grad = None
        smallest = min(self.loss_function.weights[name] for name in self.loss_function.labels)
        scale = (self.loss_function.weights[label] / smallest) ** 0.5
        share = self.processes.share(index)
        count = total = 0.0
        if share.numel():
            some = self.train.select(share)
            prediction = self._ask(self.predict, share, [label])
            error = errors(label, prediction, some.labels, some.systems, per_atom_energy=True)
            weight = label_weights(label, some.labels, some.systems, prediction)
            if LABELS[label][0] and parts > 1:
                weight = weight * (some.systems.places % parts == part)
            weight = weight.reshape(-1, *[1] * (error.ndim - 1)).expand(error.shape).to(error)
            count, total = float(weight.sum()), float((weight * error.detach().abs()).sum())
            if count > 0:
                (-scale * (weight * error.detach().sign() * error).sum()).backward(inputs=self.parameters)
        sums = self.processes.sum_values({"count": count, "total": total})
        self.processes.sum_gradients(self.parameters, 0.0)
        for p in self.parameters:
            if p.grad is not None:
                p.grad /= max(sums["count"], 1e-300)
        return scale * sums["total"] / sums["count"] if sums["count"] > 0 else 0.0

    def _enter(self, phase: PhaseConfig) -> None:
        """Take the phase's part of the weights, and those of the loss's labels that it trains on.

        Raises:
            InputError: a part that the model does not have, or labels that neither loss nor data have.
        """
        parts = self.model.parts
        if phase.part != "all" and phase.part not in parts:
            known = ", ".join(["all", *parts])
            raise InputError(f"phases.part: this model has the parts {known}; got {phase.part!r}")
        chosen = {id(p) for p in parts.get(phase.part, self.all_parameters)}
        for p in self.all_parameters:
            p.requires_grad_(id(p) in chosen)
        self.parameters = all_parameters(self.model)
        weights = {n: getattr(self.config.loss, n) for n in LABELS if not phase.labels or n in phase.labels}
        huber = {str(name): delta for name, delta in self.config.loss.huber.items()}
        self.loss_function = Loss(weights, huber, self.config.loss.shifts, self.config.loss.relative)
        lacking = [n for n in self.loss_function.labels if n not in self.train.present]
        if len(lacking) == len(self.loss_function.labels):
            raise InputError(f"the training data have none of the loss's labels ({', '.join(lacking)})")

    def _run_phase(self, phase: PhaseConfig, optimizer: Optimizer) -> None:
        batch = len(self.train) if optimizer.full_batch else phase.batch
        n_steps = -(-len(self.train) // batch)
        while self.progress.epoch < phase.epochs:
            started = time.monotonic()
            batches = self._order().split(batch)
            while self.progress.step < n_steps:
                done = (self.progress.epoch + self.progress.step / n_steps) / phase.epochs
                self.progress.loss_sum += optimizer.step(batches[self.progress.step], done)
                self._update_average(phase)
                self.progress.step += 1
                if self.progress.step < n_steps:
                    started = self._add_time(started)
                    self._save(optimizer)
            started = self._add_time(started)
            self._end_epoch(phase, optimizer, n_steps)
            self._add_time(started)
            if self._phase_ends(phase):
                break
            self._save(optimizer)
        self.progress.phase += 1
        self.progress.epoch = self.progress.stale = self.progress.averaged_steps = 0
        self.average = []
        self.model.load_state_dict(self.best)
        following = self.progress.phase < len(self.config.phases)
        if following and set(self.config.phases[self.progress.phase].labels) != set(phase.labels):
            self.progress.best_loss = float("inf")  # losses of other labels cannot be compared
        self._save(None if following else optimizer, now=True)

    def _end_epoch(self, phase: PhaseConfig, optimizer: Optimizer, n_steps: int) -> None:
        """Validate, keep the best weights, write the log."""
        p = self.progress
        p.epoch += 1
        p.total_epochs += 1
        entry: dict[str, Any] = {
            "epoch": p.total_epochs,
            "phase": p.phase,
            "optimizer": phase.optimizer,
            "lr": learning_rate(phase, p.epoch / phase.epochs),
            "train_loss": p.loss_sum / n_steps,
        }
        p.step, p.loss_sum = 0, 0.0
        if p.epoch % phase.validate_every == 0 or p.epoch == phase.epochs:
            entry |= self._validate()
            if entry["valid_loss"] < p.best_loss:
                p.best_loss, p.best_epoch, p.stale = entry["valid_loss"], p.total_epochs, 0
                self.best = self._weights(averaged=True)
            else:
                p.stale += phase.validate_every
        entry |= {"best_epoch": p.best_epoch, "seconds": round(p.seconds, 3)}
        if p.failures:
            entry["not_converged"] = p.failures
            p.failures = 0
        if self.log is not None:
            p.log_bytes = self.log.write(entry)
            self.on_epoch(entry)

    def _phase_ends(self, phase: PhaseConfig) -> bool:
        return phase.patience > 0 and self.progress.stale >= phase.patience

    def _validate(self) -> dict[str, Any]:
        """Loss, and mean absolute errors by label, of the validation part with the averaged weights."""
        kept = self._weights()
        self.model.load_state_dict(self._weights(averaged=True))
        self.model.eval()
        index = torch.arange(len(self.valid))
        labels, sizes = self.valid.labels, self.valid.systems.atoms_per_system
        normalizers = self.loss_function.normalizers(labels, sizes)
        names = [n for n in self.loss_function.labels if n in self.valid.present]
        sums = dict.fromkeys(["loss", *names, *(f"{n} count" for n in names)], 0.0)
        for part in _parts(self.valid, self.processes.share(index), _VALIDATED_AT_ONCE):
            some = self.valid.select(part)
            prediction = self._ask(self.predict_valid, part, _present(some, names)).detached()
            share = {n: normalizers[n] for n in (*_present(some, names), "shifts")}
            sums["loss"] += float(self.loss_function(prediction, some.labels, some.systems, share))
            for name in _present(some, names):
                error = errors(name, prediction, some.labels, some.systems, per_atom_energy=True)
                here = error.cpu()[label_weights(name, some.labels, some.systems, prediction) > 0].abs()
                sums[name] += float(here.sum())
                sums[f"{name} count"] += here.numel()
        sums = self.processes.sum_values(sums)
        self.model.load_state_dict(kept)
        mae = {n: sums[n] / sums[f"{n} count"] for n in names if sums[f"{n} count"]}
        return {"valid_loss": sums["loss"], "valid_mae": mae}

    def _loss_of(self, part: Tensor, normalizers: Mapping[str, float]) -> Tensor:
        some = self.train.select(part)
        names = _present(some, self.loss_function.labels)
        prediction = self._ask(self.predict, part, names)
        if prediction.scf is not None:
            self.progress.failures += int((~prediction.scf.converged).sum())
        share = {n: normalizers[n] for n in (*names, "shifts", RELATIVE)}
        families = None if self.families is None else self.families[part]
        return self.loss_function(prediction, some.labels, some.systems, share, families)

    def _ask(self, predict: Predictor, part: Tensor, names: list[str]) -> Prediction:
        return predict(part, forces="forces" in names, stress="stress" in names)

    def _labels(self, index: Tensor) -> tuple[Any, Tensor]:
        some = self.train.select(index)
        return some.labels, some.systems.atoms_per_system

    def _labels_in_data(self) -> list[str]:
        return [n for n in self.loss_function.labels if n in self.train.present]

    def _order(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.progress.total_epochs)
        order = torch.randperm(len(self.train), generator=generator)
        return order if self.families is None else order[_together(self.families[order], generator)]

    def _update_average(self, phase: PhaseConfig) -> None:
        """Exponential average of the weights, short-sighted in the first steps."""
        if phase.average <= 0:
            return
        values = [p.detach() for p in self.parameters]
        n = self.progress.averaged_steps
        self.progress.averaged_steps += 1
        if n == 0:
            self.average = [v.clone() for v in values]
            return
        decay = min(phase.average, (1 + n) / (10 + n))
        for a, v in zip(self.average, values, strict=True):
            a.mul_(decay).add_(v, alpha=1 - decay)

    def _weights(self, averaged: bool = False) -> dict[str, Tensor]:
        """A copy of the model's state, with the averaged weights where there are any."""
        state = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        if averaged and self.average:
            names = [n for n, p in self.model.named_parameters() if p.requires_grad]
            state.update({n: a.clone() for n, a in zip(names, self.average, strict=True)})
        return state

    def _add_time(self, started: float) -> float:
        now = time.monotonic()
        self.progress.seconds += now - started
        return now

    def _save(self, optimizer: Optimizer | None, now: bool = False) -> None:
        """Write the checkpoint when the interval is over."""
        if not self.processes.is_first:
            return
        if not now and time.monotonic() - self.last_save < self.config.checkpoint_seconds:
            return
        state = optimizer.state_dict() if optimizer else {}
        path = self.folder / CHECKPOINT
        write_checkpoint(path, self.fingerprint, self.progress, self._weights(), state, self.average, self.best)
        self.last_save = time.monotonic()

    def _restore(self, path: Path) -> dict[str, Any]:
        saved = read_checkpoint(path, self.fingerprint)
        self.progress = saved["progress"]
        self.average = saved["average"]
        self.best = saved["best"]
        self.model.load_state_dict(saved["model"])
        state: dict[str, Any] = saved["optimizer"]
        return state


def _parts(data: Dataset, index: Tensor, size: int) -> Iterator[Tensor]:
    """``index`` in pieces of at most ``size``, structures with derivatives as labels apart from those without."""
    weights = data.labels.weights
    derivatives = (weights["forces"] > 0) | (weights["stress"] > 0)
    for part in index.split(size):
        asked = derivatives[part]
        yield from (some for some in (part[~asked], part[asked]) if some.numel())


def _together(families: Tensor, generator: torch.Generator) -> Tensor:
    """An order in which structures of a family come in small groups, which are shuffled."""
    order = torch.argsort(families, stable=True)
    _, counts = torch.unique_consecutive(families[order], return_counts=True)
    rank = torch.arange(len(order)) - torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
    group = torch.cumsum((rank % _OF_A_FAMILY == 0).long(), 0) - 1
    shuffled = torch.randperm(int(group[-1]) + 1, generator=generator)
    return order[torch.argsort(shuffled[group], stable=True)]


def _present(data: Dataset, names: Iterable[str]) -> list[str]:
    """Those of the labels that some structure has."""
    return [n for n in names if bool((data.labels.has(n)).any())]
