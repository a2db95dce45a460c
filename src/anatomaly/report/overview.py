"""One picture that a person can judge at a glance: scan, pseudo-healthy image, map over scan.

Slices are shown as a map is: seen from above, the patient's left on the left of the picture
(marked), physical proportions kept.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from anatomaly.components import number_lesions
from anatomaly.errors import GeometryError
from anatomaly.names import shown, writable
from anatomaly.report.drawing import (
    grey_window,
    import_matplotlib,
    new_figure,
    plain_drawing,
)
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

Float32 = NDArray[np.float32]

AXIAL_SLICES = 7
ROWS = ("scan", "pseudo-healthy", "anomaly")
BACKGROUND, INK, FAINT, AMBER, CONTOUR = "#0b0d10", "#f2f2f2", "#9aa0a6", "#ffb347", "#35e0ff"
WIDTH_INCHES, DPI = 17.0, 100
MARGIN_MM = 5.0


@dataclass(frozen=True)
class _Panels:
    """What is drawn, in closest RAS+ order and cropped to the brain.

    `grey` holds scan and pseudo-healthy image in [0, 1]; `score` the map, 0 outside the brain;
    `lesions` the number of the lesion of each voxel, 0 outside.
    """

    grey: tuple[Float32, Float32]
    score: Float32
    lesions: Float32
    brain: BoolArray
    spacing_mm: FloatArray

    @property
    def mask(self) -> BoolArray:
        """Where a lesion is."""
        return self.lesions > 0


@dataclass(frozen=True)
class _Cut:
    """One slice: its axis (0 sagittal, 1 coronal, 2 axial) and its index."""

    axis: int
    index: int


class _Scale(NamedTuple):
    """Colours of the score, the threshold that they mark and the score at their top."""

    colours: Colormap
    threshold: float
    top: float


@plain_drawing()
def write_overview(  # noqa: PLR0913, PLR0917 (five volumes of one grid, and what to say about them)
    path: Path,
    scan: Volume,
    pseudo_healthy: Volume,
    anomaly_map: Volume,
    anomaly_mask: Volume,
    brain_mask: Volume,
    title: str,
    threshold: float,
    warnings: Sequence[str] = (),
    by_hand: bool = False,
) -> None:
    """Draw scan, pseudo-healthy image and anomaly map in slices that hold the largest lesions.

    Args:
        path: PNG file to write.
        scan: (I, J, K), scanner units.
        pseudo_healthy: (I, J, K), the same units; same grid.
        anomaly_map: (I, J, K) in [0, 1]; same grid.
        anomaly_mask: (I, J, K), above zero where abnormal; outlined. Same grid.
        brain_mask: (I, J, K), above zero inside the brain; same grid.
        title: first line, for example name and sequence.
        threshold: score that the mask was cut at, marked on the colour bar; in [0, 1].
        warnings: printed below, the first three.
        by_hand: whether a person corrected the mask.

    Raises:
        GeometryError: the volumes do not share one grid.
    """
    others = (pseudo_healthy, anomaly_map, anomaly_mask, brain_mask)
    if any(volume.shape != scan.shape for volume in others):
        raise GeometryError(
            f"the overview needs volumes of one grid, found {[v.shape for v in (scan, *others)]}"
        )
    panels = _cut_out(scan, *others)
    cuts = _choose_cuts(panels)
    size_mm = np.array(panels.mask.shape) * panels.spacing_mm
    widths = [size_mm[1] if cut.axis == 0 else size_mm[0] for cut in cuts]
    tallest = max(size_mm[1] if cut.axis == 2 else size_mm[2] for cut in cuts)
    row_inches = min(0.92 * WIDTH_INCHES * tallest / sum(widths), 3.4)
    height = 3 * row_inches + 1.25
    figure = new_figure(figsize=(WIDTH_INCHES, height), dpi=DPI, facecolor=BACKGROUND)
    grid = figure.add_gridspec(
        3,
        len(cuts),
        width_ratios=widths,
        wspace=0.02,
        hspace=0.02,
        left=0.03,
        right=0.95,
        top=1 - 0.72 / height,
        bottom=0.5 / height,
    )
    top = score_top(panels.score, threshold)
    scale = _Scale(score_colours(threshold, top), threshold, top)
    _draw_panels(figure, grid, panels, cuts, scale)
    _draw_colour_bar(figure, height, scale)
    _write_words(figure, title, _summary(anomaly_mask, threshold, by_hand), warnings)
    figure.savefig(path, format="png", facecolor=BACKGROUND, pil_kwargs={"compress_level": 9})


def _cut_out(
    scan: Volume, pseudo_healthy: Volume, anomaly_map: Volume, mask: Volume, brain: Volume
) -> _Panels:
    """Bring all volumes to closest RAS+ order, crop them to the brain and window the greys."""
    orientation = io_orientation(scan.affine)
    brain_ras = apply_orientation(brain.data > 0, orientation)
    spacing = np.empty(3)
    spacing[orientation[:, 0].astype(int)] = scan.spacing_mm
    shown = brain_ras if brain_ras.any() else np.ones_like(brain_ras)
    box = tuple(_extent(shown, axis, int(np.ceil(MARGIN_MM / spacing[axis]))) for axis in range(3))

    def crop(data: NDArray[np.generic]) -> Float32:
        out: Float32 = apply_orientation(data, orientation)[box].astype(np.float32)
        return out

    brain_box = shown[box]
    scan_box = crop(scan.data)
    low, high = grey_window(scan_box[brain_box])
    width = high - low
    greys = [np.clip((data - low) / width, 0, 1) for data in (scan_box, crop(pseudo_healthy.data))]
    return _Panels(
        grey=(greys[0], greys[1]),
        score=np.where(brain_box, crop(anomaly_map.data), 0).astype(np.float32),
        lesions=crop(number_lesions(mask.data)),
        brain=brain_box,
        spacing_mm=spacing,
    )


def _extent(mask: BoolArray, axis: int, margin: int, share: float = 0.001) -> slice:
    """Return the range along an axis that holds the mask but for a share at either end."""
    profile = mask.sum(tuple({0, 1, 2} - {axis}))
    filled = np.cumsum(profile) / profile.sum()
    first, last = np.searchsorted(filled, (share, 1 - share))
    return slice(max(0, int(first) - margin), int(last) + margin + 1)


def _choose_cuts(panels: _Panels) -> list[_Cut]:
    """Choose axial slices spread over the brain, moved onto the largest lesions, and two others."""
    ends = _extent(panels.brain, 2, 0, share=0.03)
    slices = np.unique(np.round(np.linspace(ends.start, ends.stop - 1, AXIAL_SLICES)).astype(int))
    free = list(range(len(slices)))
    at = [int(n) // 2 for n in panels.brain.shape]
    numbers = np.unique(panels.lesions[panels.mask])[: AXIAL_SLICES // 2]
    for rank, number in enumerate(numbers):
        inside = panels.lesions == number
        best = [int(inside.sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3)]
        if rank == 0:
            at = best
        if free and best[2] not in slices:
            nearest = min(free, key=lambda n: abs(int(slices[n]) - best[2]))
            slices[nearest] = best[2]
            free.remove(nearest)
    axial = [_Cut(2, int(index)) for index in np.unique(slices)]
    return [*axial, _Cut(1, at[1]), _Cut(0, at[0])]


def score_top(score: NDArray[np.floating[Any]], threshold: float) -> float:
    """Return the score at the top of the colours: no lower than one and a half thresholds."""
    return min(1.0, max(1.5 * threshold, float(np.quantile(score, 0.9995)), 1e-6))


def score_colours(threshold: float, top: float) -> Colormap:
    """Return a colour map that is clear below 0.4 thresholds and opaque from the threshold on.

    Args:
        threshold: score that the mask was cut at.
        top: score at the top of the colours; the map takes shares of it, 0 to 1.
    """
    import_matplotlib()
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    table = colormaps["inferno"](np.linspace(0.25, 1, 256))
    share = np.linspace(0, top, 256) / max(threshold, 1e-6)
    table[:, 3] = np.clip((share - 0.4) / 0.6, 0, 1) * 0.8
    return ListedColormap(table)


def _draw_panels(
    figure: Figure, grid: GridSpec, panels: _Panels, cuts: list[_Cut], scale: _Scale
) -> None:
    """Fill the grid: one row for each of `ROWS`, one column for each cut."""
    for column, cut in enumerate(cuts):
        across, up = [axis for axis in range(3) if axis != cut.axis]
        aspect = panels.spacing_mm[up] / panels.spacing_mm[across]
        for row, name in enumerate(ROWS):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            show = partial(
                axes.imshow, vmin=0, aspect=aspect, origin="lower", interpolation="bilinear"
            )
            grey = panels.grey[1 if name == "pseudo-healthy" else 0]
            show(np.take(grey, cut.index, cut.axis).T, cmap="gray", vmax=1)
            if name == "anomaly":
                score = np.take(panels.score, cut.index, cut.axis).T
                show(score, cmap=scale.colours, vmax=scale.top)
                mask = np.take(panels.mask, cut.index, cut.axis).T
                if mask.any() and min(mask.shape) > 1:
                    axes.contour(mask, levels=[0.5], colors=CONTOUR, linewidths=0.8)
            if row == 0:
                _mark_sides(axes, cut.axis)
            if column == 0:
                axes.text(
                    -0.06, 0.5, name, transform=axes.transAxes, rotation=90, color=INK, fontsize=11,
                    ha="right", va="center",
                )  # fmt: skip


def _mark_sides(axes: Axes, axis: int) -> None:
    """Write L and R (axial, coronal) or P and A (sagittal) into the upper corners."""
    low, high = ("P", "A") if axis == 0 else ("L", "R")
    for x, letter, align in ((0.02, low, "left"), (0.98, high, "right")):
        axes.text(
            x, 0.98, letter, transform=axes.transAxes, color=FAINT, fontsize=9, ha=align, va="top"
        )  # fmt: skip


def _draw_colour_bar(figure: Figure, height_inches: float, scale: _Scale) -> None:
    """Draw the scale of the score with the threshold as a line of the contour's colour."""
    colours, threshold, top = scale
    bar = figure.add_axes((0.958, 0.6 / height_inches, 0.008, 0.28))
    steps = np.linspace(0, top, 128)[:, None]
    bar.imshow(steps, cmap=colours, aspect="auto", origin="lower", extent=(0, 1, 0, top))
    bar.set_facecolor("#5c5c5c")  # where the map is clear, the grey of the scan shows
    bar.axhline(threshold, color=CONTOUR, linewidth=1.6)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([0, threshold, top], ["0", f"{threshold:.2f}", f"{top:.2f}"])
    bar.tick_params(colors=INK, labelsize=8, length=2)
    bar.set_title("score", color=INK, fontsize=9)
    for spine in bar.spines.values():
        spine.set_color(FAINT)


