"""The whole benchmark: scans, then cells that share networks in a process each, then tables.

Killed half-way, the same call goes on: scans that lie there are not drawn again, a training goes on
at its last checkpoint, and no validation or test scan is scored twice. A method that fails leaves
its reason in the table; the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from anatomaly.errors import ConfigError, TrainingError
from anatomaly.evaluation.benchmark.cell import FAILED, FINISHED, Cell, run_cells
from anatomaly.evaluation.benchmark.config import BenchmarkConfig
from anatomaly.evaluation.benchmark.earlier import keep_earlier, key_of
from anatomaly.evaluation.benchmark.figure import draw_figure
from anatomaly.evaluation.benchmark.ledger import Ledger
from anatomaly.evaluation.benchmark.method import find_method
from anatomaly.evaluation.benchmark.sources import prepare_scans
from anatomaly.evaluation.benchmark.table import Row, summarise
from anatomaly.evaluation.benchmark.write import write_scans, write_table

CONFIG = "config"
LIBRARIES = ("monai", "lightning", "einops")
"""What methods that are trained here need, and a plain installation lacks."""


def run_benchmark(
    config: BenchmarkConfig,
    folder: Path,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
    command: str = "",
    earlier: Sequence[Row] = (),
) -> list[Row]:
    """Measure every method on every data set and sequence, and write the tables.

    Args:
        config: what is measured.
        folder: of the results; holds an earlier run of the same configuration, or nothing.
        workers: cells that are measured side by side.
        say: receives a line a scan drawn and a line a cell.
        command: that is written below the table.
        earlier: rows of an earlier table (`earlier.read_table`); what was measured there is not
            measured again, but for the method that all are compared with, scan by scan.

    Returns:
        The rows of `table.csv`.

    Raises:
        ConfigError: the folder holds the run of another configuration.
        TrainingError: a method is to be trained, and what that needs is not installed.
        AnatomalyError: a data set cannot be used.
    """
    refuse_without_libraries(config)
    claim_folder(config, folder)
    prepare_scans(config, folder / "data", workers, say)
    finished_keys = {key_of(row) for row in earlier if row.get("status") == "ok"}
    cells = [
        cell
        for cell in list_cells(config, folder)
        if cell.method == config.against or cell.key not in finished_keys
    ]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting = {pool.submit(_in_own_process, group): group for group in group_cells(cells)}
        for done in as_completed(waiting):
            done.result()
            for cell in waiting[done]:
                failed = cell.ledger.read(FAILED)
                say(f"{cell.name}: {failed['error'] if failed else FINISHED}")
    return write_tables(config, folder, command, earlier)


def refuse_without_libraries(config: BenchmarkConfig) -> None:
    """Refuse to draw scans for minutes where the methods cannot be trained afterwards.

    Raises:
        TrainingError: a method is to be trained, and what that needs is not installed.
    """
    missing = [name for name in LIBRARIES if not _is_installed(name)]
    trained = [name for name in config.methods if missing and find_method(name).trained]
    if trained:
        raise TrainingError(
            f"{', '.join(trained)} would be trained with {', '.join(missing)}, which is not "
            "installed: pip install 'anatomaly[bench]'"
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def write_tables(
    config: BenchmarkConfig, folder: Path, command: str = "", earlier: Sequence[Row] = ()
) -> list[Row]:
    """Write tables and figure of what is finished, and measure nothing.

    Args:
        config: of the run.
        folder: of the results.
        command: that is written below the table.
        earlier: rows of an earlier table, for what this run has not measured.

    Returns:
        The rows of `table.csv`.
    """
    cells = list_cells(config, folder)
    measured = {c.key for c in cells if c.ledger.read(FINISHED) or c.ledger.read(FAILED)}
    rows = keep_earlier(summarise(config, cells), earlier, measured)
    write_scans(cells, folder / "scans.csv")
    write_table(config, rows, folder, command)
    draw_figure(rows, folder / "table.png")
    return rows


def list_cells(config: BenchmarkConfig, folder: Path) -> list[Cell]:
    """Return the cells of a benchmark in the order of its table."""
    return [
        Cell(config, plan, sequence, method, folder)
        for plan in config.datasets
        for sequence in config.sequences
        for method in config.methods
    ]


def group_cells(cells: list[Cell]) -> list[list[Cell]]:
    """Return the cells of each method and sequence that share networks, that with them first."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.config.methods.index(cell.method)):
        source = cell.source.plan.name
        groups.setdefault((cell.method, cell.sequence, source), []).append(cell)
    return list(groups.values())


def claim_folder(config: BenchmarkConfig, folder: Path) -> None:
    """Write the configuration into an empty folder, or check that it is the same.

    Methods may be added; anything else makes another benchmark.

    Raises:
        ConfigError: it differs.
    """
    ledger = Ledger(folder)
    wanted = json.loads(json.dumps(asdict(config)))
    there = ledger.read(CONFIG)
    free = ("methods", "against", "tolerance_ap", "leader", "rivals", "notes")
    if there is not None:
        differ = sorted(k for k in wanted if k not in free and wanted[k] != there.get(k))
        if differ:
            raise ConfigError(
                f"{folder} holds a run with another {', '.join(differ)}; choose another folder"
            )
    ledger.write(CONFIG, wanted)


def _in_own_process(group: list[Cell]) -> None:
    """Run cells where their memory can be measured and their death harms no other."""
    if all(cell.ledger.read(FINISHED) for cell in group):
        return
    process = get_context("spawn").Process(target=run_cells, args=(group,))
    process.start()
    try:
        process.join()
    except BaseException:  # a signal: the child ends with its parent
        process.terminate()
        process.join()
        raise
    if not process.exitcode:
        return
    reason = f"the process ended with {process.exitcode} (out of memory, or killed)"
    for cell in group:
        if not (cell.ledger.read(FINISHED) or cell.ledger.read(FAILED)):
            cell.ledger.write(FAILED, {"error": reason, "trace": ""})
