"""The first screen of a page as one sheet of PDF (A4), for archives that hold documents.

What the page says first: warnings, the answer, the picture, the largest findings, what made it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anatomaly.names import shown
from anatomaly.report.answer import Row, answer, say_edits
from anatomaly.report.drawing import new_figure, plain_drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES, MARGIN_INCHES = 8.27, 11.69, 0.55
LINE = 1.32
"""Height of a line, in sizes of its letters."""

MOST_WARNINGS, MOST_CHARACTERS = 5, 300
DISCLAIMER = "Research only - not for diagnostic use. Not a medical device."
INK, FAINT, AMBER, RED = "#16181d", "#5c636e", "#8a5300", "#b00020"
COLUMNS = {
    "No.": 0.0, "Volume, mL": 0.06, "Compared with expected": 0.19, "Peak": 0.42, "Mean": 0.5,
    "MNI x, y, z, mm": 0.58, "Region": 0.76,
}  # fmt: skip
"""Of the table: heading, and where it starts as a share of the width."""


@plain_drawing()
def make_summary_pdf(
    name: str, run: Mapping[str, Any], lesions: Sequence[Row], overview: bytes | None
) -> bytes:
    """Return the sheet.

    Args:
        name: of the scan.
        run: what `run.json` holds.
        lesions: lines of `lesions.tsv`; as many are shown as there is room for.
        overview: PNG of `overview.png`; None leaves it out.
    """
    import matplotlib as mpl

    mpl.rcParams["pdf.fonttype"] = 42  # letters stay letters: the text can be searched
    figure = new_figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), facecolor="white")
    sheet = _Sheet(figure)
    said = answer(run, lesions)
    sheet.write(DISCLAIMER, 10, RED, weight="bold")
    sheet.write(name, 15, weight="bold")
    sheet.write(f"{run['sequence']} · weights {run['weights']['name']}", 9, FAINT)
    if said.warnings:
        count = len(said.warnings)
        plural = "s" if count > 1 else ""
        sheet.skip(0.08)
        sheet.write(f"{count} warning{plural}: read before you trust the result", 10, AMBER, "bold")
        for warning in said.warnings[:MOST_WARNINGS]:
            sheet.write(f"- {textwrap.shorten(warning, MOST_CHARACTERS)}", 8.5, AMBER)
        if count > MOST_WARNINGS:
            sheet.write(f"- {count - MOST_WARNINGS} more in run.json", 8.5, AMBER)
    sheet.skip(0.1)
    sheet.write("Different from what a healthy brain is expected to look like", 9, FAINT)
    sheet.write(said.headline, 20, weight="bold")
    compared = said.comparison.replace("move the threshold below to see", "the page shows")
    for sentence in (compared, say_edits(run), _cut(run), _preparation(said.quality)):
        if sentence:
            sheet.write(sentence, 9.5)
    if overview is not None:
        sheet.show(overview)
    _write_table(sheet, lesions)
    _write_maker(figure, run)
    buffer = io.BytesIO()
    title = {"Title": f"{shown(name)} - anatomaly, research only", "Creator": "anatomaly"}
    figure.savefig(buffer, format="pdf", metadata=title)
    return buffer.getvalue()


class _Sheet:
    """Writes from top to bottom.

    Args:
        figure: of the size of the sheet.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.down_inches = MARGIN_INCHES

    @property
    def left_inches(self) -> float:
        """Room above the lines at the foot."""
        return HEIGHT_INCHES - MARGIN_INCHES - 0.85 - self.down_inches

    def write(self, text: str, size: float, colour: str = INK, weight: str = "normal") -> None:
        """Write a paragraph over the whole width."""
        width = WIDTH_INCHES - 2 * MARGIN_INCHES
        characters = int(width * 72 / (size * (0.6 if weight == "bold" else 0.53)))
        for line in textwrap.wrap(shown(text), characters):
            self.down_inches += size * LINE / 72
            self.put(line, 0.0, size, colour, weight)

    def put(self, text: str, across: float, size: float, colour: str, weight: str) -> None:
        """Write one line at a share of the width, where the sheet has come to."""
        x = (MARGIN_INCHES + across * (WIDTH_INCHES - 2 * MARGIN_INCHES)) / WIDTH_INCHES
        self.figure.text(
            x, 1 - self.down_inches / HEIGHT_INCHES, text, size=size, color=colour, weight=weight,
            va="baseline", parse_math=False,
        )  # fmt: skip

    def skip(self, inches: float) -> None:
        """Leave room."""
        self.down_inches += inches

    def show(self, png: bytes) -> None:
        """Show a picture over the whole width."""
        from PIL import Image

        picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        width = WIDTH_INCHES - 2 * MARGIN_INCHES
        height = width * picture.shape[0] / picture.shape[1]
        self.down_inches += height + 0.15
        place = (
            MARGIN_INCHES / WIDTH_INCHES,
            1 - self.down_inches / HEIGHT_INCHES,
            width / WIDTH_INCHES,
            height / HEIGHT_INCHES,
        )
        axes = self.figure.add_axes(place)
        axes.imshow(picture, aspect="auto", interpolation="none")  # every pixel of it
        axes.set_axis_off()


