"""Make the atlas of regions that ships, and measure how well it names those of other people.

    ANATOMALY_DATA=/path/to/data python benchmarks/region_atlas.py [--run runs/first]

From the parcellations (MUSE numbers) of 110 healthy people: folded into regions, each person's CSF
given to the region beside it, brought to the template by the affine registration that `detect`
uses, counted. Kept are the three likeliest regions of every 2 mm voxel and their shares of people.
The measure: 20 further people, the region that the atlas names against their own parcellation, by
voxel. `--run` names a folder whose `cache/` holds registered people; who is missing is prepared.
Writes the package's `region_atlas/` and results/region_atlas.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from environment import ROOT, data_folder, describe_run, write_page
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.anomaly.regions import (
    ATLAS_FOLDER,
    LABELS_FILE,
    SHARES_FILE,
    TABLE_FILE,
    Region,
    RegionAtlas,
    load_regions,
)
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.training.cohort import RECORD_FILE, prepare_scans
from anatomaly.types import Affine

STEP_MM = 2.0
LAYERS = 3
"""Regions kept at a voxel."""
LEAST_SHARE = 5
"""Per cent of people; rarer regions of a voxel are dropped."""
REACH_VOXELS = 2
"""CSF and gaps this close to a region belong to it."""

SIDED: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "frontal lobe": ("lobe", (82,), (81,)),
    "parietal lobe": ("lobe", (86,), (85,)),
    "temporal lobe": ("lobe", (88,), (87,)),
    "occipital lobe": ("lobe", (84,), (83,)),
    "insula": ("lobe", (), ()),
    "cingulate gyrus": ("lobe", (), ()),
    "hippocampus": ("deep grey matter", (48,), (47,)),
    "amygdala": ("deep grey matter", (32,), (31,)),
    "thalamus": ("deep grey matter", (60,), (59,)),
    "caudate nucleus": ("deep grey matter", (37, 30), (36, 23)),
    "putamen": ("deep grey matter", (58,), (57,)),
    "pallidum": ("deep grey matter", (56,), (55,)),
    "basal forebrain and ventral diencephalon": ("deep grey matter", (62, 75), (61, 76)),
    "internal capsule": ("deep white matter", (92, 94), (91, 93)),
    "lateral ventricle": ("lateral ventricle", (50, 52), (49, 51)),
    "cerebellar hemisphere": ("infratentorial", (39, 41), (38, 40)),
}
"""Kind and MUSE numbers (left, right) of what lies on both sides."""

MIDDLE: dict[str, tuple[str, tuple[int, ...]]] = {
    "corpus callosum and fornix": ("deep white matter", (89, 90, 95)),
    "third ventricle": ("ventricle", (4,)),
    "cerebellar vermis": ("infratentorial", (71, 72, 73)),
    "brainstem": ("infratentorial", (35,)),
    "fourth ventricle": ("infratentorial", (11,)),
}

CORTEX: dict[str, tuple[int, ...]] = {
    "frontal lobe": (
        104, 112, 118, 120, 124, 136, 140, 142, 146, 150, 152, 162, 164, 178, 182, 186, 190, 192,
        204,
    ),
    "parietal lobe": (106, 148, 168, 174, 176, 194, 198),
    "temporal lobe": (116, 122, 132, 154, 170, 180, 184, 200, 202, 206),
    "occipital lobe": (108, 114, 128, 134, 144, 156, 160, 196),
    "insula": (102, 172),
    "cingulate gyrus": (100, 138, 166),
}  # fmt: skip
"""MUSE numbers of the right cortex (even); the left ones follow each."""


def list_regions() -> dict[Region, tuple[int, ...]]:
    """Return every region with its MUSE numbers, numbered from 1."""
    named: list[tuple[str, str, tuple[int, ...]]] = []
    for name, (kind, left, right) in SIDED.items():
        cortex = CORTEX.get(name, ())
        named.append((f"left {name}", kind, left + tuple(n + 1 for n in cortex)))
        named.append((f"right {name}", kind, right + cortex))
    named += [(name, kind, numbers) for name, (kind, numbers) in MIDDLE.items()]
    return {Region(n, name, kind): numbers for n, (name, kind, numbers) in enumerate(named, 1)}


def read_people(part: str, cache: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield names and regions (80, 96, 80) of people on the grid of the atlas."""
    heads = sorted((data_folder() / "ixi_t1_2mm" / part).glob("*_T1w.nii.gz"))
    pairs = [(head, head.with_name(head.name.replace("_T1w", "_dlmuse"))) for head in heads]
    for _ in prepare_scans(pairs, cache):
        pass
    table = np.zeros(1024, np.uint8)
    for region, numbers in list_regions().items():
        table[list(numbers)] = region.index
    for _, parcellation in pairs:
        name = parcellation.name.split("_")[0]
        record = cache / name / RECORD_FILE
        if record.is_file():  # else its registration failed
            to_template = np.array(json.loads(record.read_text(encoding="utf-8"))["affine"])
            yield name, to_atlas_grid(parcellation, table, to_template)


def to_atlas_grid(
    parcellation: Path, table: NDArray[np.uint8], to_template: Affine
) -> NDArray[np.uint8]:
    """Fold a parcellation into regions, nearest voxel of the atlas grid, gaps filled."""
    image: Any = nib.load(parcellation)
    regions = table[np.asarray(image.dataobj).astype(np.int64)]
    shape, affine = atlas_grid()
    to_voxel = np.linalg.inv(to_template @ image.affine) @ affine
    where = np.rint(
        apply_affine(to_voxel, np.indices(shape).reshape(3, -1).T.astype(float))
    ).astype(int)
    inside = ((where >= 0) & (where < regions.shape)).all(axis=1)
    out = np.zeros(len(where), np.uint8)
    out[inside] = regions[tuple(where[inside].T)]
    return fill_gaps(out.reshape(shape))


