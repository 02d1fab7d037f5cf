"""Training from a configuration: data, model, committee, errors; one model's work is in training.trainer."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nddo_ml.datasets import stress_order
from nddo_ml.datasets.checks import UnitsWarning, check_against_forces, check_dataset
from nddo_ml.datasets.dataset import Dataset, describe, load_dataset, split
from nddo_ml.datasets.zeros import fit_zeros, to_common_zero
from nddo_ml.errors import InputError, warnings_as_sentences
from nddo_ml.evaluation.tables import check_elements, fitted_zeros, summarize, tabulate, with_fitted_zero
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.mixture import merged
from nddo_ml.models.saved import load_model, save_model
from nddo_ml.predictors.cached import CachedNNP
from nddo_ml.predictors.choose import predictor_for
from nddo_ml.training.build import build_model
from nddo_ml.training.config import MIXTURE, TrainConfig
from nddo_ml.training.linear import predict_from_forces
from nddo_ml.training.processes import Processes, processes
from nddo_ml.training.state import alone_in, read_log
from nddo_ml.training.trainer import LOG, Trainer

MODEL = "model.pt"
Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves: the model, where it is, and its errors on the test files (None without)."""

    model: AbstractModel
    path: Path
    test_errors: dict[str, Any] | None


def train(config: TrainConfig, *, restart: bool = False, on_epoch: Report = lambda entry: None) -> TrainResult:
    """Train the model of a configuration to the end, resuming what an earlier call has done.

    Writes into ``config.output``: model.pt, log.jsonl, checkpoint.pt (a folder a member for a committee), and
    errors.json when there are test files. Under torchrun all processes work on the same batches.

    Raises:
        InputError: bad data (by file and frame), a bad configuration, a checkpoint of another training.
        DivergenceError: the loss became infinite.
    """
    output = Path(config.output)
    with processes() as group, alone_in(output) if group.is_first else nullcontext():
        if restart and group.is_first and output.exists():
            folders = [*output.glob("member_*"), *output.glob("after")]
            for leftover in [*folders, output / "checkpoint.pt", output / "log.jsonl"]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        group.wait()
        data = load_training_data(config)
        jobs = config.single()
        model = _train_together(config, jobs[: config.committee], data, group, on_epoch)
        if config.after:
            if group.is_first:
                save_model(model, output / MIXTURE)
            group.wait()
            report = _as_member(len(jobs), on_epoch)
            model = train_member(jobs[-1], data, Path(jobs[-1].output), group, report)
        errors = None
        if group.is_first:
            errors = _finish(model, config, data, output)
        group.wait()
    return TrainResult(model, output / MODEL, errors)


def load_training_data(config: TrainConfig) -> Dataset:
    """The training files' structures, checked, with group weights applied.

    Raises:
        InputError: no training files, bad frames, or no energies, forces or other labels at all.
    """
    if not config.data.train:
        raise InputError("expected training files (data.train, or --train FILE); got none")
    data = load_dataset(config.data.train).of_groups(config.data.groups, config.data.exclude_groups)
    if not data.present:
        raise InputError(f"{config.data.train[0].path}: no structure has a label (energy, forces, stress, …)")
    if config.data.check_units:
        check_dataset(data)
    return data.weighted(config.data.group_weights)


def train_member(
    config: TrainConfig, data: Dataset, folder: Path, group: Processes, on_epoch: Report = lambda entry: None
) -> AbstractModel:
    """Train one model with the configuration's seed."""
    torch.manual_seed(config.seed)
    model = build_model(config.model.kind, config.model.options, data, config.seed)
    identity = fingerprint(config, data, model)
    if config.data.validation:
        valid = load_dataset(config.data.validation)
        check_elements(model, valid)
    else:
        data, valid = split(data, config.data.validation_fraction, config.seed)
    model.to(group.device(config.device))
    data, valid = on_one_zero(model, data, valid)
    predict, predict_valid = predictor_for(model, data), predictor_for(model, valid)
    if isinstance(predict, CachedNNP) and "forces" in data.present:
        data, valid = compared_with_forces(predict, data, valid, config)
    trainer = Trainer(model, data, valid, predict, predict_valid, config, folder, identity, group, on_epoch)
    return trainer.run()


