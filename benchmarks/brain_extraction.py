"""Brain extraction against a reference: Dice on 20 healthy heads with skull.

    ANATOMALY_DATA=/path/to/data python benchmarks/brain_extraction.py

Reference: the automatic parcellation (DLMUSE) of the 20 IXI validation heads at 2 mm, label above
0, holes filled in 3D. Compared: the mask that the default preparation finds, and the fallback
(template mask laid on by an affine). Writes benchmarks/results/brain_extraction.{csv,md}.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_run, healthy_heads, read_volume, write_csv, write_page
from scipy import ndimage

from anatomaly.evaluation.result_page import markdown_table
from anatomaly.preprocess.background import find_foreground
from anatomaly.preprocess.brain_extraction import place_template_mask, run_deepbet
from anatomaly.preprocess.quality import mask_dice

TARGET = 0.95


def measure_head(path: Path, with_atlas: bool) -> dict[str, Any]:
    """Return one row: Dice, volumes in mL and seconds for one head."""
    volume, name = read_volume(path), path.name.removesuffix("_T1w.nii.gz")
    labels = read_volume(path.with_name(f"{name}_dlmuse.nii.gz")).data
    reference = ndimage.binary_fill_holes(labels > 0)
    foreground = find_foreground(volume)
    start = time.perf_counter()
    mask = run_deepbet(volume)
    seconds = time.perf_counter() - start
    to_ml = volume.voxel_volume_mm3 / 1000
    row = {
        "head": name,
        "taken_for_stripped": str(foreground.is_brain or foreground.is_doubtful),
        "dice": round(mask_dice(mask, reference), 4),
        "missed_share": round(float((reference & ~mask).sum() / reference.sum()), 4),
        "mask_ml": round(float(mask.sum()) * to_ml),
        "reference_ml": round(float(reference.sum()) * to_ml),
        "seconds": round(seconds, 1),
    }
    if with_atlas:
        row["dice_atlas"] = round(mask_dice(place_template_mask(volume), reference), 4)
    return row


def main() -> None:
    """Measure all heads and write the two result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atlas-heads", type=int, default=6, help="heads for the fallback too")
    options = parser.parse_args()
    rows = []
    for number, path in enumerate(healthy_heads()):
        rows.append(measure_head(path, number < options.atlas_heads))
        print(rows[-1], flush=True)
    write_csv("brain_extraction", rows)
    dice = np.array([row["dice"] for row in rows])
    atlas = np.array([row["dice_atlas"] for row in rows if "dice_atlas" in row])
    lines = [
        "# Brain extraction, 20 healthy heads with skull (IXI validation, T1w, 2 mm)",
        "",
        describe_run("python benchmarks/brain_extraction.py", seed=None),
        "",
        f"Dice against the parcellation (above 0, holes filled): mean {dice.mean():.3f}, lowest "
        f"{dice.min():.3f}; {int((dice > TARGET).sum())} of {dice.size} above {TARGET}.",
    ]
    if atlas.size:
        lines.append(
            f"Fallback (template mask by affine), first {atlas.size} heads: mean "
            f"{atlas.mean():.3f}, lowest {atlas.min():.3f}."
        )
    columns = list(rows[0])
    cells = ([row.get(column, "") for column in columns] for row in rows)
    write_page("brain_extraction", [*lines, "", *markdown_table(columns, cells, "l")])


if __name__ == "__main__":
    main()
