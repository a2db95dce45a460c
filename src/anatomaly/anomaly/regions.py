"""Where a lesion lies: shares of anatomical regions, and the places that the criteria of MS name.

The atlas in `region_atlas/` was counted from the parcellations of 110 healthy people
(benchmarks/region_atlas.py): the three likeliest regions of each 2 mm voxel of the template, with
their shares of people. Lesions come to it through the affine registration of the scan, so it names
lobes and nuclei, not gyri. What touches what is read from the patient's own tissue map.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.geometry import apply_affine
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume

ATLAS_FOLDER = Path(str(files("anatomaly") / "anomaly" / "region_atlas"))
LABELS_FILE, SHARES_FILE, TABLE_FILE = "labels.nii.gz", "shares.nii.gz", "regions.tsv"

LEAST_SHARE = 0.05
"""Regions with less of a lesion are not named."""

REACH_MM = 2.0
"""The rim of a lesion: what lies so close to it, and the next voxel."""

LEAST_RIM = {"lateral ventricle": 0.02, "lobe": 0.05}
"""Share of the rim that must be ventricle (cortex) for a lesion to touch it: scattered voxels of
grey matter are read everywhere."""

LEAST_VENTRICLE, LEAST_CORTEX = 0.2, 0.5
"""Shares of people with a lateral ventricle (a lobe) there, above which the patient's CSF (grey
matter) is taken for it."""

_CSF, _GREY = 1, 2


@dataclass(frozen=True)
class Region:
    """One region of the atlas: its number, its name (`left frontal lobe`) and what it is."""

    index: int
    name: str
    kind: str


@dataclass(frozen=True)
class RegionAtlas:
    """Shares of people with a region, for the likeliest regions of each voxel.

    Attributes:
        affine: (4, 4), voxel to RAS+ mm of the template.
        labels: (I, J, K, 3) `Region.index`, likeliest first; 0 is none.
        shares: (I, J, K, 3) per cent of people.
        regions: in the order of their index, from 1.
    """

    affine: Affine
    labels: NDArray[np.uint8]
    shares: NDArray[np.uint8]
    regions: tuple[Region, ...]

    def shares_at(self, points_mm: FloatArray) -> NDArray[np.float32]:
        """Return (N, regions + 1) shares in [0, 1] at points (N, 3) of the template, RAS+ mm.

        Column 0 is no region; outside the atlas it is 1.
        """
        to_voxel = np.linalg.inv(self.affine).astype(np.float64)
        voxel = np.rint(apply_affine(to_voxel, points_mm)).astype(int)
        inside = ((voxel >= 0) & (voxel < self.labels.shape[:3])).all(axis=1)
        where = tuple(voxel[inside].T)
        table = np.zeros((len(points_mm), len(self.regions) + 1), np.float32)
        rows = np.flatnonzero(inside)[:, None]
        np.add.at(table, (rows, self.labels[where]), self.shares[where] / np.float32(100))
        table[:, 0] = 1 - table[:, 1:].sum(axis=1)
        return table

    def of_kind(self, kind: str) -> list[int]:
        """Return the indices of the regions of a kind."""
        return [region.index for region in self.regions if region.kind == kind]


class Place(NamedTuple):
    """Where one lesion lies.

    Attributes:
        shares: name and share in [0, 1] of the regions that hold `LEAST_SHARE` of it or more,
            largest first; empty outside the brain of the template.
        periventricular: it touches a lateral ventricle; None where no tissue map was given.
        juxtacortical: it touches the cortex; None without a tissue map.
        infratentorial: half of it or more lies in brainstem, cerebellum or fourth ventricle.
    """

    shares: tuple[tuple[str, float], ...] = ()
    periventricular: bool | None = None
    juxtacortical: bool | None = None
    infratentorial: bool = False

    @property
    def region(self) -> str:
        """The region that holds most of it; empty where there is none."""
        return self.shares[0][0] if self.shares else ""


@cache
def load_regions() -> RegionAtlas:
    """Read the atlas that ships with the package."""
    labels: Any = nib.load(ATLAS_FOLDER / LABELS_FILE)
    shares: Any = nib.load(ATLAS_FOLDER / SHARES_FILE)
    table = (ATLAS_FOLDER / TABLE_FILE).read_text(encoding="utf-8").splitlines()
    regions = (
        Region(int(row["index"]), row["name"], row["kind"])
        for row in csv.DictReader(table, delimiter="\t")
    )
    return RegionAtlas(
        np.asarray(labels.affine, np.float64),
        np.asarray(labels.dataobj),
        np.asarray(shares.dataobj),
        tuple(regions),
    )


def place_lesions(
    numbered: NDArray[np.int32],
    affine: Affine,
    scanner_to_template: Affine,
    tissue_map: Volume | None = None,
) -> tuple[Place, ...]:
    """Tell where each lesion lies.

    Args:
        numbered: (I, J, K) 0, or the number of a lesion from 1 (`components.number_lesions`).
        affine: (4, 4), voxel to RAS+ mm of the scan.
        scanner_to_template: (4, 4), mm of the scan to mm of the template, both RAS+.
        tissue_map: (I, J, K) 0 background, 1 CSF, 2 grey, 3 white matter, same grid.

    Returns:
        One place a number, in their order.
    """
    to_template = scanner_to_template @ affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    margin = np.maximum(np.ceil(REACH_MM / spacing), 1).astype(int)
    places = []
    for number, box in enumerate(ndimage.find_objects(numbered), 1):
        wide = _widen(box, margin, numbered.shape)
        own = numbered[wide] == number
        tissue = None if tissue_map is None else tissue_map.data[wide]
        start = np.array([side.start for side in wide])
        places.append(_place(own, start, to_template, spacing, tissue))
    return tuple(places)


def _widen(
    box: tuple[slice, ...], margin: NDArray[np.int_], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Return the box with a margin, inside the grid."""
    return tuple(
        slice(max(side.start - m, 0), min(side.stop + m, n))
        for side, m, n in zip(box, margin, shape, strict=True)
    )


