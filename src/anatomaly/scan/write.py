"""Results go to disk whole or not at all: volumes on the scan's grid, and whole result folders."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from isal.igzip import IGzipFile
from numpy.typing import DTypeLike

from anatomaly.errors import OutputError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.leftovers import alone_in, hold_lock, is_stale
from anatomaly.volume import Scan, Volume
from anatomaly.whole_file import whole_file

RESULT_MARKER = "run.json"
"""A folder that holds this file is one of our results and may be replaced."""
RESULT_FILES = frozenset({
    "anomaly_map.nii.gz", "anomaly_mask.nii.gz", "anomaly_mask.nii",
    "pseudo_healthy.nii.gz", "tissue_map.nii.gz", "brain_mask.nii.gz", "lesions.nii.gz",
    "lesions.tsv", "overview.png", "report.html",
    "lesions_seg.dcm", "anomaly_map_pm.dcm", "report_sr.dcm", "report_pdf.dcm",
    RESULT_MARKER,
})  # fmt: skip
"""What a result consists of; other files in an older result are the user's and are kept."""
RESULT_FOLDERS = {
    "labels": ("_itksnap.txt", "_fsleyes.lut", "_freesurfer.txt", "_slicer.ctbl"),
    "overlay_sc": (".dcm",),
}
"""Folders of a result, and the endings of those files in them that are part of it."""

_PARTIAL, _OLD = ".partial", ".old"
_GRID_FIELDS = (
    "dim_info", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
_DISK_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG}


def write_volume(path: Path, volume: Volume, scan: Scan, dtype: DTypeLike) -> Path:
    """Write a volume as `.nii` or `.nii.gz`: the whole file appears at once, or nothing.

    On the scan's own grid, affine, sform and qform, their codes and the unit are those of the
    scan's header, bit for bit. On another grid the volume's affine is written (sform only).

    Args:
        path: ends with `.nii` or `.nii.gz`; its folder exists.
        volume: (I, J, K), any unit; written without scaling (scl_slope 1).
        scan: names the grid and the header.
        dtype: of the file: uint8 for masks, float32 for maps.

    Returns:
        path.

    Raises:
        OutputError: the folder is missing, read-only or full.
        ValueError: a value does not fit the dtype, or the name has another ending.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: expected a name that ends with .nii or .nii.gz")
    target = np.dtype(dtype)
    data = _as_type(volume.data, target, path)
    header = result_header(volume, scan, target)
    try:
        with whole_file(path, several=True) as temporary, temporary.open("xb") as raw:
            if path.name.endswith(".gz"):
                with IGzipFile("", "wb", compresslevel=2, fileobj=raw, mtime=0) as packed:
                    _stream(packed, header, data)
            else:
                _stream(raw, header, data)
            raw.flush()
            os.fsync(raw.fileno())
    except OSError as error:
        raise _output_error(path, error) from error
    return path


def result_header(volume: Volume, scan: Scan, dtype: np.dtype[Any]) -> nib.Nifti1Header:
    """Return the header of a result: the scan's position, nothing else of the scan's header."""
    nifti2 = isinstance(scan.header, nib.Nifti2Header)
    header = nib.Nifti2Header() if nifti2 else nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(volume.shape)
    on_scan_grid = volume.shape == scan.volume.shape and np.allclose(
        volume.affine, scan.volume.affine, rtol=0, atol=1e-4
    )
    if on_scan_grid and scan.header is not None:
        take_grid(header, scan.header)
    else:
        on_template = volume.shape == TEMPLATE_SHAPE and np.allclose(volume.affine, TEMPLATE_AFFINE)
        header["pixdim"][1:4] = volume.spacing_mm
        header.set_sform(volume.affine, code="mni" if on_template else "scanner")
        header.set_xyzt_units("mm", "sec")
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = header.single_vox_offset
    return header


def result_files(folder: Path) -> list[Path]:
    """Return those files of a folder that are part of a result; the user's own are left out."""
    inside = [
        path
        for name, endings in RESULT_FOLDERS.items()
        for path in sorted((folder / name).glob("*"))
        if path.name.endswith(endings)
    ]
    return [path for name in sorted(RESULT_FILES) if (path := folder / name).is_file()] + inside


