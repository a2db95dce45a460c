"""Workers of a Dask cluster, here two processes: what dies costs its own scan alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed")
import dask

from anatomaly.cli.dask_workers import DaskWorkers, probed
from anatomaly.cli.engine_options import EngineOptions
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import run_scans
from anatomaly.cli.work import Job
from anatomaly.errors import ConfigError, OutputError, WeightsError


@pytest.fixture(name="cluster")
def fixture_cluster(tmp_path):
    """Options of a cluster of two processes on this machine."""
    (tmp_path / "cluster.yaml").write_text("class: LocalCluster\nworkers: 2\n")
    return EngineOptions(engine="dask", cluster=tmp_path / "cluster.yaml")


def test_workers_that_die_cost_their_own_scan_alone(
    stand_in, starts, run_all, cluster, tmp_path, capsys
):
    names = ["kills_once", "one", "broken", "kills_ever", "doubtful", *"abcdef"]
    with Display(len(names)) as display:
        ended = run_all(DaskWorkers(stand_in(), cluster, display), *names)
    failed = {name: outcome.kind for name, outcome in ended.items() if outcome.kind}
    assert failed == {"broken": "ScanError", "kills_ever": "WorkerError"}
    tries = {name: starts(name) for name in names}
    assert tries == dict.fromkeys(names, 1) | {"kills_once": 2, "kills_ever": 2}
    assert ended["doubtful"].warnings == ("registration is poor",)
    said = capsys.readouterr().err
    assert "doubtful: mask is small" in said
    assert "kills_once: its worker tcp://" in said
    made = {path.parent.name for path in (tmp_path / "out").glob("*/run.json")}
    assert made == set(names) - set(failed)
    runs = [json.loads((tmp_path / "out" / n / "run.json").read_text()) for n in made]
    assert {tuple(run["threads"]) for run in runs} == {("1", 1)}
    assert starts("load") <= 2 + 4
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".anatomaly")]


def test_what_no_worker_can_do_stops_before_the_first_scan(stand_in, cluster, tmp_path):
    with Display(1) as display, pytest.raises(WeightsError, match="no weights called missing"):
        DaskWorkers(stand_in(weights="missing"), cluster, display).__enter__()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_scheduler_that_runs_already_serves_and_workers_forget(
    stand_in, starts, run_all, tmp_path
):
    """It would try a deadly scan four times; jobs that are bound to a worker are counted by us."""
    from distributed import Client, LocalCluster

    usual = {"threads_per_worker": 2, "dashboard_address": None}
    names = ["kills_ever", "a", "b", "c"]
    with (
        Display(4) as display,
        dask.config.set({"distributed.scheduler.allowed-failures": 3}),
        LocalCluster(n_workers=2, **usual) as cluster,
    ):
        options = EngineOptions(engine="dask", scheduler=cluster.scheduler_address)
        ended = run_all(DaskWorkers(stand_in(), options, display), *names)
        with Client(cluster) as client:
            left = client.run(lambda dask_worker: list(dask_worker.plugins))
    assert [n for n in names if ended[n].kind] == ["kills_ever"]
    assert starts("kills_ever") == 2
    assert len(left) == 2
    assert not [name for names in left.values() for name in names if "anatomaly" in name]
    run = json.loads((tmp_path / "out" / "a" / "run.json").read_text())
    assert run["threads"] == ["2", 2]


@pytest.mark.slow
def test_a_worker_that_cannot_load_is_passed_over(stand_in, run_all, cluster, starts, capsys):
    with Display(4) as display:
        ended = run_all(DaskWorkers(stand_in(weights="once"), cluster, display), *"abcd")
    assert [outcome.kind for outcome in ended.values()] == [""] * 4
    assert starts("load") == 1
    assert capsys.readouterr().err.count("done elsewhere, since tcp://") == 1


def test_a_scheduler_that_is_not_there_is_told(stand_in, monkeypatch):
    monkeypatch.setattr("anatomaly.cli.dask_workers.CONNECT_SECONDS", 0.5)
    options = EngineOptions(engine="dask", scheduler="tcp://127.0.0.1:9")
    with Display(1) as display, pytest.raises(ConfigError, match="nobody answers at tcp://127"):
        DaskWorkers(stand_in(), options, display).__enter__()


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from anatomaly.cli.dask_workers import DaskWorkers
from anatomaly.cli.engine_options import EngineOptions
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import run_scans
from anatomaly.cli.surroundings import surroundings
from anatomaly.cli.work import Job
from anatomaly.config import DetectConfig
if __name__ == "__main__":
    from stand_in_task import StandIn
    root = Path(sys.argv[2])
    task = StandIn(DetectConfig(), root / "out", root / "log")
    options = EngineOptions(engine="dask", cluster=root / "cluster.yaml")
    jobs = [Job(name, Path(name)) for name in ("good", "slow_1", "slow_2", "next")]
    with surroundings(), Display(4) as display, DaskWorkers(task, options, display) as engine:
        run_scans(jobs, engine, display)
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_client_that_is_killed_leaves_whole_results_and_no_worker(cluster, tmp_path, number):
    (tmp_path / "log").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", Path(__file__).parent, tmp_path],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len(list((tmp_path / "log").glob("slow_*"))) == 2)
    if number == signal.SIGINT:  # Ctrl-C reaches every process of the terminal
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), said
    assert "Traceback" not in said
    results = [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert [path.name for path in results] == ["good"]
    workers = {int(path.name.split(".")[1]) for path in (tmp_path / "log").glob("load.*")}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def wait_for(true, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_scheduler_that_goes_leaves_results_and_a_table(stand_in, starts, tmp_path, capsys):
    from distributed import LocalCluster

    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    options = EngineOptions(engine="dask", scheduler=cluster.scheduler_address)
    jobs = (Job(name, Path(name)) for name in ("good", "slow_1", "next"))

    def leave():
        wait_for(lambda: starts("slow_1"))
        cluster.close()

    thread = threading.Thread(target=leave)
    with Display(3) as display, DaskWorkers(stand_in(), options, display) as engine:
        thread.start()
        failures = run_scans(jobs, engine, display)
    thread.join()
    assert [failure.scan.name for failure in failures] == ["slow_1", "next"]
    assert all("not done: the connection to the scheduler is lost" in f.reason for f in failures)
    assert (tmp_path / "out" / "good" / "run.json").is_file()


@pytest.mark.slow
def test_a_worker_that_leaves_hands_its_scan_to_another(stand_in, starts, run_all, cluster, capsys):
    """As with `--lifetime`: it is no death, and the scan is done once more whatever came before."""
    with Display(4) as display:
        engine = DaskWorkers(stand_in(), cluster, display)

        def leave():
            wait_for(lambda: starts("pause_1") and starts("pause_2"))
            engine._client.retire_workers([next(iter(engine._client.nthreads()))])

        thread = threading.Thread(target=leave)
        thread.start()
        ended = run_all(engine, "pause_1", "pause_2", "a", "b")
        thread.join()
    assert [outcome.kind for outcome in ended.values()] == [""] * 4
    assert starts("pause_1") + starts("pause_2") == 3
    assert "died" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_thousand_scans_take_no_more_memory_than_two_hundred(tmp_path):
    """Client and both workers; a result that was kept would cost 1 kB a scan, a scan 10 MB."""
    program = Path(__file__).with_name("memory_of_client.py")
    command = [sys.executable, program, tmp_path, "1000"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [200, 400, 600, 800, 1000]
    grown = [after - before for before, after in zip(rows[0][1:], rows[-1][1:], strict=True)]
    assert len(grown) == 3
    assert max(grown) < 15, grown  # 3 MB were measured: what Dask itself logs
    assert len(list((tmp_path / "out").glob("*/run.json"))) == 1000


def test_a_probe_leaves_nothing(tmp_path: Path):
    with probed(tmp_path / "a" / "b") as probe:
        assert probe.is_file()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write to"), probed(tmp_path / "file"):
        pass
