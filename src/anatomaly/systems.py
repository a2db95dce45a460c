"""What differs between Linux, macOS and Windows, in one place: no other module asks which it is.

Linux was tried; for the others this is what their documentation says (docs/how-to/release.md).
"""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

try:
    import fcntl as fcntl  # of POSIX: locks on folders, which die with their process
except ImportError:  # Windows has none: there only age tells a folder that was left behind
    fcntl = None  # type: ignore[assignment]

ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""What ends a program on purpose: a person, a scheduler, a terminal that is closed (the last one
on Windows). Those that a system lacks are passed over."""


def program_path(path: str | Path) -> str:
    """Return the path of a program that a wheel brings: on Windows it ends with `.exe`.

    The wheel of dcm2niix names its program without an ending on every system, and Windows adds
    none to a name with folders in front.
    """
    if sys.platform == "win32" and Path(path).suffix.lower() != ".exe":
        return f"{path}.exe"
    return str(path)


def usable_processors() -> int:
    """Return how many processors this process may use; those of the machine where nobody tells."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a scheduler may have given it some alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_of_this_user(status: os.stat_result) -> bool:
    """Return whether a file is this user's; yes on Windows: such folders are a user's."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def temporary_places() -> str:
    """Name the places that are tried for temporary files after TMPDIR, for a message."""
    if sys.platform == "win32":
        return "those in TEMP and TMP, C:\\TEMP and the working folder"
    return "/tmp, /var/tmp and the working folder"


def same_name(name: str) -> str:
    """Return what two file names have in common that some systems take for one.

    macOS and Windows do not tell `A` from `a`, macOS not one way to write `é` from another. Asked
    on Linux too: results are to have the same names everywhere, and may be copied there.

    >>> same_name("Scan_T1w") == same_name("scan_t1w")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def peak_memory_gb() -> float:
    """Return the most memory that this process has held, in GB; nan on Windows."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text("utf-8", "replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) / 1e6
    try:
        import resource
    except ImportError:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e9 if sys.platform == "darwin" else 1e6)  # bytes on macOS, else kB


def free_memory_gb(root: Path = Path("/")) -> float:
    """Return the memory that may still be taken, in GB; nan where nobody tells (not Linux).

    The least of what the machine has and of what the control groups leave that this process is in
    (containers, jobs of a scheduler). Memory that only caches files counts as free.

    Args:
        root: of the file system that says so.
    """
    try:
        lines = (root / "proc/meminfo").read_text("utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        return float("nan")
    return min([free, *_left_by_groups(root)]) / 1e9


def _left_by_groups(root: Path) -> list[int]:
    """Return what each control group of this process leaves of its memory, in bytes."""
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    left = []
    for group in groups:
        _, kinds, inner = group.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if kinds else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, used, cache = names if kinds else ("memory.max", "memory.current", "inactive_file")
        folder = top / inner.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                with suppress(OSError, ValueError):  # no limit is a word, or no file
                    most = int((place / limit).read_text("utf-8"))
                    taken = int((place / used).read_text("utf-8"))
                    stat = (place / "memory.stat").read_text("utf-8").splitlines()
                    cached = [int(line.split()[1]) for line in stat if line.startswith(f"{cache} ")]
                    left.append(max(0, most - taken + sum(cached)))
    return left
