"""``nddo-ml energy`` on a local Dask cluster of two workers, one of which is killed in the middle.

Called as ``python lost_worker.py IN OUT.json``; says which worker was killed.
"""

import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread


def kill_when_grown(part: Path, victim: int) -> None:
    while not part.exists() or part.stat().st_size < 3000:
        time.sleep(0.01)
    os.kill(victim, signal.SIGKILL)
    print(f"killed {victim}")


def main() -> None:
    from distributed import LocalCluster

    from nddo_ml.cli import main as command_line
    from nddo_ml.results import run

    run.CHUNK_PAIRS = 400
    source, out = sys.argv[1:]
    code = 1
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        Thread(target=kill_when_grown, args=(Path(out + ".part"), victim), daemon=True).start()
        try:
            command_line(["energy", source, "--json", out, "--scheduler", cluster.scheduler_address])
        except SystemExit as left:
            code = int(left.code or 0)
    sys.exit(code)


if __name__ == "__main__":
    main()
