"""`anatomaly detect`: the main job, for one scan or a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from anatomaly.cli import options
from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.cohort import say_over_all, write_over_all
from anatomaly.cli.detect_task import DetectTask, scan_of_result, what_is_replaced
from anatomaly.cli.engine_options import EngineOptions
from anatomaly.cli.engines import open_engine
from anatomaly.cli.naming import result_names
from anatomaly.cli.option_groups import expand_groups
from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import make_ready
from anatomaly.cli.run_scans import report_failures, run_scans
from anatomaly.cli.work import Job, Outcome
from anatomaly.config import ASKED_OUTPUTS, OUTPUTS, DetectConfig
from anatomaly.errors import AnatomalyError, ConfigError, DicomError
from anatomaly.names import shown, writable


@expand_groups
@options.expand_config(*options.CONFIG_OPTIONS)
def detect(
    scans: options.Scans,
    output: options.Output,
    config: DetectConfig,
    where: EngineOptions,
    outputs: options.OutputList = "all",
    skip_finished: options.SkipFinished = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    as_json: Json = False,
) -> None:
    """Find what is abnormal in brain MRI scans; every result lies on its scan's own grid.

    Exit status: 0 if every scan succeeded, 1 if any failed (a table says which and why), 2 for
    wrong usage.

    - `anatomaly detect sub-01_T1w.nii.gz -o results`
    - `anatomaly detect dicom_folder -o results --sequence FLAIR`
    - `anatomaly detect dicom_folder -o results --outputs all,dicom`
    - `anatomaly detect cohort/*/anat/*_T1w.nii.gz -o results --skip-finished --jobs auto`
    - `anatomaly detect sub-01_T1w.nii.gz -o results --json`
    """
    from anatomaly.scan.instances import one_file_a_series

    try:
        where = where.settle()
        wanted = parse_outputs(outputs)
        if wanted and "dicom" in wanted:
            refuse_without_dicom(scans)
        series = one_file_a_series(scans)
        named = dict(zip(result_names(series), series, strict=True))
        if config.preprocess.brain_mask and len(series) > 1:
            raise ConfigError("--brain-mask fits one scan; run detect once for each scan")
    except (ConfigError, DicomError) as error:
        raise typer.BadParameter(writable(str(error))) from error
    with (
        json_document(as_json) as said,
        Display(len(named), quiet=quiet, verbose=verbose) as display,
    ):
        said.update(output=output, scans=[], skipped=[], failures=[], files=[])
        if repeated := len(scans) - len(series):
            display.note(
                f"{repeated} more DICOM files are of series given already; each series is read once"
            )
        if skip_finished:
            unfinished = _unfinished(named, output, display)
            said["skipped"] = [shown(name) for name in named if name not in unfinished]
            named = unfinished
        task = DetectTask(config, output, None if wanted is None else frozenset(wanted))
        succeeded = not named or _detect_all(named, task, where, display, said)
    raise typer.Exit(0 if succeeded else 1)


def parse_outputs(text: str) -> set[str] | None:
    """Read the list of `--outputs`; `all` stands for `OUTPUTS`, None for that alone.

    >>> sorted(parse_outputs("lesions, overview"))
    ['lesions', 'overview']
    >>> parse_outputs("all,dicom") == {*OUTPUTS, "dicom"}
    True

    Raises:
        ConfigError: a name is not in `OUTPUTS` or `ASKED_OUTPUTS`, or there is none.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if names == {"all"}:
        return None
    if "all" in names:
        names = names - {"all"} | set(OUTPUTS)
    unknown = names.difference(OUTPUTS, ASKED_OUTPUTS)
    if unknown or not names:
        raise ConfigError(
            f"--outputs: {', '.join(sorted(unknown)) or 'an empty list'} is not known; choose "
            f"among {', '.join(OUTPUTS + ASKED_OUTPUTS)}, or all"
        )
    return names


def refuse_without_dicom(scans: list[Path]) -> None:
    """Refuse DICOM results of files that are no DICOM, or without highdicom, before any work.

    Raises:
        ConfigError: a scan is a file, not a folder.
        DicomError: highdicom is not installed.
    """
    from anatomaly.dicom_results.write import require_highdicom
    from anatomaly.scan.instances import is_dicom_file

    files = [str(scan) for scan in scans if scan.is_file() and not is_dicom_file(scan)]
    if files:
        raise ConfigError(
            f"--outputs dicom: {', '.join(files)} is no DICOM; results refer to DICOM "
            "instances, so give their folder or one of them, or leave dicom out"
        )
    require_highdicom()


def _unfinished(scans: dict[str, Path], output: Path, display: Display) -> dict[str, Path]:
    """Leave out scans that have a result; a result folder is whole if it holds `run.json`."""
    finished = {name for name in scans if (output / name / "run.json").is_file()}
    for name in sorted(finished):
        if other := scan_of_result(output / name, scans[name]):
            display.line(
                f"{shown(name)}: skipped, but the result there is of {other}, not of "
                f"{shown(scans[name])}: give another -o, or rename one of the scans",
                style="yellow",
            )
        else:
            display.note(f"{shown(name)}: has a result already, skipped")
    return {name: scan for name, scan in scans.items() if name not in finished}


def _detect_all(
    scans: dict[str, Path],
    task: DetectTask,
    where: EngineOptions,
    display: Display,
    said: dict[str, Any],
) -> bool:
    """Detect in every scan and report; return whether all succeeded. `said` is for `--json`."""
    doubtful: list[str] = []

    def ended(job: Job, outcome: Outcome) -> tuple[Job, ...]:
        if outcome.warnings:
            doubtful.append(job.name)
        if outcome.row:
            said["scans"].append(outcome.row)
        return ()

    output, outputs = task.output, task.outputs
    try:
        make_ready(output, display)
        with open_engine(task, where, len(scans), display) as engine:
            for name, scan in scans.items():
                if replaced := what_is_replaced(output / name, scan):
                    display.warn(name, [replaced])
            jobs = (Job(name, scan) for name, scan in scans.items())
            failures = run_scans(jobs, engine, display, ended)
    except AnatomalyError as error:
        display.fail(error)
        said.clear()
        return False
    report_failures(failures, scans.values(), output)
    said["failures"] = [failure.row for failure in failures]
    if len(scans) > 1:
        display.note(summary(len(scans), len(failures), len(doubtful)))
    is_cohort = len(scans) > 1 or (output / "index.html").is_file()
    if is_cohort:
        wanted = OUTPUTS if outputs is None else outputs
        page, tables = "report" in wanted, "lesions" in wanted
        said["files"] = write_cohort(output, display, page, tables)
    return not failures


def write_cohort(output: Path, display: Display, page: bool, tables: bool) -> list[Path]:
    """Write what lies over all results; what goes wrong there costs no result."""
    try:
        if written := write_over_all(output, page, tables):
            display.note(say_over_all(written))
    except Exception as error:
        display.line(f"no cohort page: {type(error).__name__}: {error}", style="yellow")
        return []
    return written


def summary(total: int, failed: int, doubtful: int) -> str:
    """Say in one line how many scans need a second look.

    >>> summary(12, 1, 3), summary(2, 0, 0)
    ('12 scans: 11 with a result, 3 of them with warnings; 1 failed', '2 scans: 2 with a result')
    """
    said = f"{total} scans: {total - failed} with a result"
    if doubtful:
        said += f", {doubtful} of them with warnings"
    return said + (f"; {failed} failed" if failed else "")