def _write_table(sheet: _Sheet, lesions: Sequence[Row]) -> None:
    """Write the largest findings, as many as there is room for."""
    size, step = 8.5, 8.5 * LINE / 72
    sheet.skip(0.18)
    if not lesions:
        return
    sheet.skip(step)
    has_regions = any(row.get("region") for row in lesions)
    for heading, across in COLUMNS.items():
        if heading != "Region" or has_regions:
            sheet.put(heading, across, size, FAINT, "normal")
    room = max(0, int(sheet.left_inches / step) - 1)
    for row in lesions[:room]:
        sheet.skip(step)
        for text, across in zip(_cells(row), COLUMNS.values(), strict=True):
            sheet.put(text, across, size, INK, "normal")
    if len(lesions) > room:
        sheet.skip(step)
        sheet.put(f"{len(lesions) - room} more in lesions.tsv", 0.0, size, FAINT, "normal")


def _cells(row: Row) -> tuple[str, ...]:
    """Return a line of the table in the order of `COLUMNS`."""
    mni = ", ".join(f"{float(row[f'{axis}_mni_mm']):.0f}" for axis in "xyz")
    return (
        row["number"],
        f"{float(row['volume_mm3']) / 1000:.2f}",
        row["polarity"],
        f"{float(row['peak_score']):.2f}",
        f"{float(row['mean_score']):.2f}",
        mni,
        textwrap.shorten(shown(row.get("region") or ""), 34, placeholder="…"),
    )


def _cut(run: Mapping[str, Any]) -> str:
    """Say how the mask was cut."""
    said = f"Threshold {float(run['threshold']):.3g}"
    anomaly = run.get("config", {}).get("anomaly", {})
    if "score" in anomaly:
        said += f" on the {anomaly['score']} score"
    if "min_lesion_mm3" in anomaly:
        said += f", pieces from {anomaly['min_lesion_mm3']:g} mm³"
    return said + ". The score is not a probability of disease."


def _preparation(quality: Sequence[Any]) -> str:
    """Say which figures of the preparation good scans do not have."""
    unusual = [f"{line.name} {line.value} ({line.usual})" for line in quality if not line.is_usual]
    if unusual:
        return f"Preparation, not as in good scans: {'; '.join(unusual)}"
    return "Preparation: all figures as in good scans" if quality else ""


def _write_maker(figure: Figure, run: Mapping[str, Any]) -> None:
    """Write at the foot what made the result."""
    weights = run["weights"]
    version = run.get("versions", {}).get("anatomaly", "unknown")
    lines = [
        f"anatomaly {version}, weights {weights['name']} {weights.get('date', '')}".rstrip(),
        f"SHA-256 of the weights {weights['sha256']}",
        "Left in the picture is the patient's left. An empty mask does not mean a healthy brain.",
        DISCLAIMER,
    ]
    figure.text(
        MARGIN_INCHES / WIDTH_INCHES, MARGIN_INCHES / HEIGHT_INCHES, "\n".join(lines), size=7.5,
        color=FAINT, va="bottom", linespacing=1.4, parse_math=False,
    )  # fmt: skip
