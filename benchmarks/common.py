"""What the benchmarks share: machine, statistics, JSON."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from nddo_ml.results.journal import plain_json

Report = dict[str, Any]


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--out", type=Path, help="also write the JSON to this file")
    return made


def finish(report: Report, out: Path | None) -> None:
    """Print the report with the machine's description, and write it where asked for."""
    text = json.dumps(json.loads(plain_json({"machine": machine(), **report})), indent=1)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")


def machine() -> Report:
    """Where and with what the figures were made."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def spread(values: Sequence[float]) -> Report:
    """Median, least and greatest of some measurements."""
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def note(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def has_module(name: str) -> bool:
    """Whether a Python package is installed."""
    return importlib.util.find_spec(name) is not None


def peak_memory_mib() -> float:
    """Largest resident memory of this process; where Linux says so, without what its parent had when it was started."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mopac_program() -> str | None:
    """Path of the MOPAC executable, if there is one."""
    return shutil.which("mopac")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
