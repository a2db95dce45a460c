"""Where the data lie and where results go, and one line that says what made a result."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anatomaly.volume import Volume
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


def describe_run(command: str, seed: int | None, card: WeightsCard | None = None) -> str:
    """Return what made a result, see `result_page.describe_run`."""
    from anatomaly.evaluation import result_page

    threads = os.environ.get("OMP_NUM_THREADS", "default")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{cores} cores, {_load()}OMP_NUM_THREADS={threads}"
    return result_page.describe_run(command, machine, PACKAGES, seed, card)


def read_volume(path: Path) -> Volume:
    """Read a NIfTI file as it is: float32, (I, J, K), without the repairs of `read_scan`."""
    import nibabel as nib
    import numpy as np

    from anatomaly.volume import Volume

    image: Any = nib.load(path)
    return Volume(image.get_fdata(dtype=np.float32), image.affine)


def write_csv(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows to `benchmarks/results/NAME.csv`, with the columns of the first row."""
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_page(name: str, lines: Sequence[str]) -> None:
    """Write the lines of a page to `benchmarks/results/NAME.md`."""
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
