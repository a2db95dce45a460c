"""Small pictures of slices side by side, and labelled columns of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.report import drawing
from anatomaly.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["image", "tissue", "score"]
_LOOKS: dict[Kind, tuple[str, float, float]] = {
    "image": ("gray", 0.0, HIGH_VALUE),
    "tissue": ("gray", 0.0, 3.0),
    "score": ("inferno", 0.0, 0.2),
}
INK, DPI, COLOURS_KEPT = "#202124", 90, 48
COLOURS = ("#3b6fb6", "#d9822b", "#4a9d5b", "#8a5aa8", "#b6433b", "#6b7280")


@dataclass(frozen=True)
class Panel:
    """One slice of a volume.

    Attributes:
        title: above it.
        slice: (I, K) coronal or (I, J) axial, first axis to the patient's right.
        kind: `image` in [0, 1], shown up to `HIGH_VALUE`; `tissue` 0 to 3; `score` up to .2.
    """

    title: str
    slice: NDArray[np.float32]
    kind: Kind


def axial_panel(title: str, volume: FloatArray | NDArray[np.uint8], kind: Kind) -> Panel:
    """Cut an axial slice at the height of the lateral ventricles (z = 12 mm of the template)."""
    index = volume.shape[2] * 11 // 20
    return Panel(title, np.asarray(volume[:, :, index], dtype=np.float32), kind)


def draw_panels(path: Path, heading: str, panels: Sequence[Panel | None], columns: int) -> None:
    """Write panels row by row to a PNG; seen from above, the patient's left on the left.

    Args:
        path: of the PNG.
        heading: above all.
        panels: None leaves a place empty.
        columns: panels in a row.
    """
    rows = -(-len(panels) // columns)
    figure = new_figure(1.9 * columns, 2.45 * rows + 0.4, heading)
    axes = figure.subplots(rows, columns, squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for place, panel in zip(axes.flat, panels, strict=False):
        if panel is None:
            continue
        colours, low, high = _LOOKS[panel.kind]
        place.imshow(panel.slice.T, cmap=colours, vmin=low, vmax=high, origin="lower")
        place.set_title(panel.title, fontsize=8, color=INK)
    save(figure, path)


def draw_bars(
    axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float]], label: str
) -> None:
    """Draw bars side by side: one cluster a group, one colour a series, values written above."""
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        bars = axes.bar(places, list(values), width, label=name, color=COLOURS[number])
        axes.bar_label(bars, fmt="%.2f", fontsize=6, padding=1, color=INK)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def new_figure(width: float, height: float, heading: str) -> Figure:
    """Return an empty figure of a size in inches with a heading."""
    size = (width, height)
    figure = drawing.new_figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(heading, fontsize=10, color=INK)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG: `COLOURS_KEPT` colours, for noise in slices packs badly."""
    from PIL import Image

    full = BytesIO()
    figure.savefig(full, format="png")
    picture = Image.open(full).convert("RGB")
    picture.quantize(COLOURS_KEPT).save(path, format="PNG", optimize=True)