def fill_gaps(regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give voxels without a region that of the nearest one, up to `REACH_VOXELS`."""
    distance, nearest = ndimage.distance_transform_edt(regions == 0, return_indices=True)
    filled: NDArray[np.uint8] = regions[tuple(nearest)]
    filled[distance > REACH_VOXELS] = 0
    return filled


def atlas_grid() -> tuple[tuple[int, ...], Affine]:
    """Return shape and affine: 2 mm voxels, each of eight of the template."""
    affine = TEMPLATE_AFFINE @ np.diag([STEP_MM, STEP_MM, STEP_MM, 1])
    affine[:3, 3] = apply_affine(TEMPLATE_AFFINE, np.full(3, 0.5))
    return tuple(int(n / STEP_MM) for n in TEMPLATE_SHAPE), affine


def count_regions(people: Iterator[tuple[str, NDArray[np.uint8]]]) -> tuple[RegionAtlas, int]:
    """Return the atlas and how many people it was counted from."""
    regions = tuple(list_regions())
    shape, affine = atlas_grid()
    counts = np.zeros((len(regions) + 1, *shape), np.uint8)
    number = 0
    for name, own in people:
        np.put_along_axis(
            counts, own[None], np.take_along_axis(counts, own[None], axis=0) + 1, axis=0
        )
        number += 1
        print(name, flush=True)
    counts[0] = 0
    first = np.argsort(counts, axis=0)[-LAYERS:][::-1]
    share = np.rint(np.take_along_axis(counts, first, axis=0) * (100 / number)).astype(np.uint8)
    share[share < LEAST_SHARE] = 0
    labels = first.astype(np.uint8) * (share > 0)
    labels, share = labels.transpose(1, 2, 3, 0), share.transpose(1, 2, 3, 0)
    return RegionAtlas(affine, labels, share, regions), number


def write_atlas(atlas: RegionAtlas) -> None:
    """Write the files of the package."""
    ATLAS_FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in ((LABELS_FILE, atlas.labels), (SHARES_FILE, atlas.shares)):
        image = nib.Nifti1Image(data, atlas.affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(atlas.affine, 4)
        image.set_qform(atlas.affine, 4)
        nib.save(image, ATLAS_FOLDER / name)
    lines = ["index\tname\tkind", *(f"{r.index}\t{r.name}\t{r.kind}" for r in atlas.regions)]
    (ATLAS_FOLDER / TABLE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(atlas: RegionAtlas, cache: Path) -> tuple[list[str], int]:
    """Return rows of the table: for each region Dice and the share of voxels named right."""
    first = atlas.labels[..., 0]
    hits, own_voxels, named_voxels = (np.zeros(len(atlas.regions) + 1) for _ in range(3))
    shares = np.zeros(len(atlas.regions) + 1)
    number = 0
    for _, own in read_people("validation", cache):
        number += 1
        for region in atlas.regions:
            mine, named = own == region.index, first == region.index
            hits[region.index] += (mine & named).sum()
            own_voxels[region.index] += mine.sum()
            named_voxels[region.index] += named.sum()
            where = atlas.labels == region.index
            shares[region.index] += atlas.shares[where & mine[..., None]].sum() / 100
    rows = []
    for region in atlas.regions:
        n = region.index
        dice = 2 * hits[n] / (own_voxels[n] + named_voxels[n])
        rows.append(
            f"| {region.name} | {region.kind} | {own_voxels[n] * STEP_MM**3 / 1000 / number:.1f} | "
            f"{dice:.2f} | {hits[n] / own_voxels[n]:.2f} | {shares[n] / own_voxels[n]:.2f} |"
        )
    right, whole = hits[1:].sum(), own_voxels[1:].sum()
    rows.append(
        f"| **all** | | {whole * STEP_MM**3 / 1000 / number:.1f} | | {right / whole:.2f} | "
        f"{shares[1:].sum() / whole:.2f} |"
    )
    return rows, number


def main() -> None:
    """Make, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    arguments = parser.parse_args()
    cache = arguments.run / "cache"
    atlas, number = count_regions(read_people("train", cache))
    write_atlas(atlas)
    rows, others = measure(atlas, cache)
    size = sum(path.stat().st_size for path in ATLAS_FOLDER.iterdir()) / 1000
    assert load_regions().regions == atlas.regions
    lines = [
        "# Regions: how well the atlas names those of other people",
        "",
        f"{len(atlas.regions)} regions, {size:.0f} kB, counted from {number} people and tried on",
        f"{others} others, by voxels of {STEP_MM:g} mm: where their parcellation has the region,",
        "what the atlas says there after the affine registration. CSF belongs to the region beside",
        "it, so volumes are larger than anatomical ones. *Named right*: share of a region's voxels",
        "where it is the likeliest one; *share*: mean share that the atlas gives it there.",
        "",
        "| region | kind | mL | Dice | named right | share |",
        "|---|---|---:|---:|---:|---:|",
        *rows,
        "",
        describe_run("python benchmarks/region_atlas.py", None),
    ]
    write_page("region_atlas", lines)


if __name__ == "__main__":
    main()
