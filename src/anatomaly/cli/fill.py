"""`anatomaly fill`: the scan with its lesions filled, for programs that stumble over them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anatomaly.cli import options
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import load_detector
from anatomaly.config import DetectConfig
from anatomaly.errors import ScanError
from anatomaly.fill import FillConfig

if TYPE_CHECKING:
    from anatomaly.volume import Scan, Volume

    Parts = tuple[Scan, Volume, Volume, Volume | None]


@options.expand_config("sequence", "force", "weights", "device", "threads")
def fill(
    *,
    scan: Annotated[
        Path, typer.Argument(metavar="SCAN", help="NIfTI or similar file, DICOM folder or file.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Filled scan to write, .nii.gz or .nii."
        ),
    ],
    result: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Result of `anatomaly detect` of this scan; without it the scan is searched now.",
        ),
    ] = None,
    border_mm: Annotated[
        float, typer.Option(min=0, max=20, help="Width of the soft border, inside the mask.")
    ] = FillConfig.border_mm,
    grow_mm: Annotated[
        float, typer.Option(min=0, max=20, help="Grow the mask by so much first.")
    ] = FillConfig.grow_mm,
    config: DetectConfig,
    quiet: options.Quiet = False,
) -> None:
    """Write the scan with pseudo-healthy values inside the mask, in its own units and data type.

    Voxels outside the (grown) mask keep their stored value, bit by bit.

    - `anatomaly fill sub-01_T1w.nii.gz -o sub-01_desc-filled_T1w.nii.gz`
    - `anatomaly fill sub-01_T1w.nii.gz -o filled.nii.gz --result results/sub-01_T1w --grow-mm 2`
    """
    from anatomaly.fill import fill_lesions
    from anatomaly.scan.overwrite import check_target, write_replaced

    with Display(1, quiet=quiet) as display:
        display.start_scan(scan.name)
        with exit_on_error(say=lambda text: display.line(text, style="red")):
            check_target(output, scan)
            parts = _read_result(scan, result) if result else _detect(scan, output, config, display)
            image, healthy, mask, brain = parts
            filled = fill_lesions(
                image.volume, healthy, mask, brain, FillConfig(border_mm, grow_mm)
            )
            write_replaced(output, image, filled.volume, filled.region)
        volume_ml = filled.region.sum() * image.volume.voxel_volume_mm3 / 1000
        display.note(f"{output}: {volume_ml:.1f} mL filled", style="green")


def _detect(scan: Path, output: Path, config: DetectConfig, display: Display) -> Parts:
    """Search the scan now."""
    detector = load_detector(config, output.parent, display)
    if detector is None:
        raise typer.Exit(1)
    detection = detector.detect(scan)
    for warning in detection.warnings:
        display.line(f"warning: {warning}", style="yellow")
    return detection.scan, detection.pseudo_healthy, detection.anomaly_mask, detection.brain_mask


def _read_result(scan: Path, result: Path) -> Parts:
    """Take pseudo-healthy image and masks from a result folder.

    Raises:
        ScanError: the folder lacks them, or is that of another scan.
    """
    from anatomaly.reopen import read_run, read_volume
    from anatomaly.scan.read import read_scan

    image = read_scan(scan)
    searched = read_run(result)["scan"]
    if searched.get("sha256") not in (None, image.metadata.get("sha256")):
        raise ScanError(
            f"{result}: is the result of another scan, {searched.get('source')} (their SHA-256 "
            f"differ); give the result of {scan}, or leave --result out and it is searched now"
        )
    names = ("pseudo_healthy", "anomaly_mask", "brain_mask")
    healthy, mask, brain = (read_volume(result / f"{name}.nii.gz") for name in names)
    if healthy is None or mask is None:
        raise ScanError(
            f"{result}: holds no pseudo_healthy.nii.gz or no anomaly_mask.nii.gz; run detect with "
            "both among its --outputs"
        )
    return image, healthy, mask, brain