def take_grid(header: nib.Nifti1Header, scan_header: nib.Nifti1Header) -> None:
    """Put the position, voxel sizes and unit of a scan's header into another, bit for bit.

    Args:
        header: changed.
        scan_header: `Scan.header`, in which no form is left that was found wrong.
    """
    for field in _GRID_FIELDS:
        header[field] = scan_header[field]


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path` that takes its place when the block succeeds.

    An older result at `path` stays until then. Files in it that are no part of a result (a
    user's own) are carried over. When the block fails, the hidden folder is removed and the
    older result is as it was. What a killed run left behind is put right at the next run. Of two
    jobs that write one result, the later one's stays.

    Args:
        path: the result folder; missing parents are made (and removed again on failure).

    Raises:
        OutputError: the place cannot be written, is full, or holds something that is no result.
    """
    path = Path(path).expanduser()
    parents: list[Path] = []
    temporary: Path | None = None
    lock: int | None = None
    try:
        path = path.resolve()
        for parent in reversed([p for p in path.parents if not p.exists()]):
            parent.mkdir(exist_ok=True)
            parents.append(parent)
        with alone_in(path.parent):
            _recover(path)
            _refuse_foreign(path)
            temporary = _hidden_beside(path, _PARTIAL)
            temporary.mkdir()
            lock = hold_lock(temporary)
        yield temporary
        with alone_in(path.parent):
            _publish(temporary, path)
        parents.clear()
    except OSError as error:
        names = [Path(str(n)) for n in (error.filename, error.filename2) if n is not None]
        is_ours = any(name.is_relative_to(path.parent) for name in names)
        if temporary is not None and not (is_ours or error.errno in _DISK_ERRORS):
            raise  # of something that the block read
        raise _output_error(path, error) from error
    finally:
        if lock is not None:
            os.close(lock)
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for parent in reversed(parents):
            with contextlib.suppress(OSError):
                parent.rmdir()


def _as_type(data: np.ndarray[Any, Any], dtype: np.dtype[Any], path: Path) -> np.ndarray[Any, Any]:
    """Return the data in the file's type; refuse a value that would change."""
    with np.errstate(all="ignore"):
        cast = data.astype(dtype)
    same = cast == data if dtype.kind in "iu" else np.isfinite(cast) == np.isfinite(data)
    if not same.all():
        raise ValueError(f"{path.name}: values do not fit {dtype} without change")
    return cast


def _stream(
    file: IO[bytes] | IGzipFile, header: nib.Nifti1Header, data: np.ndarray[Any, Any]
) -> None:
    """Write header, an empty extension flag and the voxels, first axis fastest."""
    file.write(header.binaryblock + b"\0\0\0\0")
    for k in range(data.shape[2]):
        file.write(data[:, :, k].tobytes(order="F"))


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file, or a folder that is not one of our results."""
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path}: is a file, expected a folder; choose another output folder")
    if any(path.iterdir()) and not (path / RESULT_MARKER).is_file():
        raise OutputError(
            f"{path}: the folder exists and is not a result of anatomaly (no {RESULT_MARKER} in "
            "it); choose another output folder or empty this one"
        )


def _publish(temporary: Path, path: Path) -> None:
    """Put the finished folder in the place of the older result."""
    if not path.exists():
        temporary.rename(path)
        return
    old = _hidden_beside(path, _OLD)
    path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:  # also a signal that ends the program
        if not path.exists():
            old.rename(path)
        raise
    _retire(old, path)


def _retire(old: Path, path: Path) -> None:
    """Carry the user's own files from the older result to the new one, then remove the older."""
    ours = set(result_files(old))
    inside = [entry for name in RESULT_FOLDERS for entry in (old / name).glob("*")]
    for entry in sorted([*(e for e in old.iterdir() if e.name not in RESULT_FOLDERS), *inside]):
        place = path / entry.relative_to(old)
        if entry not in ours and not place.exists():
            place.parent.mkdir(exist_ok=True)
            entry.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _recover(path: Path) -> None:
    """Put right what killed runs left: restore an older result, remove unfinished folders."""
    for old in _leftovers(path, _OLD):
        if path.exists():
            _retire(old, path)
        else:
            old.rename(path)
    for partial in _leftovers(path, _PARTIAL):
        if is_stale(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _hidden_beside(path: Path, ending: str) -> Path:
    """Return a hidden name beside the path that nobody has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{ending}")


def _leftovers(path: Path, ending: str) -> list[Path]:
    """Return our hidden folders beside the path, newest first."""
    hidden = re.compile(rf"\.{re.escape(path.name)}\..{{8}}{re.escape(ending)}", re.DOTALL)
    folders = [p for p in path.parent.iterdir() if hidden.fullmatch(p.name) and p.is_dir()]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


def _output_error(path: Path, error: OSError) -> OutputError:
    """Say in plain words why the output cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"{path}: the disk is full ({error.strerror}); free some space or choose another "
            "output folder; nothing was left behind"
        )
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); check that its folder exists and "
        "that you may write there, or choose another output folder"
    )