def _place(
    own: BoolArray,
    start: NDArray[np.int_],
    to_template: Affine,
    spacing: NDArray[np.float64],
    tissue: NDArray[Any] | None,
) -> Place:
    """Place one lesion, a mask in a box that begins at voxel `start`."""
    atlas = load_regions()
    mean = atlas.shares_at(
        apply_affine(to_template, (np.argwhere(own) + start).astype(float))
    ).mean(axis=0)
    ranked = sorted(((mean[r.index], r.name) for r in atlas.regions), key=lambda pair: -pair[0])
    shares = tuple((name, float(share)) for share, name in ranked if share >= LEAST_SHARE)
    below = bool(mean[atlas.of_kind("infratentorial")].sum() >= 0.5)
    if tissue is None:
        return Place(shares, infratentorial=below)
    rim = ndimage.distance_transform_edt(~own, sampling=spacing) <= REACH_MM
    rim = (rim | ndimage.binary_dilation(own)) & ~own
    of_what = tissue[rim]
    there = atlas.shares_at(apply_affine(to_template, (np.argwhere(rim) + start).astype(float)))
    ventricle = there[:, atlas.of_kind("lateral ventricle")].sum(axis=1) >= LEAST_VENTRICLE
    lobe = there[:, atlas.of_kind("lobe")].sum(axis=1) >= LEAST_CORTEX
    return Place(
        shares,
        periventricular=_share(ventricle & (of_what == _CSF)) >= LEAST_RIM["lateral ventricle"],
        juxtacortical=_share(lobe & (of_what == _GREY)) >= LEAST_RIM["lobe"],
        infratentorial=below,
    )


def _share(mask: BoolArray) -> float:
    """Return the share of True, 0 of nothing."""
    return float(mask.mean()) if mask.size else 0.0
