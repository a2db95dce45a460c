"""`anatomaly demo`: a phantom patient, the main job on it, and found against planted."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.engines import Here
from anatomaly.cli.progress import STAGE_LOGGER, Display
from anatomaly.cli.run_scans import load_detector, report_failures, run_scans
from anatomaly.cli.work import Done, Job
from anatomaly.config import DetectConfig
from anatomaly.types import SEQUENCES

if TYPE_CHECKING:
    from anatomaly.evaluation.phantom import Phantom
    from anatomaly.evaluation.recovery import Recovery
    from anatomaly.pipeline import Detector


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for scans and results.")
    ] = Path("demo_output"),
    sequence: Annotated[
        Literal["all", "T1w", "T2w", "FLAIR"], typer.Option(help="Which phantom to build.")
    ] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another patient.")] = 0,
    as_json: Json = False,
) -> None:
    """Build a phantom patient with a known lesion, look for it, and compare; needs no network.

    Exit status: 0 if the lesion was found in every sequence, 1 otherwise.

    - `anatomaly demo`
    - `anatomaly demo --sequence FLAIR --seed 3 -o elsewhere`
    """
    chosen = [name for name in SEQUENCES if sequence in ("all", name)]
    scans = {f"phantom_{name}": output / f"phantom_{name}.nii.gz" for name in chosen}
    recoveries: dict[str, tuple[Phantom, Recovery | None]] = {}
    with json_document(as_json) as said:
        with Display(len(chosen)) as display:
            detector = load_detector(DetectConfig(), output, display)
            if detector is None:
                raise typer.Exit(1)

            def process(job: Job) -> Done:
                recoveries[job.name] = _try_phantom(detector, job.scan, seed)
                return Done(f"see {output / job.name / 'report.html'}")

            with Here(lambda: process) as engine:
                jobs = (Job(name, scan) for name, scan in scans.items())
                failures = run_scans(jobs, engine, display)
        report_failures(failures, scans.values(), output)
        said["phantoms"] = [_row(name, output, *found) for name, found in recoveries.items()]
        said["failures"] = [failure.row for failure in failures]
        _print_recoveries(recoveries)
    missed = [name for name, (_, recovery) in recoveries.items() if recovery is None]
    raise typer.Exit(1 if failures or missed else 0)


def _try_phantom(detector: Detector, scan: Path, seed: int) -> tuple[Phantom, Recovery | None]:
    """Build one phantom, write it, detect in it, and compare."""
    import nibabel as nib
    import numpy as np

    from anatomaly.evaluation.phantom import make_phantom
    from anatomaly.evaluation.recovery import measure_recovery

    sequence = next(name for name in SEQUENCES if scan.name.endswith(f"{name}.nii.gz"))
    logging.getLogger(STAGE_LOGGER).info("build the phantom")
    phantom = make_phantom(sequence, seed)
    scan.parent.mkdir(parents=True, exist_ok=True)
    lesion = scan.with_name(scan.name.replace(".nii.gz", "_planted.nii.gz"))
    for path, volume in ((scan, phantom.scan), (lesion, phantom.lesion_mask)):
        data = volume.data.astype(np.uint8 if volume is phantom.lesion_mask else np.float32)
        nib.save(nib.Nifti1Image(data, volume.affine), path)
    detection = detector.detect(scan)
    detection.save(scan.parent / detection.scan.name, None)
    return phantom, measure_recovery(phantom.lesion_mask, detection.anomaly_mask)


def _row(name: str, output: Path, phantom: Phantom, recovery: Recovery | None) -> dict[str, object]:
    """Return what `--json` says of one phantom; `found` is null where the lesion was missed."""
    planted_ml = phantom.lesion_volume_mm3 / 1000
    return {
        "name": name,
        "folder": output / name,
        "planted_ml": planted_ml,
        "found": recovery and {"ml": planted_ml * recovery.volume_ratio, **asdict(recovery)},
    }


def _print_recoveries(recoveries: dict[str, tuple[Phantom, Recovery | None]]) -> None:
    """Print found against planted, one row a phantom."""
    console = Console(highlight=False)
    table = Table(title="Found against planted", title_justify="left")
    for column in ("phantom", "planted mL", "found mL", "centre off by mm", "Dice", "elsewhere"):
        table.add_column(column, justify="left" if column == "phantom" else "right")
    for name, (phantom, recovery) in recoveries.items():
        planted_ml = phantom.lesion_volume_mm3 / 1000
        cells = ("not found", "", "", "")
        if recovery:
            cells = (
                f"{planted_ml * recovery.volume_ratio:.1f} ({recovery.volume_ratio:.0%})",
                f"{recovery.distance_mm:.1f}",
                f"{recovery.dice:.2f}",
                f"{recovery.others}",
            )
        table.add_row(name, f"{planted_ml:.1f}", *cells)
    console.print(table, width=None if console.is_terminal else 100)
