"""Slices inside a scan that are missing, or far brighter or darker than those beside them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from anatomaly.preprocess.background import UsualRange
from anatomaly.preprocess.crop import Crop
from anatomaly.preprocess.reorient import Reorientation
from anatomaly.types import FloatArray
from anatomaly.volume import Volume

SIGNAL_FROM = 0.2
"""Share of the way from the floor to the high end of the range above which a voxel has signal."""

LEAST_STEP = np.log(1.6)
"""Of brightness between two neighbouring slices, natural logarithm."""

MOST_SLICES = 8
"""A run of uneven slices ends within so many; a longer one is the head itself."""

LEAST_VOXELS = 200
"""With signal, on which a step is measured."""

LEAST_FILLED = 0.15
"""Share of a large slice's voxels with signal: the last slices of a brain change fast."""

PLANES = (("sagittal", ("L", "R")), ("coronal", ("P", "A")), ("axial", ("I", "S")))
"""Name of the slices across each axis of RAS+, and where that axis comes from and goes to."""

Run = tuple[int, int]


def doubts_about_slices(
    volume: Volume, usual: UsualRange, reorientation: Reorientation, crop: Crop
) -> list[str]:
    """Return a warning for each direction in which slices are missing, too bright or too dark.

    Args:
        volume: axes close to RAS+, cropped.
        usual: range of its intensities.
        reorientation: that turned it.
        crop: that cut it: the warnings count slices as the file does, from 1.
    """
    said = []
    for axis, (name, _) in enumerate(PLANES):
        start = crop.box[axis].start
        runs = find_uneven_slices(volume, axis, usual)
        in_file = sorted(_in_file(run, axis, start, reorientation) for run in runs)
        if in_file:
            numbers = [f"{a + 1}" if a == b else f"{a + 1} to {b + 1}" for a, b in in_file]
            said.append(
                f"{name} slices {', '.join(numbers)} (counted from 1, as in the file) are missing, "
                f"or brighter or darker than those beside them by {np.exp(LEAST_STEP):.1f} times "
                "or more: what is found there may be false; look at the scan"
            )
    return said


def find_uneven_slices(volume: Volume, axis: int, usual: UsualRange) -> list[Run]:
    """Return the first and last slice of each run that does not fit what lies on its two sides.

    A run lies between a step of brightness and the opposite step.

    Args:
        volume: any grid.
        axis: across which to look.
        usual: range of its intensities.

    >>> data = np.random.default_rng(0).normal(100, 3, (40, 40, 40)).astype(np.float32)
    >>> data[:, :, 12:14] *= 3
    >>> find_uneven_slices(Volume(data, np.eye(4)), 2, UsualRange(0.0, 110.0))
    [(12, 13)]
    """
    steps, runs, k = _steps(volume.data, axis, usual), [], 0
    while k < len(steps):
        ends = [
            n
            for n in range(k + 1, min(len(steps), k + 1 + MOST_SLICES))
            if abs(steps[n]) > LEAST_STEP and steps[n] * steps[k] < 0
        ]
        if abs(steps[k]) > LEAST_STEP and ends:
            runs.append((k + 1, ends[0]))
            k = ends[0]
        k += 1
    return runs


def _in_file(run: Run, axis: int, start: int, reorientation: Reorientation) -> Run:
    """Return where a run of the cropped, turned grid lies in the file."""
    low, high = PLANES[axis][1]
    first, last = run[0] + start, run[1] + start
    if high in reorientation.axes:
        return first, last
    size = reorientation.shape[reorientation.axes.index(low)]
    return size - 1 - last, size - 1 - first


def _steps(data: FloatArray, axis: int, usual: UsualRange) -> FloatArray:
    """Return the median logarithm of brightness between slices k and k + 1; 0 where too few."""
    reach = usual.high - usual.floor
    floor, signal = 0.02 * reach, SIGNAL_FROM * reach
    planes = np.moveaxis(data, axis, 0)
    step = max(1, int(np.sqrt(planes[0].size / 10_000)))
    lifted = np.maximum(planes[:, ::step, ::step] - np.float32(usual.floor), np.float32(floor))
    steps, counts = np.zeros(len(lifted) - 1), np.zeros(len(lifted) - 1)
    for k, (one, other) in enumerate(pairwise(lifted)):
        there = np.maximum(one, other) > signal
        counts[k] = np.count_nonzero(there)
        if counts[k]:
            steps[k] = np.median(np.log(other[there] / one[there]))
    enough = counts >= max(LEAST_VOXELS, LEAST_FILLED * np.percentile(counts, 90))
    return np.where(enough, steps, 0.0)
