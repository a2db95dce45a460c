"""What empty margins and outliers change: lesion volume and map of altered scans against the scan.

    ANATOMALY_DATA=/path/to/data python benchmarks/margins.py [--label NAME] [--scans N]

Each scan is altered in ways that leave what is in the head alone (padding) or that a reconstruction
really makes (spikes, dead voxels), goes through `detect`, and is compared with the unaltered scan
by the same program. `--label` names the column; with PYTHONPATH set to another checkout (that has
`evaluation/result_page.py`) the same command measures that one. Adds to
benchmarks/results/margins.json and writes margins.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, ROOT, data_folder, describe_run

from anatomaly.config import DetectConfig, PreprocessConfig
from anatomaly.evaluation.result_page import commit_of, markdown_table
from anatomaly.pipeline import Detector
from anatomaly.scan.read import read_scan
from anatomaly.types import FloatArray
from anatomaly.volume import Volume

SEED = 20261127
SCANS = (
    "raw_heads/tcga_fg_6692/FLAIR.nii.gz",
    "cases/tcga_fg_6692/FLAIR.nii.gz",
    "cases/mslub_patient19/T1w.nii.gz",
    "raw_heads/py_synthsr/FLAIR.nii.gz",
)
Alter = Callable[[Volume, np.random.Generator], Volume]


def padded(widths: tuple[int, int, int, int, int, int], value: float, noise: float = 0.0) -> Alter:
    """Put planes of a value (and noise, in shares of the 99th percentile) around a scan."""

    def alter(volume: Volume, rng: np.random.Generator) -> Volume:
        pairs = np.array(widths).reshape(3, 2)
        data = np.pad(volume.data, pairs, constant_values=np.nan)
        added = np.isnan(data)
        level = noise * float(np.percentile(volume.data, 99))
        data[added] = value + np.abs(rng.normal(0, 1, int(added.sum()))) * level
        affine = volume.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ pairs[:, 0]
        return Volume(data, affine)

    return alter


def sprinkled(share: float, times: float) -> Alter:
    """Set a share of the voxels to a multiple of the 99th percentile."""

    def alter(volume: Volume, rng: np.random.Generator) -> Volume:
        data = volume.data.copy()
        at = rng.choice(data.size, max(1, round(share * data.size)), replace=False)
        data.ravel()[at] = times * float(np.percentile(volume.data, 99))
        return volume.with_data(data)

    return alter


WAYS: dict[str, Alter] = {
    "10 empty voxels all around": padded((10, 10, 10, 10, 2, 2), 0.0),
    "40 voxels of 100 on one side": padded((0, 0, 40, 0, 0, 0), 100.0),
    "20 voxels of faint noise (.1 %)": padded((20, 20, 20, 20, 4, 4), 0.0, 0.001),
    ".2 % of the voxels 100 times too bright": sprinkled(0.002, 100.0),
    "one voxel 4000 times too bright": sprinkled(0.0, 4000.0),
    ".01 % of the voxels far below zero": sprinkled(1e-4, -1000.0),
    ".5 % of the voxels four times too bright": sprinkled(0.005, 4.0),
    "1 % of the voxels dead": sprinkled(0.01, 0.0),
}


def altered(volume: Volume) -> Iterator[tuple[str, Volume]]:
    """Yield the scan and each altered one."""
    yield "the scan itself", volume
    for number, (name, alter) in enumerate(WAYS.items()):
        yield name, alter(volume, np.random.default_rng(SEED + number))


def measure(detector: Detector, path: Path) -> list[dict[str, Any]]:
    """Run one scan and its altered copies; volumes in mL, maps on the template grid."""
    rows: list[dict[str, Any]] = []
    reference: FloatArray | None = None
    for name, volume in altered(read_scan(path).volume):
        found = detector.detect(volume)
        mask, steps = found.anomaly_mask, found.steps
        assert steps is not None
        map_now = steps.anomaly_map
        reference = map_now if reference is None else reference
        rows.append({
            "scan": f"{path.parent.parent.name}/{path.parent.name}/{path.name.split('.')[0]}",
            "way": name,
            "ml": round(float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000, 3),
            "map": round(float(np.abs(map_now - reference).max()), 4),
            "warnings": len(found.warnings),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label", default="now")
    parser.add_argument("--commit", default=commit_of(ROOT), help="of the program that is measured")
    parser.add_argument("--scans", type=int, default=len(SCANS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    file = arguments.output / "margins.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    detector = Detector(DetectConfig(preprocess=PreprocessConfig(force=True)))
    rows: list[dict[str, Any]] = []
    for name in SCANS[: arguments.scans]:
        rows += measure(detector, data_folder() / name)
        said = describe_run("python benchmarks/margins.py", SEED)
        run = {"commit": arguments.commit, "said": said, "rows": rows}
        kept[arguments.label] = run
        file.write_text(json.dumps(kept, indent=1) + "\n")
        (arguments.output / "margins.md").write_text(as_markdown(kept))


def as_markdown(runs: dict[str, Any]) -> str:
    """Return the table: a row for each altered scan, a pair of columns for each program."""
    labels = sorted(runs, key=lambda label: label != "before")
    lines = ["# What empty margins and outliers change", ""]
    lines += [
        "Lesion volume against that of the unaltered scan by the same program, and in brackets the",
        "largest difference of the anomaly map (0 to 1) on the template grid.",
        "",
    ]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for label in labels:
        whole = 1.0
        for row in runs[label]["rows"]:
            itself = row["way"] == "the scan itself"
            whole = row["ml"] if itself else whole
            change = f"{100 * (row['ml'] / max(whole, 1e-9) - 1):+.1f} % ({row['map']:.2f})"
            cell = f"{whole:.2f} mL" if itself else change
            found.setdefault((row["scan"], row["way"]), {})[label] = cell
    rows = ((*key, *(cells.get(label, "–") for label in labels)) for key, cells in found.items())
    lines += markdown_table(("scan", "altered by", *labels), rows, "llr")
    for label in labels:
        lines += ["", f"{label}: commit {runs[label]['commit']}, {runs[label]['said']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
