"""A result whose mask a person corrected: table, pictures, page and all else follow the mask.

The lesions are counted by the code that detects (`tabulate_lesions`). What was edited is what
differs from `lesions.nii.gz`, so a second run finds nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.anomaly.atlas import load_atlas
from anatomaly.anomaly.lesions import Lesion, tabulate_lesions
from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.config import grow_share_of
from anatomaly.detection import Detection
from anatomaly.errors import ScanError
from anatomaly.names import path_of
from anatomaly.reopen import PAGE_FILE, OlderPage, find_scan, read_run, read_volume, rebuild_page
from anatomaly.report.layers import layer_on
from anatomaly.report.manifest import software_versions, write_manifest
from anatomaly.report.page import page_name
from anatomaly.scan.edited_mask import find_edit
from anatomaly.scan.write import output_folder, result_files
from anatomaly.volume import Scan, Volume

REDONE = {"anomaly_mask", "lesions", "labels"}
"""Outputs that every correction writes."""


@dataclass(frozen=True)
class Edit:
    """What a person changed in one mask.

    Attributes:
        sha256_before: of the voxels, one byte each, first axis fastest, as the table knew them.
        sha256_after: of the corrected ones.
        added_ml: of voxels that are new.
        removed_ml: of voxels that are gone.
        lesions: of the corrected mask.
    """

    sha256_before: str
    sha256_after: str
    added_ml: float
    removed_ml: float
    lesions: tuple[Lesion, ...]

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` keeps of it, with the time."""
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": "a person, in a program of their own",
            "sha256_before": self.sha256_before,
            "sha256_after": self.sha256_after,
            "added_ml": round(self.added_ml, 4),
            "removed_ml": round(self.removed_ml, 4),
            "tabulated_by": f"anatomaly {software_versions().get('anatomaly', 'unknown')}",
        }


def correct_result(folder: Path) -> Edit | None:
    """Bring a result folder in line with its `anomaly_mask.nii.gz`, whole or not at all.

    Written again: table, numbered lesions and labels, overview, page and DICOM files where there
    are such, and `run.json`, whose `corrected_by_hand` keeps what was edited and when. No piece is
    dropped for its size: a person wanted it.

    Args:
        folder: of `anatomaly detect`.

    Returns:
        What was changed; None where the mask is the one that the table was made of.

    Raises:
        ScanError: something that is needed is missing or cannot be read; see `find_edit`.
        DicomError: the DICOM files cannot be made again.
        OutputError: the folder cannot be written.
    """
    run = read_run(folder)
    before = read_volume(folder / "lesions.nii.gz") or _mask_of_the_program(folder, run)
    mask = find_edit(folder / "anomaly_mask", before)
    if mask is None:
        return None
    score = needed_volume(folder / "anomaly_map.nii.gz")
    brain = read_volume(folder / "brain_mask.nii.gz") or score
    there = result_files(folder)
    scan, pseudo_healthy = _scan_and_expectation(folder, run, brain)
    wanted = REDONE | ({"overview"} if folder / "overview.png" in there else set())
    if any(path.suffix == ".dcm" for path in there):
        wanted.add("dicom")
    tissue_map = read_volume(folder / "tissue_map.nii.gz")
    lesions = count_lesions(score, mask, scan.volume, pseudo_healthy, run, tissue_map)
    edit = compare(before, mask, lesions)
    run = with_edit(run, edit)
    title = page_name(folder.resolve().name, scan.name)
    found = Detection(
        scan=scan,
        sequence=run["sequence"],
        anomaly_map=score,
        anomaly_mask=mask,
        pseudo_healthy=pseudo_healthy,
        tissue_map=tissue_map or brain,
        brain_mask=brain,
        lesions=lesions,
        threshold=float(run["threshold"]),
        seconds=run["seconds"],
        warnings=tuple(run["warnings"]),
        run=run,
    )
    with output_folder(folder) as new:
        _keep(there, folder, new)
        found.write_files(new, wanted, title)
        write_manifest(new / "run.json", run)
        if (new / PAGE_FILE).is_file():
            rebuild_page(new, title)
    return edit


def needed_volume(path: Path) -> Volume:
    """Return a volume that a correction cannot do without.

    Raises:
        ScanError: it is missing or damaged.
    """
    volume = read_volume(path)
    if volume is None:
        raise ScanError(
            f"{path}: is not there, and lesions cannot be measured without it; put it back, or "
            "compute this result again (detect: with anomaly_map among --outputs)"
        )
    return volume


