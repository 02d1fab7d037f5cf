"""Studies found, run one after another, and kept: what is finished with the same settings is not run again."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import benchmarks.studies
from benchmarks.common import note
from benchmarks.studies.frame.study import Study, Work, write_whole
from nddo_ml.results.journal import plain_json


def all_studies() -> list[Study]:
    """The ``STUDY`` of every module beside this package, by number."""
    names = [m.name for m in iter_modules(benchmarks.studies.__path__) if not m.ispkg and m.name != "__main__"]
    found = [import_module(f"benchmarks.studies.{name}").STUDY for name in names]
    return sorted(found, key=lambda study: study.number)


def run_all(studies: list[Study], out: Path, small: bool = False, fresh: bool = False) -> list[dict[str, Any]]:
    """Run what is not finished; the entries of all, as the report reads them.

    A study that fails is an entry with its error, and the others are still run.
    """
    entries = []
    for k, study in enumerate(studies, 1):
        note(f"[{k}/{len(studies)}] {study.title}")
        entry = run_one(study, out / study.name, small, fresh)
        failed = entry.get("error") or ", ".join(c["text"] for c in entry["claims"] if not c["holds"])
        note(f"    {entry['seconds']:.0f} s" + (f"; FAILED: {failed}" if failed else ""))
        entries.append(entry)
    return entries


def run_one(study: Study, folder: Path, small: bool = False, fresh: bool = False) -> dict[str, Any]:
    """The entry of one study: read from its folder, or made there; its steps go on where they were left.

    With other settings or another source of the study it begins anew.
    """
    settings = json.loads(plain_json(dict(study.small if small else study.full)))
    begun_with = {"settings": settings, "source": sha256(Path(study.run.__code__.co_filename).read_bytes()).hexdigest()}
    begun, finished = folder / "begun.json", folder / "findings.json"
    same = begun.exists() and json.loads(begun.read_text(encoding="utf-8")) == begun_with
    if folder.exists() and (fresh or not same):
        shutil.rmtree(folder)
    write_whole(begun, plain_json(begun_with))
    if finished.exists():
        entry: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return entry
    start = time.perf_counter()
    head = {"number": study.number, "name": study.name, "title": study.title, "literature": study.literature}
    try:
        findings = study.run(Work(folder), **settings)
    except Exception as error:  # the other studies are still run, and the report says so
        return {**head, "error": f"{type(error).__name__}: {error}", "seconds": time.perf_counter() - start}
    claims = [{**asdict(c), "holds": bool(c.holds)} for c in findings.claims]
    entry = {**head, "seconds": time.perf_counter() - start, **asdict(findings), "claims": claims}
    write_whole(finished, plain_json(entry))
    return json.loads(finished.read_text(encoding="utf-8"))
