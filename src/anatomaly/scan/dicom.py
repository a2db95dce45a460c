"""A DICOM folder, converted by dcm2niix in a temporary folder that is always removed.

dcm2niix converts, pydicom reads the headers beside it: whose images these are, and whether each
slice of the conversion is the image that lies there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anatomaly.endings import has_ending
from anatomaly.errors import ScanError
from anatomaly.scan.checked_series import checked_series
from anatomaly.scan.conversion import collect_series, rebuild_unconverted, stage_files
from anatomaly.scan.fetched import refuse_partly_fetched
from anatomaly.scan.instances import Instance, quiet, read_instance, read_instances
from anatomaly.scan.people import check_one_visit
from anatomaly.scan.series import Series, choose_series
from anatomaly.scan.stream import readable
from anatomaly.systems import program_path
from anatomaly.temporary import temporary_folder

TIMEOUT_SECONDS = 900
MAX_FILES = 20_000
"""A head study has a few thousand files; more is a folder with many studies."""
_DEPTH = 9


@dataclass(frozen=True)
class ConvertedSeries:
    """The chosen series as NIfTI; the file exists until the context ends.

    Attributes:
        series: what was chosen.
        labels: of all series that were found.
        source_files: the files of the folder, in order of name.
        warnings: which series was taken, and doubts.
    """

    series: Series
    labels: tuple[str, ...]
    source_files: tuple[Path, ...]
    warnings: tuple[str, ...]


@contextmanager
def converted_series(path: Path) -> Iterator[ConvertedSeries]:
    """Convert DICOM files and yield the best structural series, compared with its images.

    Args:
        path: a folder; or one file, which stands for its series in its folder.

    Raises:
        ScanError: no DICOM image, several patients or visits, no structural series, or the
            conversion failed.
    """
    with quiet():
        if path.is_dir():
            files = files_of(path)
            instances = read_instances(files)
        else:
            instances = series_beside(path)
            files = tuple(instance.path for instance in instances)
        warnings = check_one_visit(path, instances)
    with temporary_folder() as temporary:
        staged, target = stage_files(files, temporary / "images"), temporary / "nifti"
        target.mkdir()
        said = re.sub(
            rf"{re.escape(str(staged))}(/\d+)?", lambda _: str(path), _convert(staged, target)
        )
        with quiet():
            series = collect_series(target, instances)
            rebuilt, unread = rebuild_unconverted(target, instances, series)
            series += rebuilt
            if not series:
                raise ScanError(_nothing_found(path, files, said, unread))
            chosen, more = _checked_choice(series, instances, path)
        if unread:
            more = (*more, f"not read: {'; '.join(unread)}")
        labels = tuple(one.label for one in series)
        yield ConvertedSeries(chosen, labels, files, (*warnings, *more))


def series_beside(path: Path) -> tuple[Instance, ...]:
    """Return the images in a file's folder that are of its series, in order of name.

    Raises:
        ScanError: the file is no DICOM image, or its folder cannot be read.
    """
    named = read_instance(path)
    if named is None:
        raise ScanError(
            f"{path}: a DICOM file without an image that can be read; give an image of the series, "
            "or the folder"
        )
    if not named.series_uid:
        return (named,)
    with readable(path.parent, "its permissions"):
        beside = sorted(other for other in path.parent.iterdir() if other.is_file())
    if len(beside) > MAX_FILES:
        raise ScanError(f"{path.parent}: more than {MAX_FILES:,} files; copy the series elsewhere")
    refuse_partly_fetched(path.parent, beside)
    return tuple(i for i in read_instances(beside) if i.series_uid == named.series_uid)


def _checked_choice(
    series: list[Series], instances: tuple[Instance, ...], path: Path
) -> tuple[Series, tuple[str, ...]]:
    """Return the best series that can be used, and warnings; a broken one does not stop another.

    Raises:
        ScanError: none is left.
    """
    while True:
        best, warnings = choose_series(series, path)
        try:
            checked, more = checked_series(best, instances)
        except ScanError as error:
            reason = str(error).removeprefix(f"{best.label}: ")
            series = [replace(s, reason_against=reason) if s is best else s for s in series]
            continue
        return checked, (*warnings, *more)


def files_of(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder and its subfolders in order of name.

    Raises:
        ScanError: the folder is empty, overfull or cannot be read.
    """
    files: list[Path] = []
    with readable(folder, "its permissions"):
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            files += [Path(root) / name for name in sorted(names)]
            if len(files) > MAX_FILES:
                raise ScanError(
                    f"{folder}: more than {MAX_FILES:,} files; name the folder of one study or "
                    "one series"
                )
    refuse_partly_fetched(folder, files)
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
    options = ["-b", "y", "-ba", "n", "-z", "n", "-g", "i", "-d", str(_DEPTH), "-f", "series_%s_%j"]
    command = [program_path(dcm2niix.bin), *options, "-o", str(target), str(folder.resolve())]
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


def _nothing_found(path: Path, files: tuple[Path, ...], said: str, unread: list[str]) -> str:
    """Say what a folder holds instead of DICOM images that can be read."""
    if unread:
        return (
            f"{path}: the DICOM images cannot be read ({'; '.join(unread)}; dcm2niix, {said}); "
            "export the series uncompressed"
        )
    nifti = [file for file in files if has_ending(file.name)]
    if nifti:
        return (
            f"{path}: no DICOM images, but {len(nifti)} NIfTI or similar file(s); give the file "
            f"itself, for example {nifti[0]}"
        )
    return (
        f"{path}: no DICOM images among its {len(files)} file(s); name the folder of one "
        f"series (dcm2niix, {said})"
    )
