"""START HERE for stage 1: a path, or an image in memory, becomes a `Scan`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.endings import SCAN_ENDINGS, has_ending, without_ending
from anatomaly.errors import ScanError
from anatomaly.scan.beside import files_of, modality_warnings, read_sidecar
from anatomaly.scan.dicom import converted_series
from anatomaly.scan.fetched import refuse_unfetched
from anatomaly.scan.grid import find_grid
from anatomaly.scan.instances import is_dicom_file
from anatomaly.scan.intensities import to_intensities
from anatomaly.scan.nifti import read_nifti
from anatomaly.scan.sequence_hint import (
    contrast_agent_from_fields,
    contrast_warning,
    sequence_from_name,
    sequence_from_timing,
)
from anatomaly.scan.stored_image import (
    StoredImage,
    check_voxel_type,
    checked_shape,
    header_on_grid,
    shape_warnings,
    undo_wraparound,
)
from anatomaly.scan.stream import other_packer, readable
from anatomaly.volume import Scan, Volume


def read_scan(path: str | Path) -> Scan:
    """Read one structural MR image of a head.

    Args:
        path: a file with one of `anatomaly.endings.SCAN_ENDINGS` (of a pair either half), or a
            folder with DICOM files; of several series the best structural one is taken, and
            `warnings` says which. A DICOM file stands for its series in its folder.

    Returns:
        The scan on its own grid: intensities float32 and finite, affine in mm, the header that
        results are written with, and in `metadata` the SHA-256 of the input.

    Raises:
        ScanError: the path cannot be read, or holds no 3D MR image of a head.
        GeometryError: its affine or its size cannot be used.
    """
    path = Path(path).expanduser()
    with readable(path, "the path"):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return _read_dicom(path)
    refuse_unfetched(path)
    if not is_file:
        raise ScanError(f"{path}: no such file or folder; check the path")
    if is_dicom_file(path):
        return _read_dicom(path)
    if not has_ending(path.name):
        with readable(path, "the file"), path.open("rb") as file:
            packer = other_packer(file.read(132))
        expected = f"{', '.join(SCAN_ENDINGS)} or a folder with DICOM files"
        raise ScanError(f"{path}: {packer or f'unknown file type, expected {expected}'}")
    sidecar, doubts = read_sidecar(path)
    doubts += modality_warnings(sidecar.get("Modality"), str(path))
    name = scan_name(path)
    doubts += _contrast_warnings(name, sidecar)
    metadata = {"file": path.name, "sha256": sha256_of(files_of(path))}
    stored = read_nifti(path).with_warnings(*doubts)
    return _join(stored, name, path, str(path), metadata, sidecar)


def scan_from_image(image: nib.spatialimages.SpatialImage | Volume, name: str = "scan") -> Scan:
    """Make a scan of an image in memory, under the same rules as a file.

    Args:
        image: a nibabel image, or a `Volume` (its affine in mm).
        name: name of the result folder; the sequence is read from it where it says one.

    Raises:
        ScanError: not one 3D MR image of a head.
        GeometryError: its affine or its size cannot be used.

    >>> noise = np.random.default_rng(0).normal(100, 10, (40, 50, 30))
    >>> scan = scan_from_image(Volume(noise, np.diag([2.0, 2.0, 3.0, 1.0])), "me_T1w")
    >>> scan.sequence_hint, scan.volume.data.dtype.name
    ('T1w', 'float32')
    """
    stored = undo_wraparound(_stored(image, name)).with_warnings(*_contrast_warnings(name, {}))
    return _join(stored, name, None, name, {"file": None, "sha256": None}, {})


def _contrast_warnings(name: str, sidecar: dict[str, Any]) -> tuple[str, ...]:
    """Warn where the name of a scan, or its sidecar, speaks of contrast agent."""
    texts = (name, str(sidecar.get("SeriesDescription", "")))
    return (contrast_warning(name),) if contrast_agent_from_fields(texts, sidecar) else ()


def scan_name(path: Path) -> str:
    """Return the file name without its ending, or the folder's name.

    >>> scan_name(Path("a/sub-01_T1w.nii.gz"))
    'sub-01_T1w'
    """
    name = path.name or path.resolve().name
    return without_ending(name).strip(". ") or "scan"


def sha256_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 (hex) of the files' bytes, one after the other.

    Raises:
        ScanError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        with readable(path, "the file"), path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _read_dicom(path: Path) -> Scan:
    """Convert a DICOM folder, or a file's series, and read the best structural series."""
    with converted_series(path) as converted:
        series = converted.series
        doubts = modality_warnings(series.modality, f"{path}: {series.label}")
        metadata = {
            "file": path.name,
            "sha256": sha256_of(converted.source_files),
            "dicom_series": series.facts,
            "dicom_series_found": list(converted.labels),
        }
        what = f"{path} ({series.label})"
        stored = read_nifti(series.path)
        scan = _join(stored, scan_name(path), path, what, metadata, series.facts)
    hint = series.sequence
    return replace(
        scan,
        sequence_hint=hint,
        hint_is_timed=hint is not None and hint == sequence_from_timing(series.facts),
        warnings=(*converted.warnings, *doubts, *scan.warnings),
        series_uid=series.uid,
    )