def fingerprint(config: TrainConfig, data: Dataset, model: AbstractModel) -> str:
    """A hash of what determines a training: configuration (but for paths and pace), data, and weights that stay."""
    settings = asdict(replace(config, checkpoint_seconds=0.0, workers=1, device="cpu", card={}))
    settings["output"] = ""
    settings.pop("after")  # a training of its own
    for part in ("train", "validation", "test", "groups", "exclude_groups"):  # which structures: the data say
        settings["data"].pop(part)
    options = settings["model"]["options"]
    if "base" in options:
        options["base"] = Path(options["base"]).name
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for tensor in (data.systems.positions, data.labels.values["energy"], data.labels.values["forces"]):
        digest.update(tensor.contiguous().numpy().tobytes())
    for weight in model.parameters():
        if not weight.requires_grad:
            digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def compared_with_forces(
    cached: CachedNNP, data: Dataset, valid: Dataset, config: TrainConfig
) -> tuple[Dataset, Dataset]:
    """Warn of energies and stresses that contradict the forces; exchanged components of the stress are exchanged
    back where the configuration says so.
    """
    from_forces = predict_from_forces(cached, data)
    if from_forces is None:
        return data, valid
    if config.data.check_units:
        check_against_forces(from_forces, data)
    orders = stress_order.orders_by_forces(from_forces, data)
    if not orders:
        return data, valid
    change = config.data.stress_order == "auto"
    where = data.origins[0].rsplit(", frame", 1)[0]
    action = "they are put right for this training" if change else 'data.stress_order = "auto" puts them right'
    warnings.warn(f"{where}: {stress_order.message(orders)}; {action}", UnitsWarning, stacklevel=2)
    if not change:
        return data, valid
    return stress_order.with_orders(data, orders), stress_order.with_orders(valid, orders)


def on_one_zero(model: AbstractModel, data: Dataset, valid: Dataset) -> tuple[Dataset, Dataset]:
    """Energies of all zeros moved to one: the first one for a potential, which has its own
    per-element energies; the model's own for every other model. The shifts are fitted on the training data.

    Raises:
        InputError: validation data with a zero or element that the training data lack.
    """
    if model.capabilities.data_zero:
        if len(set(data.zeros)) == 1:
            return data, valid
        zeros = fit_zeros(data, data.labels.values["energy"])
        zero = zeros[data.zeros[0]]
    else:
        zeros = fitted_zeros(model, data)
        zero = dict.fromkeys(data.elements, 0.0)
    for k, name in enumerate(valid.zeros):
        if name not in zeros or not set(valid.elements) <= set(data.elements):
            raise InputError(f"{valid.origins[k]}: its reference {name!r} or an element is not in the training data")
    return to_common_zero(data, zeros, zero), to_common_zero(valid, zeros, zero)


def _train_together(
    config: TrainConfig, jobs: list[TrainConfig], data: Dataset, group: Processes, on_epoch: Report
) -> AbstractModel:
    """Members with seeds of their own, which also draw their validation parts; merged into one model."""
    if len(jobs) == 1:
        return train_member(jobs[0], data, Path(jobs[0].output), group, on_epoch)
    if config.workers > 1 and group.world == 1:
        _train_in_workers(jobs, config.workers, on_epoch)
        models = [load_model(Path(job.output) / MODEL) for job in jobs]
    else:
        models = []
        for k, job in enumerate(jobs):
            report = _as_member(k + 1, on_epoch)
            models.append(train_member(job, data, Path(job.output), group, report))
    return merged(models)


def _as_member(number: int, on_epoch: Report) -> Report:
    return lambda entry: on_epoch({"member": number, **entry})


def _train_in_workers(jobs: list[TrainConfig], workers: int, on_epoch: Report) -> None:
    """Members in processes of their own; their logs tell how far they are."""
    threads = max(1, torch.get_num_threads() // workers)
    reported = [0] * len(jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with_parent) as pool:
        pending = {pool.submit(_member_job, job, threads, k == 0) for k, job in enumerate(jobs)}
        while pending:
            done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            for k, job in enumerate(jobs):
                log = Path(job.output) / LOG
                entries = read_log(log) if log.exists() else []
                for entry in entries[reported[k] :]:
                    on_epoch({"member": k + 1, **entry})
                reported[k] = len(entries)


def _member_job(config: TrainConfig, threads: int, warns: bool) -> None:
    """A member in a process of its own; a finished one is not trained again. One warns of doubts about the data."""
    torch.set_num_threads(threads)
    folder = Path(config.output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)  # shown when they were read the first time
        data = load_training_data(config)
    with warnings_as_sentences():
        if not warns:
            warnings.simplefilter("ignore", UnitsWarning)
        model = train_member(config, data, folder, Processes())
    save_model(model, folder / MODEL)


def _leave_with_parent() -> None:
    """Have a worker end with its parent, however that ends, so that a resumed run has the folder for itself.

    Safe at any moment, since whatever a run resumes from is written in one stroke.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _finish(model: AbstractModel, config: TrainConfig, data: Dataset, output: Path) -> dict[str, Any] | None:
    """Save the model with its card; evaluate it on the test files."""
    errors = None
    if config.data.test:
        test = load_dataset(config.data.test)
        check_elements(model, test)
        if not model.capabilities.data_zero:
            test = with_fitted_zero(model, test)
        errors = summarize(tabulate(model, test), test)
        (output / "errors.json").write_text(json.dumps(errors, indent=1))
    card = {
        **config.card,
        "data": describe(data),
        "training_files": [Path(s.path).name for s in config.data.train],
        "test_errors": errors,
        "loss": asdict(config.loss),
        "seed": config.seed,
    }
    save_model(model, output / MODEL, card)
    return errors
