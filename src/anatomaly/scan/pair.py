"""Scans in two files: a header (`.hdr`) and the voxels (`.img`) beside it."""

from __future__ import annotations

from pathlib import Path

from anatomaly.endings import HEADER_ENDINGS, VOXELS_ENDINGS, has_ending, without_ending


def header_of(path: Path) -> Path:
    """Return the file that holds the header: the `.hdr` beside an `.img`, else the file itself."""
    if not has_ending(path.name, VOXELS_ENDINGS):
        return path
    return _beside(path, HEADER_ENDINGS) or path


def voxels_of(header: Path) -> Path | None:
    """Return the `.img` beside a `.hdr`, None if there is none."""
    return _beside(header, VOXELS_ENDINGS)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a scan consists of, the header first; either half may be named."""
    header = header_of(path)
    voxels = voxels_of(header) if has_ending(header.name, HEADER_ENDINGS) else None
    return (header,) if voxels is None else (header, voxels)


def _beside(path: Path, endings: tuple[str, ...]) -> Path | None:
    """Return the file of the same name with one of the endings, in lower or upper case."""
    stem = without_ending(path.name)
    names = [stem + shown for ending in endings for shown in (ending, ending.upper())]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
