"""Registration to MNI152 against known transforms, and against the anatomy of the cases.

    ANATOMALY_DATA=/path/to/data python benchmarks/registration.py

Three measures, all in mm of the template, after `register_to_template`:

1. Known affines. A scan is moved by a random affine M (rotations within 15 degrees, shifts within
   15 mm, scales within 10 %, shears within 0.05; seeded) by resampling it onto a new grid. With R
   the affine found for the scan and R' for the moved scan, the error of a brain voxel at p is
   |R'(M p) - R(p)|; given are mean and 95th percentile over 20,000 brain voxels.
2. Homologous tissue on the cases. In template space: the mean symmetric distance between the
   surface of the scan's brain mask and the template's; and the same for the ventricles (deep CSF:
   at least 20 mm inside the mask; in the scan by intensity, in the template by its prior), outside
   a margin of 10 mm around the reference lesion. An affine leaves individual shape and atrophy in
   this figure.
3. Sequences of one patient, which share one grid: the mean distance between where two of them
   send the same voxel.

Writes benchmarks/results/registration.{json,md}.
"""

from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, data_folder, describe_run, read_volume, write_page
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anatomaly.config import PreprocessConfig
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.geometry import apply_affine
from anatomaly.preprocess.brain_extraction import extract_brain
from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.preprocess.register import register_to_template
from anatomaly.preprocess.resample import resample_to_template
from anatomaly.preprocess.template import load_template
from anatomaly.types import SEQUENCES, Affine, BoolArray, FloatArray
from anatomaly.volume import Scan, Volume

SEED = 7
MOVES = 2
MOVED_SCANS = (
    "ixi_t1_2mm/validation/IXI014_T1w",
    "ixi_t1_2mm/validation/IXI485_T1w",
    "raw_heads/py_synthsr/FLAIR",
    "cases/mslub_patient26/T2w",
    "cases/tcga_du_7294/T1w",
    "cases/brats2013_pat0001/FLAIR",
)
Rows = list[dict[str, Any]]
LESIONS = ("lesion", "tumour_labels", "tumour_automatic")


def draw_affine(rng: np.random.Generator, centre: FloatArray) -> Affine:
    """Draw rotation, scale, shear about a centre, and a shift."""
    angles = rng.uniform(-15, 15, 3) * (1, -1, 1)
    linear = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = rng.uniform(-0.05, 0.05, 3)
    out = np.eye(4)
    out[:3, :3] = linear @ shear @ np.diag(rng.uniform(0.9, 1.1, 3))
    out[:3, 3] = centre - out[:3, :3] @ centre + rng.uniform(-15, 15, 3)
    return out


def move(volume: Volume, mask: Volume, transform: Affine) -> tuple[Volume, Volume]:
    """Resample scan and mask, moved by a transform, onto a grid of the same spacing around them."""
    corners = np.array(list(np.ndindex(2, 2, 2)))
    places = apply_affine(transform @ volume.affine, corners * (np.array(volume.shape) - 1))
    low, high = places.min(axis=0), places.max(axis=0)
    affine = np.diag([*volume.spacing_mm, 1.0])
    affine[:3, 3] = low
    shape = tuple(int(n) for n in np.ceil((high - low) / volume.spacing_mm) + 1)
    back = np.linalg.inv(transform @ volume.affine) @ affine

    def pull(data: FloatArray) -> FloatArray:
        single, outside = data.astype(np.float32), data.min()
        return np.asarray(
            ndimage.affine_transform(single, back, output_shape=shape, order=1, cval=outside)
        )

    return Volume(pull(volume.data), affine), Volume(pull(mask.data) > 0.5, affine)


