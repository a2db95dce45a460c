"""Which part of the head a scan covers: flat faces of the brain mask, and where they lie.

A scan that begins at the middle of the frontal lobe has a brain that ends in a plane. The plane may
be a face of the scan's array, or, where the scan was moved onto another grid, any plane inside it.
What lies beyond is unknown, not absent: fits and judgements look at the covered part alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anatomaly.geometry import apply_affine
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume

LEAST_FACE_MM2 = 4000.0
"""Area from which a flat face of a brain mask is a cut; whole brains: docs/decisions/0002."""

FACE_DEPTH_MM = 3.0
_CANDIDATE_SHARE = 0.4
"""A face seen at a slant of a few degrees shows this share of its area, or more."""
_MOST_CUTS = 3
_DIRECTIONS = 800
_LEAST_ANGLE_COSINE = 0.75
"""Two faces of one brain are at least 40° apart."""
_MOST_POINTS = 60_000

SIDES = (("left", "right"), ("back", "front"), ("bottom", "top"))
"""Names of the ends of the template's axes, negative and positive."""


@dataclass(frozen=True)
class Coverage:
    """The part of space that a scan covers, as half-spaces: covered is n · x ≤ offset for all.

    Attributes:
        normals: (N, 3) unit vectors in scanner space, pointing out of the covered part.
        offsets_mm: (N,).
        is_cut: (N,) bool, True where the brain ends in a flat face there.

    Scans whose array is far larger than the brain have no faces at all.
    """

    normals: FloatArray
    offsets_mm: FloatArray
    is_cut: BoolArray

    @property
    def is_partial(self) -> bool:
        """True where the brain is cut by a plane."""
        return bool(self.is_cut.any())

    def contains(self, places: FloatArray, slack_mm: float = 0.0) -> BoolArray:
        """Tell which places (..., 3) in scanner mm are covered.

        Args:
            places: scanner mm.
            slack_mm: how far beyond a face still counts.
        """
        beyond = places @ self.normals.T - self.offsets_mm
        return np.asarray((beyond <= slack_mm).all(axis=-1))

    def on_template(self, grid: Volume, scanner_to_template: Affine) -> BoolArray:
        """Return which voxels of a grid in template space are covered, bool (I, J, K)."""
        to_scanner = np.linalg.inv(scanner_to_template) @ grid.affine
        indices = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
        return self.contains(apply_affine(to_scanner, indices)).reshape(grid.shape)

    def missing_sides(self, template_mask: Volume, scanner_to_template: Affine) -> dict[str, float]:
        """Return the side of the head and the share of the brain that lies beyond each face.

        Args:
            template_mask: bool, template space.
            scanner_to_template: (4, 4), mm to mm.

        Returns:
            For example {"front": 0.21}; sides with less than half a per cent are left out.
        """
        voxels = np.argwhere(template_mask.data).astype(np.float64)
        to_scanner = np.linalg.inv(scanner_to_template) @ template_mask.affine
        places = apply_affine(to_scanner, voxels)
        missing: dict[str, float] = {}
        for normal, offset in zip(self.normals, self.offsets_mm, strict=True):
            share = float((places @ normal > offset).mean())
            if share >= 0.005:
                direction = scanner_to_template[:3, :3] @ normal
                axis = int(np.abs(direction).argmax())
                side = SIDES[axis][int(direction[axis] > 0)]
                missing[side] = max(missing.get(side, 0.0), share)
        return missing


def full_coverage() -> Coverage:
    """Return the coverage of a scan without an end."""
    return Coverage(np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=bool))


