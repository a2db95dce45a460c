"""From a mask of abnormal voxels to a table of lesions: how large, where, how bright."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anatomaly.anomaly.atlas import Atlas
from anatomaly.anomaly.regions import Place, place_lesions
from anatomaly.components import number_lesions
from anatomaly.errors import GeometryError
from anatomaly.geometry import apply_affine, check_affine
from anatomaly.types import Affine, Sign
from anatomaly.volume import Volume

Point = tuple[float, float, float]

LESION_COLUMNS = (
    "number",
    "volume_mm3",
    "x_scanner_mm",
    "y_scanner_mm",
    "z_scanner_mm",
    "x_mni_mm",
    "y_mni_mm",
    "z_mni_mm",
    "region",
    "region_shares",
    "periventricular",
    "juxtacortical",
    "infratentorial",
    "mean_score",
    "peak_score",
    "polarity",
)
"""Columns of `lesions.tsv`, in order."""


@dataclass(frozen=True)
class Lesion:
    """One connected component of the anomaly mask.

    Attributes:
        number: 1 for the largest, then downwards.
        volume_mm3: voxels times the volume of a voxel.
        centre_scanner_mm: centre of mass of the component (every voxel weighs the same), RAS+ mm
            of the scan; may lie outside a bent component.
        centre_mni_mm: the same point in RAS+ mm of the template.
        region: that holds most of it; with an atlas of the user its region at `centre_mni_mm`.
            Empty where there is none.
        place: shares of regions, and the places that the criteria of MS name.
        mean_score: mean of the anomaly map over the component, in [0, 1].
        peak_score: its maximum, in [0, 1].
        polarity: whether the scan is darker or brighter there than expected, on average.
    """

    number: int
    volume_mm3: float
    centre_scanner_mm: Point
    centre_mni_mm: Point
    region: str
    place: Place
    mean_score: float
    peak_score: float
    polarity: Sign


def tabulate_lesions(
    anomaly_map: Volume,
    anomaly_mask: Volume,
    residual: Volume,
    scanner_to_template: Affine,
    atlas: Atlas | None = None,
    tissue_map: Volume | None = None,
) -> tuple[Lesion, ...]:
    """Measure every 26-connected component of the mask.

    Args:
        anomaly_map: (I, J, K) score in [0, 1], on the scan's grid.
        anomaly_mask: (I, J, K), above zero where abnormal; same grid.
        residual: (I, J, K) scan minus pseudo-healthy image, any unit; same grid.
        scanner_to_template: (4, 4), mm of the scan to mm of the template, both RAS+.
        atlas: of the user, names regions in template space; None takes those that ship.
        tissue_map: (I, J, K) 0 background, 1 CSF, 2 grey, 3 white matter, same grid; without it
            nobody knows what touches ventricle or cortex.

    Returns:
        Largest first; equal volumes in order of their first voxel. Empty for an empty mask.

    Raises:
        GeometryError: the volumes do not share one grid.
    """
    _check_grids(anomaly_map, anomaly_mask=anomaly_mask, residual=residual, tissue_map=tissue_map)
    to_template = check_affine(scanner_to_template, "scanner_to_template")
    numbered = number_lesions(anomaly_mask.data)
    where = np.nonzero(numbered)
    if where[0].size == 0:
        return ()
    component = numbered[where] - 1
    count = int(component.max()) + 1
    voxels = np.bincount(component, minlength=count)
    scores = anomaly_map.data[where].astype(np.float64)
    mean_score = np.bincount(component, scores, count) / voxels
    mean_residual = np.bincount(component, residual.data[where], count) / voxels
    peak_score = np.full(count, -np.inf)
    np.maximum.at(peak_score, component, scores)
    centre_voxel = np.stack([np.bincount(component, axis, count) / voxels for axis in where], -1)
    centre_scanner = apply_affine(anomaly_map.affine, centre_voxel)
    centre_mni = apply_affine(to_template, centre_scanner)
    places = place_lesions(numbered, anomaly_map.affine, to_template, tissue_map)
    return tuple(
        Lesion(
            number=index + 1,
            volume_mm3=float(voxels[index]) * anomaly_map.voxel_volume_mm3,
            centre_scanner_mm=_point(centre_scanner[index]),
            centre_mni_mm=_point(centre_mni[index]),
            region=atlas.region_at(_point(centre_mni[index])) if atlas else places[index].region,
            place=places[index],
            mean_score=float(mean_score[index]),
            peak_score=float(peak_score[index]),
            polarity="darker" if mean_residual[index] < 0 else "brighter",
        )
        for index in range(count)
    )


def _check_grids(anomaly_map: Volume, **others: Volume | None) -> None:
    """Raise a `GeometryError` where another volume does not lie on the grid of the map."""
    for name, volume in others.items():
        if volume is None:
            continue
        same = volume.shape == anomaly_map.shape
        if not same or not np.allclose(volume.affine, anomaly_map.affine, atol=1e-3):
            raise GeometryError(
                f"{name} (shape {volume.shape}) must lie on the grid of the anomaly map "
                f"(shape {anomaly_map.shape}); resample it first"
            )


def lesion_rows(lesions: tuple[Lesion, ...]) -> list[dict[str, str]]:
    """Return the lesions as `lesions.tsv` writes them: column to text, one a lesion."""
    cells = (
        (
            str(lesion.number),
            f"{lesion.volume_mm3:.1f}",
            *(f"{x:.2f}" for x in (*lesion.centre_scanner_mm, *lesion.centre_mni_mm)),
            " ".join(lesion.region.split()),
            *_place_cells(lesion.place),
            f"{lesion.mean_score:.4f}",
            f"{lesion.peak_score:.4f}",
            lesion.polarity,
        )
        for lesion in lesions
    )
    return [dict(zip(LESION_COLUMNS, row, strict=True)) for row in cells]


def _place_cells(place: Place) -> tuple[str, ...]:
    """Return the cells of a place; empty ones where nobody knows.

    >>> _place_cells(Place((("left insula", 0.625), ("left putamen", 0.375)), True, None))
    ('left insula 0.62; left putamen 0.38', 'yes', '', 'no')
    """
    shares = "; ".join(f"{name} {share:.2f}" for name, share in place.shares)
    known = (place.periventricular, place.juxtacortical, place.infratentorial)
    return shares, *({True: "yes", False: "no", None: ""}[value] for value in known)


def write_lesions_tsv(path: Path, lesions: tuple[Lesion, ...]) -> None:
    """Write `LESION_COLUMNS`, tab-separated, one line a lesion; only the header without lesions."""
    lines = ["\t".join(LESION_COLUMNS)]
    lines += ["\t".join(row.values()) for row in lesion_rows(lesions)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _point(row: NDArray[np.float64]) -> Point:
    """Return a row of three coordinates as plain floats."""
    x, y, z = row.tolist()
    return x, y, z
