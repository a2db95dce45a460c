"""`anatomaly calibrate`: thresholds and detection limits of your own scanner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anatomaly.cli import options
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.naming import result_names
from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import make_ready
from anatomaly.config import DetectConfig
from anatomaly.errors import BidsError, ConfigError, DicomError
from anatomaly.names import shown, writable
from anatomaly.scan.bids import find_sessions
from anatomaly.scan.instances import one_file_a_series
from anatomaly.types import SequenceOption


@options.expand_config("sequence", "brain_extraction", "force", "weights", "device", "threads")
def calibrate(
    controls: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONTROLS",
            help="Scans of healthy people, 5 or more of a sequence, 20 for a promise: a BIDS data "
            "set, NIfTI files, DICOM folders.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Weights to write, for --weights."),
    ],
    config: DetectConfig,
    plant: Annotated[
        bool,
        typer.Option(
            "--plant/--no-plant",
            help="Plant lesions into the controls and count which are found (half a minute each).",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the planted lesions.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Make weights whose thresholds keep your own healthy controls within the budget.

    At most 1 mL of false findings in half of them, 5 mL in 95 % (in all, where they are fewer than
    20). Every control is tried at the threshold of all others. Sequences without controls keep the
    threshold they had.

    - `anatomaly calibrate controls_bids -o our-scanner`
    - `anatomaly calibrate controls/*_T1w.nii.gz -o our-scanner --no-plant`
    """
    try:
        named = list_controls(controls, config.sequence)
    except (BidsError, ConfigError, DicomError) as error:
        raise typer.BadParameter(writable(str(error))) from error
    with Display(len(named), quiet=quiet) as display:
        with exit_on_error(say=lambda text: display.line(text, style="red")):
            make_ready(output.absolute().parent, display)
            from anatomaly.evaluation.controls.calibrate import ControlsConfig, calibrate_controls

            task = ControlsConfig(named, output, config, plant, seed)
            calibrate_controls(task, say=display.note, start=display.start_scan)
        display.note(f"{shown(output)}: use it with --weights {shown(output)}", style="green")


def list_controls(paths: list[Path], sequence: SequenceOption = "auto") -> dict[str, Path]:
    """Return scans by name.

    A BIDS data set stands for one scan of each participant and sequence (the first session and
    run: a person who counts twice would make the controls look more than they are), a folder of
    NIfTI files for those.

    Args:
        paths: BIDS data sets, folders and files.
        sequence: of the scans of data sets; `auto` takes all.

    Raises:
        BidsError, ConfigError, DicomError: nothing is there, or not what its name says.
    """
    scans: list[Path] = []
    for path in paths:
        if any(person.is_dir() for person in path.glob("sub-*")):
            scans += _one_a_person(path, sequence)
        elif files := sorted(path.glob("*.nii*")) if path.is_dir() else []:
            scans += files
        else:
            scans.append(path)
    series = one_file_a_series(scans)
    return dict(zip(result_names(series), series, strict=True))


def _one_a_person(folder: Path, sequence: SequenceOption) -> list[Path]:
    """Return the first scan of every participant and sequence of a BIDS data set."""
    first: dict[tuple[str, str], Path] = {}
    for session in find_sessions(folder):
        for scan in session.scans:
            if sequence in ("auto", scan.sequence):
                first.setdefault((session.name.split("_")[0], scan.sequence), scan.path)
    return list(first.values())
