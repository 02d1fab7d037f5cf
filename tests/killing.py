"""Runs of the command line that are killed at random moments: one program that forks, so that imports are paid once.

Called as ``python killing.py JSON``: a command that is left alone, and one with a file that grows as it works, signals
and waiting times, which is started for each signal and once more to its end. Exit codes of all come back as JSON, what
was said on stderr.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path


def main() -> None:
    plan = json.loads(sys.argv[1])
    from nddo_ml.cli import common
    from nddo_ml.cli import main as command_line
    from nddo_ml.results import run

    for name in ("ase.constraints", "ase.io.extxyz", "pydantic", "typer", f"nddo_ml.cli.{plan['command'][0]}"):
        import_module(name)
    run.CHUNK_PAIRS = plan.get("pairs", run.CHUNK_PAIRS)
    if plan.get("pause") is not None:
        common.load_model = slow_model(plan["pause"])
    codes = []
    starts = [(plan["command"], number, wait) for number, wait in [*plan["signals"], (None, 0.0)]]
    for command, number, wait in [(plan["undisturbed"], None, 0.0), *starts]:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                command_line(command)
            except SystemExit as left:
                os._exit(int(left.code or 0))
            os._exit(0)
        if number is not None:
            grow = Path(plan["grows"])
            size, ended = grow.stat().st_size if grow.exists() else 0, False
            while not ended and (not grow.exists() or grow.stat().st_size <= size):
                time.sleep(0.002)
                ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            time.sleep(wait)
            os.kill(child, number)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes))


def slow_model(pause: float):
    """A cheap model that takes its time."""
    from fake_model import MorseModel

    class Slow(MorseModel):
        def forward(self, systems, request):
            time.sleep(pause)
            return super().forward(systems, request)

    return lambda *given, **options: Slow()


if __name__ == "__main__":
    main()
