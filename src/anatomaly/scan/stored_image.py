"""What a file holds before anything is interpreted, and which of it is one 3D grey-value image.

Unsigned voxels that were stored as signed ones are put right: the bright ones came out negative.
In a wrapped image the step from the largest positive to the lowest negative value runs through the
head; read as unsigned it is gone. In a signed image (z-scored, shifted) neighbours change their
sign near 0, and reading them as unsigned would tear them apart. Air is dark, so an image whose
outer faces are negative was shifted, not wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import ScanError
from anatomaly.types import FloatArray

MAX_VOXELS = 500_000_000
"""Largest image that is read (2 GB as float32); a head at 0.4 mm has a third of it."""


LEAST_REACH = 0.85
"""Wrapped images reach both ends of the signed range up to this share."""
MOST_ROUGHNESS = 1.0
"""Steps read as unsigned over steps as stored: twelve scans wrapped on purpose have .06 to .86, the
same stretched over the signed range or z-scored 2.0 and more."""
LEAST_PAIRS = 50

_PLANES = 64
"""Planes along the slowest axis that are looked at."""


@dataclass(frozen=True)
class StoredImage:
    """What a file holds, before anything is interpreted.

    Attributes:
        header: NIfTI header of a 3D image (for other formats one that was made from theirs).
        voxels: (I, J, K), as stored; intensity = slope * voxel + intercept.
        slope: 1 where the file names none.
        intercept: 0 where the file names none.
        file_type: `NIfTI-1`, `NIfTI-2`, `Analyze` or `MGH`.
        warnings: what was put right while reading.
    """

    header: nib.Nifti1Header
    voxels: np.ndarray[Any, Any]
    slope: float = 1.0
    intercept: float = 0.0
    file_type: str = "NIfTI-1"
    warnings: tuple[str, ...] = ()

    def with_warnings(self, *warnings: str) -> StoredImage:
        """Return the image with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


def header_on_grid(
    shape: tuple[int, ...], affine: FloatArray, code: str = "scanner"
) -> nib.Nifti1Header:
    """Return a NIfTI header for results on the grid of a scan that came with none.

    Args:
        shape: (I, J, K).
        affine: (4, 4), voxel indices to RAS+ mm.
        code: of the sform.
    """
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(affine, code=code)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    return header


def checked_shape(path: Path | str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the three spatial sizes, or refuse what is not one 3D image.

    Axes of one voxel are dropped wherever they stand, so long as three others remain.

    Raises:
        ScanError: fewer than three axes, more than one volume, one slice, or far too large.
    """
    if not shape or any(n < 1 for n in shape):
        raise ScanError(f"{path}: the header names an impossible size {shape}; convert it again")
    sizes = [int(n) for n in shape if n > 1]
    if len(sizes) < 3:
        raise ScanError(
            f"{path}: a single slice (size {times(shape)}); give the whole 3D series, "
            "for example its DICOM folder"
        )
    if len(sizes) > 3:
        volumes = int(np.prod(sizes[3:], dtype=object))
        raise ScanError(
            f"{path}: a series of {volumes} volumes (size {times(shape)}), expected one 3D image; "
            "pick a volume and give that file, for example the first one with Python: "
            "nibabel.load(path).slicer[..., 0].to_filename('volume.nii.gz')"
        )
    i, j, k = sizes
    if i * j * k > MAX_VOXELS:
        raise ScanError(
            f"{path}: {times((i, j, k))} = {i * j * k:,} voxels, the limit is {MAX_VOXELS:,}; "
            "the header is damaged, or resample the scan to about 1 mm"
        )
    return i, j, k


def check_voxel_type(path: Path | str, dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are not one real number.

    Raises:
        ScanError: colour (RGB, RGBA) or complex voxels.
    """
    if dtype.fields is not None:
        raise ScanError(
            f"{path}: a colour image ({''.join(dtype.names or ())}); give the grey-value MR image, "
            "not a screenshot or an overlay"
        )
    if dtype.kind == "c":
        raise ScanError(
            f"{path}: complex voxels ({dtype}); give the magnitude image, for example "
            "numpy.abs of the data"
        )
    if dtype.kind not in "biuf":
        raise ScanError(f"{path}: voxels of type {dtype}, expected integer or floating grey values")


def shape_warnings(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return what there is to say about an image of one volume that is stored with more axes."""
    if len(shape) == 3:
        return ()
    if min(shape[:3]) > 1:
        return (f"the image is {len(shape)}D with a single volume ({times(shape)}); read as 3D",)
    others = tuple(n for n in shape if n > 1)
    return (
        f"the image has the size {times(shape)}; the axes of one voxel were dropped, and the "
        f"header's voxel sizes and directions were taken for those of {times(others)}, in this "
        "order; check the orientation",
    )


def times(shape: tuple[int, ...]) -> str:
    """Write a size as people do: 256 x 256 x 26."""
    return " x ".join(str(n) for n in shape)


def undo_wraparound(image: StoredImage) -> StoredImage:
    """Return the image with its voxels read as unsigned, where that is what they are.

    Args:
        image: int8 and int16 voxels are judged, and floating ones that hold such whole numbers.
    """
    bits = _wrapped_bits(image.voxels) if image.intercept == 0 else 0
    if bits == 0:
        return image
    voxels = image.voxels
    if voxels.dtype.kind == "i":
        voxels = voxels.view(voxels.dtype.str.replace("i", "u"))
    else:
        voxels = np.where(voxels < 0, voxels + voxels.dtype.type(2**bits), voxels)
    share = float((image.voxels < 0).mean())
    return replace(image, voxels=voxels).with_warnings(
        f"{share:.1%} of the voxels are negative because unsigned {bits}-bit numbers were stored "
        "as signed ones; read as unsigned"
    )


def _wrapped_bits(voxels: np.ndarray[Any, Any]) -> int:
    """Return 8 or 16 where the voxels are unsigned numbers of that many bits, wrapped; else 0."""
    if voxels.dtype.kind not in "if" or voxels.dtype.itemsize > 8:
        return 0
    with np.errstate(all="ignore"):
        low, high = float(voxels.min()), float(voxels.max())
    for bits in (8, 16):
        half = 2.0 ** (bits - 1)
        if -half <= low < -LEAST_REACH * half and LEAST_REACH * half < high < half:
            fits = voxels.dtype.kind == "f" or voxels.dtype.itemsize * 8 == bits
            return bits if fits and _is_wrapped(voxels, 2.0**bits) else 0
    return 0


def _is_wrapped(voxels: np.ndarray[Any, Any], period: float) -> bool:
    """Tell whether steps between neighbours of unlike sign vanish when read as unsigned."""
    stride = max(1, voxels.shape[2] // _PLANES)
    planes = np.asarray(voxels[:, :, ::stride], dtype=np.float32)
    if not np.array_equal(planes, np.rint(planes)):
        return False
    faces = (planes[0], planes[-1], planes[:, 0], planes[:, -1])
    if float(np.median(np.concatenate([face.ravel() for face in faces]))) < 0:
        return False
    stored = unsigned = 0.0
    pairs = 0
    for first, second in ((planes[:-1], planes[1:]), (planes[:, :-1], planes[:, 1:])):
        unlike = (first < 0) != (second < 0)
        steps = np.abs(first[unlike] - second[unlike])
        stored += float(steps.sum(dtype=np.float64))
        unsigned += float(np.abs(period - steps).sum(dtype=np.float64))
        pairs += steps.size
    return pairs >= LEAST_PAIRS and unsigned < MOST_ROUGHNESS * stored
