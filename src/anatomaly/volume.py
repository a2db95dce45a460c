"""A 3D array that knows where it lies, and a scan: a volume with what its file said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.errors import GeometryError
from anatomaly.geometry import apply_affine, check_affine, spacing_mm, voxel_volume_mm3
from anatomaly.types import Affine, BoolArray, FloatArray, MrSequence


@dataclass(frozen=True)
class Volume:
    """A 3D array and the affine of its grid.

    Attributes:
        data: (I, J, K), any dtype.
        affine: (4, 4), voxel indices to RAS+ mm.

    Raises:
        GeometryError: data is not 3D, or the affine is unusable.

    >>> Volume(np.zeros((2, 3, 4)), np.eye(4)).shape
    (2, 3, 4)
    """

    data: np.ndarray[Any, Any]
    affine: Affine

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise GeometryError(f"expected a 3D array, found shape {self.data.shape}")
        object.__setattr__(self, "affine", check_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K)."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def spacing_mm(self) -> FloatArray:
        """Voxel size along i, j, k in mm, shape (3,)."""
        return spacing_mm(self.affine)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return voxel_volume_mm3(self.affine)

    @property
    def places_mm(self) -> FloatArray:
        """Where the voxels of a mask lie, shape (N, 3), RAS+ mm."""
        return apply_affine(self.affine, np.argwhere(self.data).astype(np.float64))

    def with_data(self, data: np.ndarray[Any, Any]) -> Volume:
        """Return another array of the same shape on the same grid.

        Raises:
            GeometryError: the shape differs.
        """
        if data.shape != self.data.shape:
            raise GeometryError(f"shape {data.shape} does not fit the grid {self.data.shape}")
        return replace(self, data=data)


@dataclass(frozen=True)
class Scan:
    """One structural MR image as it was acquired.

    Attributes:
        volume: float32, finite, scanner units, on the scan's own grid.
        name: output folder name, the file name without its NIfTI ending.
        source: the file or folder that the user named; None for an image given in memory.
        header: NIfTI header to write results with (codes, units); None for a fresh one.
        sequence_hint: what file name, BIDS suffix or DICOM description say, if anything.
        hint_is_timed: the acquisition's times (TR, TE, TI) say the same as the hint.
        warnings: repairs made while reading and doubts about the input, in plain sentences.
        metadata: plain JSON values worth keeping in the run manifest (DICOM series, SHA-256 ...).
        series_uid: SeriesInstanceUID of a DICOM series, to find its instances again; None for
            others. Not in the manifest: it identifies.
    """

    volume: Volume
    name: str
    source: Path | None = None
    header: Any | None = None
    sequence_hint: MrSequence | None = None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    series_uid: str | None = None
    hint_is_timed: bool = False


@dataclass(frozen=True)
class PreparedImage:
    """What the networks read: one scan on the working grid, stripped and normalised.

    Attributes:
        image: (I, J, K) float32 in [0, 1], 0 outside the brain, voxels of 1 mm; (160, 192, 160)
            but for the smallest tests.
        brain_mask: (I, J, K) bool.
        sequence: T1w, T2w or FLAIR.
    """

    image: FloatArray
    brain_mask: BoolArray
    sequence: MrSequence


def outer_faces(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the values of the six outer faces of an array, shape (N,); edges count twice."""
    return np.concatenate(
        [np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)]
    )
