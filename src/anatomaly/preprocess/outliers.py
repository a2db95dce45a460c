"""Single voxels far outside the range of a scan, found and put right before anything is measured.

Spikes of a reconstruction, dead voxels and hot lines are a handful of voxels, but a percentile, a
least-squares fit, a network's normalisation or an interpolation spreads them over the whole brain.
The limits are those that no ordinary scan reaches; the figures stand in docs/decisions/0017.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from anatomaly.preprocess.background import UsualRange, background_value
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume, outer_faces

MOST_ABOVE = 4.0
"""Widths of the usual range above it that no voxel reaches: 2.97 at most in 166 real scans."""

MOST_BELOW = 0.5
"""Widths below its floor: .29 below its low end at most."""

SPIKE_ABOVE = 1.0
"""Widths above the usual range, and above the neighbours, from which a voxel may be a spike."""

DEAD_BELOW = 0.02
"""A voxel within this share of the way from the floor to the high end has no signal."""

DEAD_OVER_NEARLY = 3.0
"""Dead voxels outnumber those up to twice as bright by so much, or they are noise."""

BRIGHT_FROM = 0.25
"""Neighbours above this share of the way have signal, so what lies alone among them should."""

MOST_COMPANIONS = 2
"""Neighbours of a moderate spike that may be as bright: a pair or a line, no lesion's corner."""

LEAST_SPIKES, LEAST_DEAD = 1e-4, 3e-4
"""Share of the voxels with signal from which moderate spikes, and dead voxels, are believed:
vessels and what interpolation leaves give up to 1.6e-5 and 4.3e-5."""

MOST_ALIKE = 6
"""Of 26 neighbours: a voxel with no more outliers around it is alone (one of a pair, of a line, of
two crossing lines); with more it belongs to a blob, whose brightness is only limited."""

BACKGROUND_SHARE = 0.02
"""A single value that this share of all voxels holds marks a background, whatever it is."""

PADDING_SHARE = 0.3
"""The same of the outer faces."""

_AROUND = np.array([shift for shift in product((-1, 0, 1), repeat=3) if any(shift)])
_CHUNK = 50_000


@dataclass(frozen=True)
class Outliers:
    """What `repair_outliers` found.

    Attributes:
        replaced_voxels: alone, given the median of their neighbours.
        limited_voxels: in clusters, brought to the limit.
        lowest: smallest intensity among them, scanner units; 0 where there are none.
        highest: largest one.
        usual: range of the scan.
        where: bool, grid of the scan; None where nothing was changed.
    """

    replaced_voxels: int
    limited_voxels: int
    lowest: float
    highest: float
    usual: UsualRange
    where: BoolArray | None = None

    @property
    def count(self) -> int:
        """Voxels that were changed."""
        return self.replaced_voxels + self.limited_voxels

    def warning(self, size: int) -> str | None:
        """Say what was found in a scan of so many voxels; None where nothing was."""
        if not self.count:
            return None
        ends = dict.fromkeys(f"{value:.6g}" for value in (self.lowest, self.highest))
        done = []
        if self.replaced_voxels:
            done.append(f"{self.replaced_voxels:,} replaced by the median of their neighbours")
        if self.limited_voxels:
            done.append(f"{self.limited_voxels:,} in clusters limited")
        return (
            f"{self.count:,} of {size:,} voxels do not fit what lies around them (spikes, or dead "
            f"voxels): they hold {' to '.join(ends)}, where the scan usually has "
            f"{self.usual.low:.4g} to {self.usual.high:.4g}; {' and '.join(done)} for the "
            "analysis, the file is unchanged; check the scan"
        )


def repair_outliers(volume: Volume, usual: UsualRange) -> tuple[Volume, Outliers]:
    """Replace lone outliers by the median of their neighbours, and limit clusters of them.

    Above or below what any ordinary scan reaches; many that stand a whole range above their
    neighbours; many without signal among neighbours with signal.

    Args:
        volume: finite, any unit.
        usual: range of its intensities.

    Returns:
        The volume itself where nothing was found, else a float32 copy; and the record.
    """
    data = volume.data
    unchanged = volume, Outliers(0, 0, 0.0, 0.0, usual)
    if usual.width <= 0:
        return unchanged
    wrong = _beyond(data, usual)
    spikes, dead = find_spikes(data, wrong, usual), find_dead(data, usual)
    signal = np.count_nonzero(data > signal_from(usual))
    for some, least in ((spikes, LEAST_SPIKES), (dead, LEAST_DEAD)):
        if np.count_nonzero(some) >= max(1.0, least * signal):
            wrong |= some
    if not wrong.any():
        return unchanged
    values = data[wrong]
    repaired, replaced = _repair(data, wrong, usual)
    ends = float(values.min()), float(values.max())
    record = Outliers(replaced, int(values.size) - replaced, *ends, usual, wrong)
    return volume.with_data(repaired), record


