"""Where the data lie and where results go, and one line that says what made a result."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anatomaly.weights_card import WeightsCard

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("anatomaly", "niimath", "deepbet", "nilearn", "torch", "numpy", "scipy")


def data_folder() -> Path:
    """Return the folder of real scans: ANATOMALY_DATA, else ../shared/data beside the checkout."""
    folder = Path(os.environ.get("ANATOMALY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"no data at {folder}; set ANATOMALY_DATA to the folder that holds cases/")
    return folder


def healthy_heads(count: int | None = None) -> list[Path]:
    """Return T1w scans of healthy people that training never saw, the first so many or all."""
    return sorted((data_folder() / "ixi_t1_2mm" / "validation").glob("*_T1w.nii.gz"))[:count]


def _load() -> str:
    """Return how busy the machine was in the last quarter of an hour, where it says so."""
    try:
        return f"load {os.getloadavg()[2]:.1f}, "
    except (AttributeError, OSError):
        return ""


def commit_of(folder: Path) -> str:
    """Return the short commit of the checkout that a folder lies in, or that there is none."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def describe_weights(card: WeightsCard) -> str:
    """Return which weights a result is of."""
    scorer = f"{card.scorer_sha256[:16]}…" if card.scorer_sha256 else "none"
    return f"Weights {card.name}, SHA-256 {card.sha256[:16]}…, scorer {scorer}"


def describe_run(command: str, seed: int | None) -> str:
    """Return command, date, machine, versions and seed as one paragraph."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} from source")
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"`{command}`, {datetime.date.today().isoformat()}; {platform.machine()}, "
        f"{cores} cores, {_load()}OMP_NUM_THREADS={threads}; "
        f"Python {platform.python_version()}, {', '.join(found)}; "
        f"{'no random numbers' if seed is None else f'seed {seed}'}."
    )