def _summary(anomaly_mask: Volume, threshold: float, by_hand: bool) -> str:
    """Say how many lesions there are and how large they are together."""
    count = int(number_lesions(anomaly_mask.data).max())
    if not count:
        said = "no lesion above the threshold"
        return "no lesion, mask corrected by hand" if by_hand else f"{said} {threshold:.2f}"
    volume_ml = np.count_nonzero(anomaly_mask.data) * anomaly_mask.voxel_volume_mm3 / 1000
    lesions = "1 lesion" if count == 1 else f"{count} lesions"
    said = "mask corrected by hand" if by_hand else f"at the threshold {threshold:.2f}"
    return f"{lesions}, {volume_ml:.1f} mL, {said} (outlined)"


def _write_words(figure: Figure, title: str, summary: str, warnings: Sequence[str]) -> None:
    """Write title and summary above, warnings and the disclaimer below."""
    height = figure.get_figheight()
    figure.text(
        0.03, 1 - 0.30 / height, shown(title), color=INK, fontsize=14, weight="bold",
        parse_math=False,
    )  # fmt: skip
    figure.text(0.03, 1 - 0.57 / height, summary, color=FAINT, fontsize=11)
    figure.text(
        0.95, 1 - 0.30 / height, "research software, not a medical device",
        color=FAINT, fontsize=9, ha="right",
    )  # fmt: skip
    if warnings:
        first = "  |  ".join(warnings[:3])
        more = f"  (+{len(warnings) - 3} more in run.json)" if len(warnings) > 3 else ""
        text = textwrap.shorten(first, 330, placeholder=" …") + more
        lines = "\n".join(textwrap.wrap(f"Warning: {writable(text)}", 200))
        figure.text(
            0.03, 0.06 / height, lines, color=AMBER, fontsize=9, va="bottom", parse_math=False
        )