def _beyond(data: FloatArray, usual: UsualRange) -> BoolArray:
    """Return what no ordinary scan holds; a constant background, however far off, is none of it."""
    too_low = data < usual.floor - MOST_BELOW * usual.width
    if too_low.any():
        values, counts = np.unique(data[too_low], return_counts=True)
        constant = values[counts > max(100.0, BACKGROUND_SHARE * data.size)]
        too_low &= ~np.isin(data, constant)
    too_high = data > usual.high + MOST_ABOVE * usual.width
    if too_high.any():
        background = background_value(data)
        if np.mean(outer_faces(data) == background) >= PADDING_SHARE:
            too_high &= data != background
    return np.asarray(too_low | too_high)


def find_spikes(data: FloatArray, wrong: BoolArray, usual: UsualRange) -> BoolArray:
    """Return voxels that stand a whole range above the usual one and above their neighbours."""
    spikes = np.zeros(data.shape, dtype=bool)
    places = np.argwhere((data > usual.high + SPIKE_ABOVE * usual.width) & ~wrong)
    for part in _parts(places):
        around = np.nan_to_num(_neighbours(data, part), nan=usual.low)
        beside = np.partition(around, -MOST_COMPANIONS - 1, axis=1)[:, -MOST_COMPANIONS - 1]
        at = tuple(part.T)
        spikes[at] = data[at] - beside > SPIKE_ABOVE * usual.width
    return spikes


def signal_from(usual: UsualRange) -> float:
    """Return the intensity above which a voxel has signal."""
    return usual.floor + BRIGHT_FROM * (usual.high - usual.floor)


def find_dead(data: FloatArray, usual: UsualRange) -> BoolArray:
    """Return voxels without signal of whose six nearest neighbours five or more have signal.

    None where nearly as many have next to none: noise of all heights, as MP2RAGE leaves in air.
    """
    bright = data > signal_from(usual)
    count = np.zeros(data.shape, dtype=np.int8)
    for axis in range(3):
        here, there = np.moveaxis(count, axis, 0), np.moveaxis(bright, axis, 0)
        here[1:] += there[:-1]
        here[:-1] += there[1:]
    share = (data - np.float32(usual.floor)) / np.float32(usual.high - usual.floor)
    alone = count >= 5
    dead = alone & (share <= DEAD_BELOW)
    nearly = np.count_nonzero(alone & (share <= 2 * DEAD_BELOW)) - np.count_nonzero(dead)
    if np.count_nonzero(dead) < DEAD_OVER_NEARLY * nearly:
        return np.zeros_like(dead)
    return np.asarray(dead)


def _repair(data: FloatArray, wrong: BoolArray, usual: UsualRange) -> tuple[FloatArray, int]:
    """Return a repaired copy, and how many voxels were replaced rather than limited."""
    low = usual.floor - MOST_BELOW * usual.width
    high = usual.high + MOST_ABOVE * usual.width
    out = data.astype(np.float32)
    sound = np.where(wrong, np.nan, out)
    replaced = 0
    for part in _parts(np.argwhere(wrong)):
        around, alike = _neighbours(sound, part), _neighbours(wrong.astype(np.float32), part)
        alone = np.nansum(alike, axis=1) <= MOST_ALIKE
        at = tuple(part.T)
        values = np.clip(out[at], low, high)
        values[alone] = np.nanmedian(around[alone], axis=1)
        out[at] = values
        replaced += int(alone.sum())
    return out, replaced


def _parts(places: np.ndarray) -> list[np.ndarray]:
    """Return places (N, 3) in parts whose neighbours fit into memory."""
    return [places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK)]


def _neighbours(data: FloatArray, places: np.ndarray) -> FloatArray:
    """Return the 26 values around each place, (N, 26); NaN beyond the border."""
    at = places[:, None] + _AROUND
    beyond = ((at < 0) | (at >= data.shape)).any(axis=-1)
    at = np.clip(at, 0, np.array(data.shape) - 1)
    values: FloatArray = data[at[..., 0], at[..., 1], at[..., 2]].astype(np.float32)
    values[beyond] = np.nan
    return values