def count_lesions(
    score: Volume,
    mask: Volume,
    scan: Volume,
    pseudo_healthy: Volume,
    run: Mapping[str, Any],
    tissue_map: Volume | None,
) -> tuple[Lesion, ...]:
    """Measure the pieces of a corrected mask as `Detector.detect` measures those of its own.

    Args:
        score: anomaly map.
        mask: corrected; same grid.
        scan: any unit; same grid.
        pseudo_healthy: the same unit and grid.
        run: what `run.json` holds: registration and atlas.
        tissue_map: same grid; None where it was not written.

    Raises:
        ConfigError: the atlas that named the regions cannot be read any more.
    """
    named = run["config"].get("atlas")
    atlas = load_atlas(path_of(named)) if named else None
    residual = scan.with_data(scan.data.astype(np.float64) - pseudo_healthy.data)
    to_template = np.array(run["preparation"]["scanner_to_template"], dtype=np.float64)
    return tabulate_lesions(score, mask, residual, to_template, atlas, tissue_map)


def compare(before: Volume, after: Volume, lesions: tuple[Lesion, ...]) -> Edit:
    """Say what was changed between two masks of one grid."""
    old, new = before.data > 0, after.data > 0
    ml = after.voxel_volume_mm3 / 1000
    added, removed = (int(np.count_nonzero(part)) * ml for part in (new & ~old, old & ~new))
    return Edit(_sha256(old), _sha256(new), added, removed, lesions)


def with_edit(run: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """Return a manifest that keeps an edit; one that was cut short and comes again, only once."""
    edits = list(run.get("corrected_by_hand") or ())
    if not edits or edits[-1]["sha256_after"] != edit.sha256_after:
        edits.append(edit.record)
    return {**run, "lesions": len(edit.lesions), "corrected_by_hand": edits}


def _sha256(inside: np.ndarray[Any, Any]) -> str:
    """Return the hash of a mask's voxels."""
    return hashlib.sha256(inside.astype(np.uint8).tobytes(order="F")).hexdigest()


def _mask_of_the_program(folder: Path, run: Mapping[str, Any]) -> Volume:
    """Return the mask that the program cut, of a result without `lesions.nii.gz`."""
    score = needed_volume(folder / "anomaly_map.nii.gz")
    brain = read_volume(folder / "brain_mask.nii.gz") or score
    least_mm3 = float(run["config"]["anomaly"].get("min_lesion_mm3", 0.0))
    return threshold_map(score, brain, float(run["threshold"]), least_mm3, grow_share_of(run))


def _scan_and_expectation(
    folder: Path, run: Mapping[str, Any], brain: Volume
) -> tuple[Scan, Volume]:
    """Return the scan and its pseudo-healthy image: from their files, else from the page.

    A page holds both in 8 bits and only around the brain: enough to tell darker from brighter, and
    to draw.
    """
    scan = find_scan(run, brain)
    healthy = read_volume(folder / "pseudo_healthy.nii.gz")
    if scan is not None and healthy is not None:
        return scan, healthy
    layers = OlderPage.read(folder / PAGE_FILE).layers
    if not {"scan", "pseudo_healthy"} <= set(layers):
        lost = run["scan"].get("source") if scan is None else folder / "pseudo_healthy.nii.gz"
        raise ScanError(
            f"{folder}: {lost} is not there or not what it was, and no page holds it; put it back "
            "to tell which lesions are darker and which brighter"
        )
    greys, expected = (layer_on(*layers[name], brain) for name in ("scan", "pseudo_healthy"))
    expected = brain.with_data(np.where(brain.data > 0, expected.data, greys.data))
    if scan is None:
        image: Any = nib.load(folder / "anomaly_map.nii.gz")
        return Scan(greys, str(run["scan"]["name"]), header=image.header), expected
    inside = brain.data > 0
    slope, offset = np.polyfit(greys.data[inside].astype(float), scan.volume.data[inside], 1)
    return scan, expected.with_data((expected.data * slope + offset).astype(np.float32))


def _keep(there: list[Path], folder: Path, new: Path) -> None:
    """Carry over what stays as it is: the other volumes, and the page as the older one."""
    redone = {"anomaly_mask.nii.gz", "lesions.tsv", "lesions.nii.gz", "overview.png", "run.json"}
    for path in there:
        if path.parent == folder and path.name not in redone and path.suffix != ".dcm":
            try:
                os.link(path, new / path.name)
            except OSError:  # a file system without links
                shutil.copy2(path, new / path.name)
