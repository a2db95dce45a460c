"""Names of result folders: the scan's own name, made unique where two scans share one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from anatomaly.errors import ConfigError
from anatomaly.systems import same_name


def result_names(scans: list[Path]) -> list[str]:
    """Name the result folder of every scan, in the order given.

    Scans that share a name all get as many of their parent folders in front as it takes, so the
    order in which they are given does not matter. Names that differ in upper and lower case alone
    are shared ones: macOS and Windows have one folder for both.

    >>> result_names([Path("sub-01/T1w.nii.gz"), Path("sub-02/T1w.nii.gz"), Path("other.nii")])
    ['sub-01_T1w', 'sub-02_T1w', 'other']

    Raises:
        ConfigError: one scan is given twice.
    """
    from anatomaly.scan.read import scan_name

    paths = [scan.absolute() for scan in scans]
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ConfigError(f"given more than once: {', '.join(twice)}")
    names = [scan_name(path) for path in paths]
    for depth in range(1, max((len(path.parts) for path in paths), default=0)):
        counts = Counter(map(same_name, names))
        if len(counts) == len(names):
            return names
        names = [
            "_".join((*path.parts[-1 - depth : -1], scan_name(path)))
            if counts[same_name(name)] > 1
            else name
            for path, name in zip(paths, names, strict=True)
        ]
    counts = Counter(
        map(same_name, names)
    )  # a.nii and a.nii.gz in one folder: only the ending differs
    return [
        path.name if counts[same_name(name)] > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
