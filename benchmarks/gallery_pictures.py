"""The picture of one case: scan, pseudo-healthy image, map, and mask against truth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anatomaly.report.drawing import new_figure
from anatomaly.types import BoolArray as Bool

Grey = NDArray[np.float32]

COLUMNS = ("scan", "pseudo-healthy", "score", "mask against truth")
RIGHT, WRONG, MISSED = (0.25, 0.85, 0.35), (1.0, 0.30, 0.25), (0.30, 0.60, 1.0)
"""Found and lesion, found and none, lesion and not found."""

BACKGROUND, INK = "#0b0d10", "#f2f2f2"
COLOURS = 96
"""Of the palette; the picture is a third as large as with all colours."""


class Volumes(NamedTuple):
    """What is drawn, all (I, J, K) on one grid, axes closest to RAS+ and cropped to the brain.

    Attributes:
        scan: scanner units.
        pseudo_healthy: the same units.
        score: in [0, 1].
        found: mask.
        truth: mask; empty for a healthy person.
        brain: mask.
        spacing_mm: of the voxels.
    """

    scan: Grey
    pseudo_healthy: Grey
    score: Grey
    found: Bool
    truth: Bool
    brain: Bool
    spacing_mm: tuple[float, float, float]

    @property
    def wrong(self) -> Bool:
        """Found where nothing is, or missed."""
        return self.found ^ self.truth


def read_volumes(scan: Path, result: Path, truth: Bool) -> Volumes:
    """Read a result folder of `anatomaly detect` and its scan.

    Args:
        scan: NIfTI file.
        result: its folder, with map, mask, pseudo-healthy image and brain mask.
        truth: (I, J, K) on the grid of the scan.
    """
    reference: Any = nib.load(scan)
    names = ("pseudo_healthy", "anomaly_map", "anomaly_mask", "brain_mask")
    files = [reference, *(nib.load(result / f"{name}.nii.gz") for name in names)]
    files.append(nib.Nifti1Image(truth.astype(np.uint8), reference.affine))
    upright: list[Any] = [nib.as_closest_canonical(file) for file in files]
    arrays = [np.asarray(image.dataobj, dtype=np.float32) for image in upright]
    brain = arrays[4] > 0
    box = tuple(_extent(brain, axis) for axis in range(3))
    scan_data, healthy, score, found, _, lesion = (array[box] for array in arrays)
    x, y, z = (float(step) for step in upright[0].header.get_zooms()[:3])
    return Volumes(scan_data, healthy, score, found > 0, lesion > 0, brain[box], (x, y, z))


def draw_case(path: Path, volumes: Volumes, title: str, threshold: float) -> None:
    """Draw two axial slices: through the most lesion, and through the most wrong voxels.

    A healthy person has no lesion: the first slice is then the middle of the brain. The patient's
    left is on the left.

    Args:
        path: PNG to write.
        volumes: of the case.
        title: line above.
        threshold: that the mask was cut at; the map is drawn from 0 to twice as much, or to 1.
    """
    first = _fullest(volumes.truth, volumes.brain)
    second = _fullest(volumes.wrong, volumes.brain)
    levels = [first] if first == second else [first, second]
    across, up = volumes.spacing_mm[:2]
    wide, high = volumes.brain.shape[0] * across, volumes.brain.shape[1] * up
    row = 2.2 * high / wide
    height = len(levels) * row + 0.75
    figure = new_figure(figsize=(9, height), dpi=80, facecolor=BACKGROUND)
    gaps = {"wspace": 0.02, "hspace": 0.02, "left": 0.005, "right": 0.995}
    gaps |= {"top": 1 - 0.5 / height, "bottom": 0.25 / height}
    axes = figure.subplots(len(levels), 4, squeeze=False, gridspec_kw=gaps)
    window = np.percentile(volumes.scan[volumes.brain], (0.5, 99.7))
    for cells, level in zip(axes, levels, strict=True):
        panes = _panes(volumes, level, window, threshold)
        for cell, (pane, settings) in zip(cells, panes, strict=True):
            cell.imshow(pane, origin="lower", aspect=up / across, **settings)
            cell.set_axis_off()
    for cell, name in zip(axes[0], COLUMNS, strict=True):
        cell.set_title(name, color=INK, fontsize=9, pad=3)
    figure.text(0.01, 1 - 0.2 / height, title, color=INK, fontsize=10, weight="bold")
    words = ("green: found and lesion", "red: found, no lesion", "blue: missed")
    for x, text, colour in zip((0.01, 0.25, 0.45), words, (RIGHT, WRONG, MISSED), strict=True):
        figure.text(x, 0.07 / height, text, color=colour, fontsize=9)
    figure.text(0.99, 0.07 / height, "left is left", color=INK, fontsize=9, ha="right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=BACKGROUND)
    picture = Image.open(buffer).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def _panes(
    volumes: Volumes, level: int, window: NDArray[Any], threshold: float
) -> list[tuple[NDArray[Any], dict[str, Any]]]:
    """Return the four pictures of a slice and how they are shown."""
    low, high = float(window[0]), float(window[1])
    grey = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "bilinear"}
    scan = volumes.scan[:, :, level].T
    shown = np.clip((scan - low) / max(high - low, 1e-6), 0, 1)
    rgb = np.repeat(shown[:, :, None], 3, axis=2) * 0.75
    found, truth = volumes.found[:, :, level].T, volumes.truth[:, :, level].T
    for mask, colour in ((found & truth, RIGHT), (found & ~truth, WRONG), (truth & ~found, MISSED)):
        rgb[mask] = 0.45 * rgb[mask] + 0.55 * np.array(colour)
    top = min(1.0, 2 * threshold)
    return [
        (scan, grey),
        (volumes.pseudo_healthy[:, :, level].T, grey),
        (volumes.score[:, :, level].T, {"cmap": "inferno", "vmin": 0.0, "vmax": top}),
        (rgb, {"interpolation": "nearest"}),
    ]


def _fullest(mask: Bool, brain: Bool) -> int:
    """Return the axial slice with most of a mask; the widest of the brain where it is empty."""
    inside = mask if mask.any() else brain
    return int(inside.sum(axis=(0, 1)).argmax())


def _extent(brain: Bool, axis: int) -> slice:
    """Return the range along an axis that holds the brain, and a little more."""
    filled = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
    return slice(max(0, int(filled[0]) - 2), int(filled[-1]) + 3) if filled.size else slice(None)