def _join(
    stored: StoredImage,
    name: str,
    source: Path | None,
    what: str,
    metadata: dict[str, Any],
    fields: dict[str, Any],
) -> Scan:
    """Judge grid and intensities and put the scan together; the fields are of its sidecar."""
    timing = sequence_from_timing(fields)
    hint = sequence_from_name(name) or timing
    grid = find_grid(stored.header, what)
    intensities = to_intensities(stored.voxels, stored.slope, stored.intercept, what)
    volume = Volume(intensities.data, grid.affine)
    facts = {
        "file_type": stored.file_type,
        "stored_type": str(stored.voxels.dtype.newbyteorder("=")),
        "shape": list(volume.shape),
        "spacing_mm": [round(float(v), 6) for v in volume.spacing_mm],
        "orientation": "".join(nib.aff2axcodes(grid.affine)),
        "affine_from": grid.origin,
        "intensities": intensities.summary,
    }
    return Scan(
        volume=volume,
        name=name,
        source=source,
        header=grid.header,
        sequence_hint=hint,
        hint_is_timed=timing is not None and hint == timing,
        warnings=(*stored.warnings, *grid.warnings, *intensities.warnings),
        metadata={**metadata, **facts},
    )


def _stored(image: nib.spatialimages.SpatialImage | Volume, name: str) -> StoredImage:
    """Take an image in memory; of nibabel's the affine counts, the header says codes and units."""
    if isinstance(image, Volume):
        check_voxel_type(name, image.data.dtype)
        header = header_on_grid(checked_shape(name, image.shape), image.affine)
        return StoredImage(header, image.data, file_type="memory")
    try:
        shape = tuple(int(n) for n in image.shape)
    except AttributeError as error:
        raise ScanError(
            f"{name}: expected a path, a nibabel image or a Volume, got {type(image).__name__}"
        ) from error
    size = checked_shape(name, shape)
    check_voxel_type(name, np.dtype(image.get_data_dtype()))
    try:
        voxels = np.asanyarray(image.dataobj).reshape(size)
    except (OSError, EOFError, ValueError) as error:
        raise ScanError(
            f"{name}: the voxels cannot be read ({error}); copy or convert the file again"
        ) from error
    check_voxel_type(name, voxels.dtype)
    affine = image.affine
    kind: Any = nib.Nifti2Image if isinstance(image.header, nib.Nifti2Header) else nib.Nifti1Image
    is_nifti = isinstance(image.header, nib.Nifti1Header)
    blank = np.broadcast_to(np.uint8(0), size)
    carrier = kind(blank, affine, image.header if is_nifti else None)
    carrier.update_header()
    warnings = shape_warnings(shape)
    return StoredImage(carrier.header, voxels, file_type="memory", warnings=warnings)
