"""A DICOM folder, converted by dcm2niix in a temporary folder that is always removed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anatomaly.endings import has_ending
from anatomaly.errors import ScanError
from anatomaly.scan.leftovers import hold_lock, is_stale
from anatomaly.scan.series import Series, choose_series, series_of_file
from anatomaly.types import Sequence

TIMEOUT_SECONDS = 900
MAX_FILES = 20_000
"""A head study has a few thousand files; more is a folder with many studies."""
_DEPTH = 9
_PREFIX = "anatomaly_dicom_"


@dataclass(frozen=True)
class ConvertedSeries:
    """The chosen series as NIfTI; the file exists until the context ends.

    Attributes:
        path: the NIfTI file.
        label: how messages name it: `series 4 'T1 MPRAGE'`.
        modality: DICOM modality, `MR` for what can be used.
        sequence: what description or timing say.
        source_files: the files of the folder, in order of name.
        warnings: which series was taken, and doubts.
        summary: JSON values for the run manifest.
        uid: SeriesInstanceUID; None if unknown.
    """

    path: Path
    label: str
    modality: str
    sequence: Sequence | None
    source_files: tuple[Path, ...]
    warnings: tuple[str, ...]
    summary: dict[str, Any]
    uid: str | None


@contextmanager
def converted_series(folder: Path) -> Iterator[ConvertedSeries]:
    """Convert the folder's DICOM files and yield the best structural series.

    Raises:
        ScanError: no DICOM image in the folder, several patients, no structural series, or the
            conversion failed.
    """
    files = files_of(folder)
    _remove_stale()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as temporary, _locked(Path(temporary)):
        said = _convert(folder, Path(temporary))
        found = _found(Path(temporary))
        if not found:
            raise ScanError(_nothing_found(folder, files, said))
        _refuse_several_patients(folder, found)
        chosen, warnings = choose_series([series for series, _ in found], folder)
        yield ConvertedSeries(
            path=chosen.path,
            label=chosen.label,
            modality=chosen.modality,
            sequence=chosen.sequence,
            source_files=files,
            warnings=warnings,
            summary={
                "dicom_series": chosen.facts,
                "dicom_series_found": [series.label for series, _ in found],
            },
            uid=chosen.uid,
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Mark the folder as in use, so that no other run takes it for left behind."""
    lock = hold_lock(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _remove_stale() -> None:
    """Remove what killed runs left in the temporary folder: it holds a patient's images."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if is_stale(left):
            shutil.rmtree(left, ignore_errors=True)


def files_of(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder and its subfolders in order of name.

    Raises:
        ScanError: the folder is empty, overfull or cannot be read.
    """
    files: list[Path] = []
    try:
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            files += [Path(root) / name for name in sorted(names)]
            if len(files) > MAX_FILES:
                raise ScanError(
                    f"{folder}: more than {MAX_FILES:,} files; name the folder of one study or "
                    "one series"
                )
    except OSError as error:
        raise ScanError(
            f"{folder}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    files = [path for path in files if path.is_file()]
    if not files:
        raise ScanError(f"{folder}: the folder is empty; name a folder with DICOM files")
    return tuple(files)


def _raise(error: OSError) -> None:
    """Let os.walk report what it cannot list."""
    raise error


def _convert(folder: Path, target: Path) -> str:
    """Run dcm2niix; return what it said."""
    try:
        import dcm2niix
    except ImportError as error:
        raise ScanError(
            f"{folder}: reading DICOM needs dcm2niix (pip install dcm2niix), or convert the "
            "folder to NIfTI first"
        ) from error
    options = ["-b", "y", "-ba", "n", "-z", "n", "-g", "i", "-d", str(_DEPTH), "-f", "series_%s"]
    command = [str(dcm2niix.bin), *options, "-o", str(target), str(folder.resolve())]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ScanError(
            f"{folder}: dcm2niix took longer than {TIMEOUT_SECONDS} s; name the folder of one "
            "series"
        ) from error
    except OSError as error:
        raise ScanError(
            f"{folder}: dcm2niix cannot be run ({error.strerror}); convert the folder to NIfTI "
            "and give that file"
        ) from error
    said = (done.stdout + done.stderr).decode("utf-8", errors="replace").strip()
    return f"exit status {done.returncode}: {said.splitlines()[-1] if said else 'no message'}"


def _found(target: Path) -> list[tuple[Series, str]]:
    """Return the converted series, and whose each is.

    Where slices are missing or unevenly spaced, dcm2niix writes the image twice: once with a wrong
    geometry, and once (`_Eq`) interpolated to even distances. Only the second is kept.
    """
    paths = sorted(target.glob("*.nii"))
    evened = {path.stem.split("_Eq")[0] for path in paths if "_Eq" in path.stem}
    return [_series(path) for path in paths if path.stem not in evened]


def _series(path: Path) -> tuple[Series, str]:
    """Return a converted series and whose it is; a variant shares the sidecar of its original.

    Variants end with a letter or with a word after `_`; `series_20` is none of `series_2`.
    """
    beside = [
        file
        for file in path.parent.glob("*.json")
        if path.stem.startswith(file.stem) and not path.stem[len(file.stem) :][:1].isdigit()
    ]
    sidecar = {}
    if beside:
        longest = max(beside, key=lambda file: len(file.stem))
        with contextlib.suppress(OSError, ValueError):
            sidecar = json.loads(longest.read_text("utf-8", errors="replace"))
    return series_of_file(path, sidecar), str(sidecar.get("PatientID", ""))


def _refuse_several_patients(folder: Path, found: list[tuple[Series, str]]) -> None:
    """Refuse a folder that mixes people: a silent choice between them would be dangerous."""
    patients = {patient for _, patient in found if patient}
    if len(patients) > 1:
        raise ScanError(
            f"{folder}: DICOM files of {len(patients)} patients; name the folder of one of them"
        )


def _nothing_found(folder: Path, files: tuple[Path, ...], said: str) -> str:
    """Say what the folder holds instead of DICOM images."""
    nifti = [path for path in files if has_ending(path.name)]
    if nifti:
        return (
            f"{folder}: no DICOM images, but {len(nifti)} NIfTI or similar file(s); give the file "
            f"itself, for example {nifti[0]}"
        )
    return (
        f"{folder}: no DICOM images among its {len(files)} file(s); name the folder of one "
        f"series (dcm2niix, {said})"
    )
