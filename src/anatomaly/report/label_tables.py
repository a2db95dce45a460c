"""Names and colours of labels, as four viewers read them: ITK-SNAP, FSLeyes, FreeSurfer, 3D Slicer.

One list of labels makes all four files, which lie in `labels/` beside the volumes. Formats:

- ITK-SNAP: `IDX R G B A VIS MSH "LABEL"`, colours 0 to 255, A, VIS and MSH 0 to 1
  (`ColorLabelTable::SaveToFile` of its source).
- FSLeyes: `value r g b name`, colours 0 to 1; no comments, and two lines at least: its reader takes
  a file of one line for nothing (`fsleyes.colourmaps`).
- FreeSurfer: `index name R G B A`, A is transparency, 0 for opaque; no blanks in a name.
- 3D Slicer: `index name R G B A`, A is opacity, 255 for opaque; no blanks in a name.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from anatomaly.report.manifest import write_whole

LABELS_FOLDER = "labels"
GOLDEN = 0.618034
"""Of the circle of hues, between one lesion and the next: neighbours in number never look alike."""


@dataclass(frozen=True)
class Label:
    """One value of a label volume.

    Attributes:
        number: its value, from 0.
        name: in words.
        colour: red, green and blue, 0 to 255.
    """

    number: int
    name: str
    colour: tuple[int, int, int]

    @property
    def hex_colour(self) -> str:
        """The colour as BIDS writes it.

        >>> Label(1, "CSF", (60, 120, 190)).hex_colour
        '#3c78be'
        """
        red, green, blue = self.colour
        return f"#{red:02x}{green:02x}{blue:02x}"


BACKGROUND = Label(0, "background", (0, 0, 0))
TISSUES = (
    Label(1, "CSF", (60, 120, 190)),
    Label(2, "grey matter", (150, 150, 150)),
    Label(3, "white matter", (240, 240, 235)),
)
"""Of `tissue_map.nii.gz`, in the colours of the page."""

ANOMALY = (Label(1, "anomaly", (255, 0, 0)),)
"""Of `anomaly_mask.nii.gz`, in the colour of the DICOM segmentation."""


def lesion_labels(count: int) -> tuple[Label, ...]:
    """Return a label for each lesion, numbered as in `lesions.tsv`; their hues differ.

    >>> [label.name for label in lesion_labels(2)]
    ['lesion 1', 'lesion 2']
    """
    return tuple(
        Label(number, f"lesion {number}", _hue((number - 1) * GOLDEN % 1))
        for number in range(1, count + 1)
    )


def write_label_tables(folder: Path, stem: str, labels: Sequence[Label]) -> list[Path]:
    """Write the tables of one label volume, one a program; none where it has no label.

    Args:
        folder: made where it is missing.
        stem: of the files: the volume's name without its ending.
        labels: those above 0; the background is added.

    Returns:
        The files.

    Raises:
        OutputError: the folder cannot be written.
    """
    if not labels:
        return []
    folder.mkdir(exist_ok=True)
    written = []
    for ending, lines in PROGRAMS.items():
        path = folder / f"{stem}{ending}"
        write_whole(path, "\n".join(lines((BACKGROUND, *labels))) + "\n")
        written.append(path)
    return written


def itksnap_lines(labels: Iterable[Label]) -> list[str]:
    """Return an ITK-SNAP label description file."""
    lines = [
        "################################################",
        "# ITK-SnAP Label Description File",
        "# File format:",
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL",
        "################################################",
    ]
    for label in labels:
        red, green, blue = label.colour
        shown = int(label.number > 0)
        lines.append(
            f"{label.number:5d}   {red:3d}  {green:3d}  {blue:3d}        {shown}  {shown}  {shown}"
            f'    "{label.name.replace(chr(34), chr(39))}"'
        )
    return lines


def fsleyes_lines(labels: Iterable[Label]) -> list[str]:
    """Return a lookup table of FSLeyes."""
    return [
        " ".join((str(label.number), *(f"{part / 255:.5f}" for part in label.colour), label.name))
        for label in labels
    ]


def freesurfer_lines(labels: Iterable[Label]) -> list[str]:
    """Return a colour table of FreeSurfer, as `FreeSurferColorLUT.txt`."""
    return ["#No. Label Name:                 R   G   B   A", *_plain_lines(labels, (0, 0))]


def slicer_lines(labels: Iterable[Label]) -> list[str]:
    """Return a colour table of 3D Slicer (.ctbl), which every version of it reads."""
    lines = _plain_lines(labels, (0, 255))
    return ["# Color table file", f"# {len(lines)} values", *lines]


PROGRAMS: dict[str, Callable[[Iterable[Label]], list[str]]] = {
    "_itksnap.txt": itksnap_lines,
    "_fsleyes.lut": fsleyes_lines,
    "_freesurfer.txt": freesurfer_lines,
    "_slicer.ctbl": slicer_lines,
}
"""Ending of a file to what makes its lines."""


def _plain_lines(labels: Iterable[Label], alpha: tuple[int, int]) -> list[str]:
    """Return `index name R G B A`; `alpha` is that of the background and of all others."""
    return [
        " ".join(
            map(
                str,
                (
                    label.number,
                    "_".join(label.name.split()),
                    *label.colour,
                    alpha[label.number > 0],
                ),
            )
        )
        for label in labels
    ]


def _hue(hue: float) -> tuple[int, int, int]:
    """Return a strong colour of a hue in [0, 1)."""
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, 1.0))
    return red, green, blue