def measure_known_affines(data: Path) -> Rows:
    """Return one row for each scan and move."""
    rng = np.random.default_rng(SEED)
    rows = []
    for name in MOVED_SCANS:
        volume = read_volume(data / f"{name}.nii.gz")
        mask, _ = extract_brain(volume, PreprocessConfig())
        voxels = rng.permutation(np.argwhere(mask.data))[:20000]
        places = apply_affine(volume.affine, voxels)
        still = register_to_template(volume, mask)
        for number in range(MOVES):
            transform = draw_affine(rng, places.mean(axis=0))
            start = time.perf_counter()
            moved = register_to_template(*move(volume, mask, transform))
            seconds = time.perf_counter() - start
            there = apply_affine(moved.scanner_to_template @ transform, places)
            error = np.linalg.norm(there - apply_affine(still.scanner_to_template, places), axis=1)
            row = {
                "scan": name.split("/", 1)[1],
                "move": number + 1,
                "mean_mm": round(float(error.mean()), 2),
                "p95_mm": round(float(np.percentile(error, 95)), 2),
                "seconds": round(seconds, 1),
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def symmetric_distance_mm(first: BoolArray, second: BoolArray, where: BoolArray) -> float:
    """Return the mean of the mean distances from either surface to the other (1 mm voxels)."""
    one, two = (mask & ~ndimage.binary_erosion(mask) for mask in (first, second))
    to_one, to_two = (ndimage.distance_transform_edt(~surface) for surface in (one, two))
    return float((to_two[one & where].mean() + to_one[two & where].mean()) / 2)


def find_ventricles(prepared: Prepared) -> BoolArray:
    """Return deep CSF by intensity: beyond the midpoint between tissue and CSF medians."""
    template = load_template()
    data, inside = prepared.image.image, prepared.image.brain_mask
    deep = ndimage.distance_transform_edt(inside & template.brain_mask.data) >= 20
    fluid = np.median(data[inside & deep & (template.cerebrospinal_fluid > 0.8)])
    tissue = np.median(data[inside & deep & (template.white_matter.data > 0.9)])
    middle = (fluid + tissue) / 2
    return np.asarray(deep & ((data > middle) if fluid > tissue else (data < middle)))


def measure_case(folder: Path, sequence: str) -> tuple[dict[str, Any], Affine, Volume]:
    """Return distances for one case and sequence, its affine and its volume."""
    volume = read_volume(folder / f"{sequence}.nii.gz")
    prepared = prepare(Scan(volume, folder.name), PreprocessConfig(force=True))
    template = load_template()
    affine = prepared.trace.registration.scanner_to_template
    lesion = np.zeros(template.brain.shape, dtype=bool)
    for name in LESIONS:
        if (path := folder / f"{name}.nii.gz").exists():
            label = read_volume(path)
            mask = label.with_data((label.data > 0).astype(np.uint8))
            lesion |= resample_to_template(mask, affine, 0).data > 0
    healthy = ndimage.distance_transform_edt(~lesion) > 10 if lesion.any() else ~lesion
    deep = ndimage.distance_transform_edt(template.brain_mask.data) >= 20
    expected = deep & (template.cerebrospinal_fluid > 0.5)
    masks = prepared.image.brain_mask, template.brain_mask.data
    fit = prepared.trace.registration.fit
    row = {
        "case": folder.name,
        "sequence": sequence,
        "brain_surface_mm": round(symmetric_distance_mm(*masks, healthy), 2),
        "ventricles_mm": round(
            symmetric_distance_mm(find_ventricles(prepared), expected, healthy), 2
        ),
        "dice": round(fit.dice, 3),
        "margin": round(fit.margin, 2),
    }
    print(row, flush=True)
    return row, affine, volume


def measure_cases(data: Path) -> tuple[Rows, Rows]:
    """Return the rows of homologous tissue, and of agreement between sequences."""
    rows, pairs = list[dict[str, Any]](), list[dict[str, Any]]()
    rng = np.random.default_rng(SEED)
    for folder in sorted((data / "cases").iterdir()):
        affines: dict[str, Affine] = {}
        for sequence in SEQUENCES:
            if (folder / f"{sequence}.nii.gz").exists():
                row, affines[sequence], volume = measure_case(folder, sequence)
                rows.append(row)
        inside = np.argwhere(volume.data != volume.data.flat[0])
        places = apply_affine(volume.affine, rng.permutation(inside)[:20000])
        for first, second in combinations(affines, 2):
            there = apply_affine(affines[first], places) - apply_affine(affines[second], places)
            apart = float(np.linalg.norm(there, axis=1).mean())
            pairs.append({"case": folder.name, "pair": f"{first}, {second}", "mm": round(apart, 2)})
    return rows, pairs


def mean_of(rows: Rows, column: str) -> float:
    """Return the mean of a column, in mm."""
    return round(float(np.mean([row[column] for row in rows])), 2)


def as_table(rows: Rows) -> list[str]:
    """Return rows as lines of a Markdown table."""
    return markdown_table(list(rows[0]), (row.values() for row in rows), "l")


def main() -> None:
    """Measure, and write the two result files."""
    data = data_folder()
    known = measure_known_affines(data)
    tissue, pairs = measure_cases(data)
    summary = {
        "known_affines_mean_mm": mean_of(known, "mean_mm"),
        "known_affines_worst_mm": max(row["mean_mm"] for row in known),
        "brain_surface_mean_mm": mean_of(tissue, "brain_surface_mm"),
        "ventricles_mean_mm": mean_of(tissue, "ventricles_mm"),
        "sequences_mean_mm": mean_of(pairs, "mm"),
    }
    everything = {"summary": summary, "known": known, "tissue": tissue, "sequences": pairs}
    (RESULTS / "registration.json").write_text(json.dumps(everything, indent=1) + "\n")
    lines = ["# Registration to MNI152 (12 degrees of freedom)", ""]
    lines += [describe_run("python benchmarks/registration.py", SEED), ""]
    lines += ["What each figure means is written at the top of the script.", ""]
    lines += as_table([summary])
    lines += ["", "## Known affines", "", *as_table(known)]
    lines += ["", "## Homologous tissue on the cases", "", *as_table(tissue)]
    lines += ["", "## Sequences of one patient", "", *as_table(pairs)]
    write_page("registration", lines)
    print(summary)


if __name__ == "__main__":
    main()
