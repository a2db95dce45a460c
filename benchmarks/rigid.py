"""Two ways to bring the sequences of a session together, against known rigid transforms.

    ANATOMALY_DATA=/path/to/data python benchmarks/rigid.py

T1w, T2w and FLAIR of each case share one grid. T2w and FLAIR are moved by a random rotation (each
axis within 8 degrees) and shift (within 8 mm; seeded), once on their own grid and once resampled to
slices of 5 mm, and brought back onto the T1w scan:

- composed: each scan is registered to the template (12 degrees of freedom), the affines are joined;
- composed, rigid: the rigid transform nearest to that, where `register_rigid` starts from;
- direct: niimath's 12 degrees of freedom from scan to scan, as it is;
- direct, rigid: the rigid transform nearest to that, `register_rigid`: what the package does.

The error is the distance in mm between where a brain voxel comes to lie and where it belongs:
mean and largest over 5,000 brain voxels. Writes benchmarks/results/rigid.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from environment import data_folder, describe_run, read_volume, write_page
from scipy.spatial.transform import Rotation

from anatomaly.evaluation.result_page import markdown_table
from anatomaly.geometry import apply_affine
from anatomaly.preprocess.register import cut_out_brain, register_to_template, run_allineate
from anatomaly.preprocess.register_rigid import nearest_rigid, register_rigid
from anatomaly.preprocess.resample import empty_grid, resample
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

SEED = 11
CASES = ("mslub_patient19", "mslub_patient26", "tcga_du_7294", "tcga_fg_6692")
SLICE_MM = 5.0
WAYS = ("composed", "composed, rigid", "direct", "direct, rigid")


def load(path: Path) -> tuple[Volume, Volume]:
    """Read a stripped scan and its brain mask."""
    volume = read_volume(path)
    return volume, volume.with_data(volume.data > 0)


def draw_rigid(rng: np.random.Generator, centre: FloatArray) -> Affine:
    """Draw a rotation about a centre and a shift."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(rng.uniform(-8, 8, 3), degrees=True).as_matrix()
    out[:3, 3] = centre - out[:3, :3] @ centre + rng.uniform(-8, 8, 3)
    return out


def in_thick_slices(volume: Volume, mask: Volume) -> tuple[Volume, Volume]:
    """Resample a moved scan and its mask to axial slices along the axes of the scanner."""
    places = apply_affine(volume.affine, np.argwhere(mask.data).astype(float))
    low, high = places.min(axis=0) - 10, places.max(axis=0) + 10
    spacing = np.array([0.9, 0.9, SLICE_MM])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    i, j, k = (int(n) for n in np.ceil((high - low) / spacing) + 1)
    grid = empty_grid((i, j, k), affine)
    inside = resample(mask.with_data(mask.data.astype(np.float32)), grid)
    return resample(volume, grid), inside.with_data(inside.data > 0.5)


def measure(data: Path) -> list[dict[str, str]]:
    """Return one row for each case, sequence and slice thickness."""
    rng = np.random.default_rng(SEED)
    rows = []
    for case in CASES:
        fixed, fixed_mask = load(data / "cases" / case / "T1w.nii.gz")
        voxels = rng.permutation(np.argwhere(fixed_mask.data))[:5000]
        places = apply_affine(fixed.affine, voxels.astype(float))
        fixed_to_template = register_to_template(fixed, fixed_mask).scanner_to_template
        for sequence in ("T2w", "FLAIR"):
            still, still_mask = load(data / "cases" / case / f"{sequence}.nii.gz")
            moved_by = draw_rigid(rng, places.mean(axis=0))
            moving = Volume(still.data, moved_by @ still.affine)
            mask = Volume(still_mask.data, moving.affine)
            for slices, (scan, inside) in {
                "own": (moving, mask),
                f"{SLICE_MM:.0f} mm": in_thick_slices(moving, mask),
            }.items():
                errors, seconds = compare(
                    (scan, inside), (fixed, fixed_mask), fixed_to_template, moved_by, places
                )
                row = {"case": case, "sequence": sequence, "slices": slices}
                row |= {way: f"{e.mean():.2f} ({e.max():.2f})" for way, e in errors.items()}
                rows.append(row | {"seconds": f"{seconds:.1f}"})
                print(rows[-1], flush=True)
    return rows


def compare(
    moving: tuple[Volume, Volume],
    fixed: tuple[Volume, Volume],
    fixed_to_template: Affine,
    moved_by: Affine,
    places: FloatArray,
) -> tuple[dict[str, FloatArray], float]:
    """Return the errors of each way in mm, and the seconds of the last."""
    own = register_to_template(*moving).scanner_to_template
    composed = np.linalg.inv(fixed_to_template) @ own
    moved = apply_affine(moved_by, places)
    start = nearest_rigid(composed, moved)
    (small, _), (target, _) = cut_out_brain(*moving), cut_out_brain(*fixed)
    direct = run_allineate(small, target, start)
    clock = time.perf_counter()
    rigid = register_rigid(*moving, *fixed, start).moving_to_fixed
    seconds = time.perf_counter() - clock
    affines = dict(zip(WAYS, (composed, start, direct, rigid), strict=True))
    errors = {
        way: np.linalg.norm(apply_affine(affine, moved) - places, axis=1)
        for way, affine in affines.items()
    }
    return errors, seconds


def main() -> None:
    """Measure and write the table."""
    rows = measure(data_folder())
    means = {way: np.mean([float(row[way].split()[0]) for row in rows]) for way in WAYS}
    summary = ", ".join(f"{way} {mean:.2f}" for way, mean in means.items())
    lines = [
        "# Sequences of one session, brought together",
        "",
        describe_run("python benchmarks/rigid.py", SEED),
        "",
        f"Error in mm, mean and (largest) over the brain; the means over all rows: {summary}.",
        "",
        *markdown_table(list(rows[0]), (row.values() for row in rows), "l"),
    ]
    write_page("rigid", lines)


if __name__ == "__main__":
    main()
