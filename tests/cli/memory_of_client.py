"""Runs many stand-in scans on a Dask cluster; prints the memory of client and workers on the way.

python memory_of_client.py FOLDER NUMBER
"""

import os
import sys
from pathlib import Path


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1e3 for line in status.splitlines() if "VmRSS" in line)


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from stand_in_task import StandIn

    from anatomaly.cli.dask_workers import DaskWorkers
    from anatomaly.cli.engine_options import EngineOptions
    from anatomaly.cli.progress import Display
    from anatomaly.cli.run_scans import run_scans
    from anatomaly.cli.work import Job
    from anatomaly.config import DetectConfig

    root, number = Path(sys.argv[1]), int(sys.argv[2])
    (root / "log").mkdir()
    (root / "cluster.yaml").write_text("class: LocalCluster\nworkers: 2\n")
    task = StandIn(DetectConfig(), root / "out", root / "log")
    options = EngineOptions(engine="dask", cluster=root / "cluster.yaml")
    jobs = (Job(f"sub-{n:05d}", Path(f"sub-{n:05d}_T1w.nii.gz")) for n in range(number))
    count = 0

    def ended(*_: object) -> tuple[Job, ...]:
        nonlocal count
        count += 1
        if count % 200 == 0:
            workers = {int(path.name.split(".")[1]) for path in (root / "log").glob("load.*")}
            memory = [resident_mb(os.getpid()), *map(resident_mb, sorted(workers))]
            print(count, *(f"{each:.1f}" for each in memory), flush=True)
        return ()

    with Display(number, quiet=True) as display, DaskWorkers(task, options, display) as engine:
        assert run_scans(jobs, engine, display, ended) == []


if __name__ == "__main__":
    main()
