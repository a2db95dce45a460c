"""`anatomaly detect`: the main job, for one scan or a cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from anatomaly.cli import options
from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.cohort import say_over_all, write_over_all
from anatomaly.cli.naming import result_names
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import load_detector, report_failures, run_scans
from anatomaly.config import ASKED_OUTPUTS, OUTPUTS, DetectConfig, edits_of
from anatomaly.errors import ConfigError, DicomError
from anatomaly.names import shown, writable

if TYPE_CHECKING:
    from anatomaly.detection import Detection


@options.expand_config(*options.CONFIG_OPTIONS)
def detect(
    scans: options.Scans,
    output: options.Output,
    config: DetectConfig,
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
    - `anatomaly detect cohort/*/anat/*_T1w.nii.gz -o results --skip-finished`
    - `anatomaly detect sub-01_T1w.nii.gz -o results --json`
    """
    from anatomaly.scan.instances import one_file_a_series

    try:
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
        succeeded = not named or _detect_all(named, output, config, wanted, display, said)
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
    output: Path,
    config: DetectConfig,
    outputs: set[str] | None,
    display: Display,
    said: dict[str, Any],
) -> bool:
    """Detect in every scan and report; return whether all succeeded. `said` is for `--json`."""
    detector = load_detector(config, output, display)
    if detector is None:
        said.clear()
        return False

    doubtful: list[str] = []

    def process(name: str, scan: Path) -> str:
        if other := scan_of_result(output / name, scan):
            display.warn(name, [f"replaces the result of {other}"])
        elif edits_of(_run_of(output / name)):
            display.warn(name, ["replaces a result whose mask was corrected by hand"])
        detection = detector.detect(scan)
        display.warn(name, detection.warnings)
        folder = detection.save(output / name, outputs)
        if detection.warnings:
            doubtful.append(name)
        said["scans"].append(_row(name, scan, folder, detection))
        page = folder / "report.html"
        return f"{describe(detection)} -> {shown(page if page.is_file() else folder)}"

    failures = run_scans(scans, process, display)
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


def scan_of_result(folder: Path, scan: Path) -> str:
    """Return which other scan a result folder is of; empty if it is this one's, or none."""
    try:
        source = _run_of(folder)["scan"]["source"]
    except (KeyError, TypeError):
        return ""
    same = not source or str(Path(source).absolute()) == shown(scan.absolute())
    return "" if same else str(source)


def _run_of(folder: Path) -> dict[str, Any]:
    """Return what an older `run.json` holds, nothing where it cannot be read."""
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def _row(name: str, scan: Path, folder: Path, detection: Detection) -> dict[str, Any]:
    """Return what `--json` says of one scan."""
    return {
        "name": name,
        "scan": scan,
        "folder": folder,
        "sequence": detection.sequence,
        "threshold": detection.threshold,
        "lesions": len(detection.lesions),
        "volume_ml": sum(lesion.volume_mm3 for lesion in detection.lesions) / 1000,
        "warnings": detection.warnings,
    }


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


def describe(detection: Detection) -> str:
    """Say in a few words what was found."""
    lesions = detection.lesions
    if not lesions:
        return f"{detection.sequence}, nothing above the threshold {detection.threshold:.2f}"
    volume_ml = sum(lesion.volume_mm3 for lesion in lesions) / 1000
    count = "1 lesion" if len(lesions) == 1 else f"{len(lesions)} lesions"
    return f"{detection.sequence}, {count}, {volume_ml:.1f} mL"