def find_coverage(grid: Volume, brain_mask: Volume) -> Coverage:
    """Return what a scan covers: faces of its array that the brain reaches, flat faces of the mask.

    A face of the array that the brain does not reach cuts nothing: beyond it lies air.

    Args:
        grid: the scan; only its grid is used.
        brain_mask: bool, scanner space, any grid.
    """
    normals, offsets = _array_faces(grid)
    faces = _flat_faces(brain_mask, normals)
    reach = (brain_mask.places_mm @ normals.T).max(axis=0, initial=-np.inf)
    reached = reach > offsets - FACE_DEPTH_MM
    return Coverage(
        np.vstack([normals[reached], *(normal for normal, _ in faces)]),
        np.append(offsets[reached], [offset for _, offset in faces]),
        np.repeat([False, True], [reached.sum(), len(faces)]),
    )


def _array_faces(grid: Volume) -> tuple[FloatArray, FloatArray]:
    """Return outward unit normals (6, 3) and offsets (6,) of the outermost voxels' outer faces."""
    inverse = np.linalg.inv(grid.affine)
    rows = np.vstack([-inverse[:3, :3], inverse[:3, :3]])
    ends = np.concatenate([inverse[:3, 3] + 0.5, np.array(grid.shape) - 0.5 - inverse[:3, 3]])
    lengths = np.linalg.norm(rows, axis=1)
    return rows / lengths[:, None], ends / lengths


def _flat_faces(mask: Volume, axes: FloatArray) -> list[tuple[FloatArray, float]]:
    """Return normal and offset of each flat face of a mask, the largest first."""
    points = mask.places_mm
    if len(points) == 0:
        return []
    step = max(1, len(points) // _MOST_POINTS)
    points = points[::step]
    mm2 = step * mask.voxel_volume_mm3 / FACE_DEPTH_MM
    directions = np.vstack([axes, np.eye(3), -np.eye(3), _sphere()])
    areas = np.array([_face_area(points, normal) for normal in directions]) * mm2
    faces: list[tuple[FloatArray, float]] = []
    for index in np.argsort(-areas):
        if areas[index] < _CANDIDATE_SHARE * LEAST_FACE_MM2 or len(faces) == _MOST_CUTS:
            break
        normal = _settle(points, directions[index])
        if any(float(normal @ other) > _LEAST_ANGLE_COSINE for other, _ in faces):
            continue
        if _face_area(points, normal) * mm2 >= LEAST_FACE_MM2:
            faces.append((normal, float((points @ normal).max()) + 0.5))
    return faces


def _face_area(points: FloatArray, normal: FloatArray) -> int:
    """Count the points within `FACE_DEPTH_MM` of the outermost one in a direction."""
    along = points @ normal
    return int((along > along.max() - FACE_DEPTH_MM).sum())


def _settle(points: FloatArray, normal: FloatArray) -> FloatArray:
    """Turn a normal until the plane through the outermost points is at right angles to it."""
    for _ in range(6):
        along = points @ normal
        outermost = points[along > along.max() - FACE_DEPTH_MM]
        if len(outermost) < 10:
            return normal
        face = _outer_surface(outermost, normal)
        *_, rows = np.linalg.svd(face - face.mean(axis=0), full_matrices=False)
        turned = rows[2] * np.sign(rows[2] @ normal)
        if _face_area(points, turned) <= _face_area(points, normal):
            return normal
        normal = turned
    return normal


def _outer_surface(points: FloatArray, normal: FloatArray) -> FloatArray:
    """Keep the outermost point of each 6 mm column along a direction."""
    across = np.linalg.svd(normal[None])[2][1:]
    columns = np.floor(points @ across.T / 6.0).astype(int)
    order = np.lexsort((-(points @ normal), columns[:, 1], columns[:, 0]))
    _, first = np.unique(columns[order], axis=0, return_index=True)
    return points[order][first]


@lru_cache(maxsize=1)
def _sphere() -> FloatArray:
    """Return directions spread evenly over the sphere (Fibonacci lattice), (N, 3)."""
    index = np.arange(_DIRECTIONS) + 0.5
    polar = np.arccos(1.0 - 2.0 * index / _DIRECTIONS)
    turn = np.pi * (1.0 + 5.0**0.5) * index
    return np.stack(
        [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1
    )
