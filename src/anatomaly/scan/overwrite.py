"""Write a scan again with some voxels replaced: its own data type, scaling and header."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import OutputError
from anatomaly.scan.instances import is_dicom_file
from anatomaly.scan.nifti import read_nifti
from anatomaly.scan.write import take_grid, write_volume
from anatomaly.types import BoolArray
from anatomaly.volume import Scan, Volume


def write_replaced(path: Path, scan: Scan, values: Volume, region: BoolArray) -> Path:
    """Write a scan with new values inside a region; the other voxels are those stored, bit by bit.

    A NIfTI or MGZ file is read again and keeps its data type and scaling: new values are rounded
    to what they can hold; its position is that of `scan.header`, without a form found wrong. A
    DICOM series or an image in memory is written as float32.

    Args:
        path: ends with `.nii` or `.nii.gz`.
        scan: as it was read; its source is read again if it is an image file, no DICOM.
        values: scanner units, the scan's grid.
        region: where to take `values` instead of the scan.

    Raises:
        OutputError: the file cannot be written, has another ending, or is the scan itself.
    """
    source = scan.source
    check_target(path, source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"cannot make {path.parent} ({error.strerror}); choose another"
        raise OutputError(said) from error
    if source is None or not source.is_file() or is_dicom_file(source):
        merged = np.where(region, values.data, scan.volume.data)
        return write_volume(path, scan.volume.with_data(merged), scan, np.float32)
    stored = read_nifti(source)
    voxels = np.array(stored.voxels)
    raw = (values.data[region].astype(np.float64) - stored.intercept) / stored.slope
    if voxels.dtype.kind in "iu":
        limits = np.iinfo(voxels.dtype)
        raw = np.clip(np.rint(raw), limits.min, limits.max)
    voxels[region] = raw.astype(voxels.dtype)
    header = stored.header.copy()
    if scan.header is not None:
        take_grid(header, scan.header)
    header.set_data_dtype(voxels.dtype)
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(voxels, None, header)
    image.header.set_slope_inter(stored.slope, stored.intercept)
    _write_whole(image, path)
    return path


def check_target(path: Path, source: Path | None) -> None:
    """Refuse a place that a filled scan cannot be written to; to be asked before the work too.

    Raises:
        OutputError: it is a folder or the scan itself, or its name has another ending.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise OutputError(f"{path}: give a name that ends with .nii.gz or .nii")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if source is not None and path.resolve() == source.resolve():
        raise OutputError(f"{path}: is the scan itself; give another name")


def _write_whole(image: Any, path: Path) -> None:
    """Write an image, all of it or nothing."""
    ending = ".nii.gz" if path.name.endswith(".gz") else ".nii"
    temporary = path.with_name(f".{path.name}.part{ending}")
    try:
        nib.save(image, temporary)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}); choose a folder that can be "
            "written and has space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
