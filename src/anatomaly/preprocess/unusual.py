"""Tell what is no ordinary structural scan of an adult, from what was measured.

Every limit was set on scans that are ordinary and on imitations of what is not; the figures stand
in benchmarks/results/unusual.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from anatomaly.preprocess.appearance import Appearance
from anatomaly.types import MrSequence

LEAST_COVER = 0.25
"""Signal of skull and scalp over the brain's. Structural scans: 0.43 and more. Imitated
echo-planar images: 0.12 and less, even where the mask is 4 mm too tight."""

COARSE_MM = 1.7
"""T2w and FLAIR are scanned finer than this along one axis at least; echo-planar images seldom."""

LEAST_GIRTH_MM = 505.0
"""Adults: 514 and more. At two years a head has 455 to 515, before the first birthday 470 at most
(WHO child growth standards)."""

SMALL_GIRTH_MM, THIN_COVER_MM = 525.0, 10.2
"""Together they tell a child: adults with so small a head have 11.6 mm around the brain."""

SMALL_BRAIN_ML = 1250.0
"""Takes the place of the small girth where the field of view cuts the head."""

LEAST_BRAIN_ML = 1000.0
"""With CSF. Adults: 1099 and more. Imitated infants below 20 months: 980 and less."""

FORCED_BRAIN_ML, FORCED_GIRTH_MM = 900.0, 480.0
"""Below both no adult is left: the run stops. Volume alone never stops it: masks without CSF, and
atrophy, make brains as small."""

MOST_VEIN = 1.3
"""Brightness of the straight sinus, white matter 1. Without contrast agent: 1.16 at most."""

MOST_BRIGHT_ML = 3.0
"""Brain brighter than 1.5 times white matter over CSF. Without contrast agent: 0.3 mL at most."""

GO_ON = ", or go on with --force"


@dataclass(frozen=True)
class Doubt:
    """Why a scan is not what the networks were made for.

    Attributes:
        kind: `echo-planar`, `infant` or `contrast agent`.
        text: what was measured and what it means, one sentence.
        is_great: True where a result would say nothing about lesions.
    """

    kind: str
    text: str
    is_great: bool = False


def find_doubts(appearance: Appearance, sequence: MrSequence) -> tuple[Doubt, ...]:
    """Return every reason to think that this is no ordinary structural scan of an adult.

    Args:
        appearance: what was measured.
        sequence: what the scan was taken for.
    """
    doubts = (
        doubt_about_cover(appearance),
        doubt_about_resolution(appearance, sequence),
        doubt_about_age(appearance),
        doubt_about_contrast_agent(appearance, sequence),
    )
    return tuple(doubt for doubt in doubts if doubt is not None)


def shows_an_adult(appearance: Appearance) -> bool:
    """Return whether the tissues may tell the sequence: those of a child or of a map do not."""
    return doubt_about_cover(appearance) is None and doubt_about_age(appearance) is None


def doubt_about_cover(appearance: Appearance) -> Doubt | None:
    """Doubt a scan with skull in which skull and scalp give no signal."""
    signal = appearance.cover_signal
    if signal is None or signal >= LEAST_COVER:
        return None
    text = (
        f"around the brain there is hardly any signal of skull and scalp ({signal:.2f} of the "
        f"brain's, structural scans have {LEAST_COVER} or more): this looks like an echo-planar "
        "image (diffusion, perfusion, functional) or another map, whose distortion and dropout "
        "are coloured as lesions; give a structural T1w, T2w or FLAIR scan"
    )
    great = appearance.finest_mm >= COARSE_MM
    return Doubt("echo-planar", text + (GO_ON if great else ""), great)


def doubt_about_resolution(appearance: Appearance, sequence: MrSequence) -> Doubt | None:
    """Doubt a T2w or FLAIR scan that is coarse along every axis and has no skull to look at."""
    is_fine = sequence == "T1w" or appearance.finest_mm < COARSE_MM
    if is_fine or appearance.cover_signal is not None:
        return None
    text = (
        f"no axis is finer than {appearance.finest_mm:.1f} mm (structural {sequence} scans: at "
        f"most {COARSE_MM} mm along one) and there is no skull to judge by: if this is an "
        "echo-planar image (diffusion, perfusion, functional), what is coloured is its distortion"
    )
    return Doubt("echo-planar", text)


def doubt_about_age(appearance: Appearance) -> Doubt | None:
    """Doubt a head or brain that is too small for an adult."""
    girth, cover, brain_ml = appearance.girth_mm, appearance.cover_mm, appearance.brain_ml
    thin = cover is not None and cover < THIN_COVER_MM
    small = girth < SMALL_GIRTH_MM if girth is not None else brain_ml < SMALL_BRAIN_ML
    marks = []
    if girth is not None and (girth < LEAST_GIRTH_MM or (thin and small)):
        marks.append(f"a circumference of {girth / 10:.1f} cm, adults {LEAST_GIRTH_MM / 10} and up")
    if cover is not None and thin and small:
        marks.append(f"skull and scalp of {cover:.0f} mm, adults 10 to 18")
    if brain_ml < LEAST_BRAIN_ML:
        marks.append(f"a brain of {brain_ml:.0f} mL, adults {LEAST_BRAIN_ML:.0f} and up")
    if not marks:
        return None
    great = girth is not None and girth < FORCED_GIRTH_MM and brain_ml < FORCED_BRAIN_ML
    text = (
        f"the head is small for an adult ({'; '.join(marks)}): if this is a child, white matter "
        "that is not yet myelinated is coloured as a lesion; the networks know adults only"
    )
    return Doubt("infant", text + (GO_ON if great else ""), great)


def doubt_about_contrast_agent(appearance: Appearance, sequence: MrSequence) -> Doubt | None:
    """Doubt a T1w scan in which veins or parts of the brain outshine white matter."""
    veins, bright_ml = appearance.vein_brightness or 0.0, appearance.bright_ml or 0.0
    marks = []
    if veins > MOST_VEIN:
        marks.append(
            f"the veins in the midline are {veins:.1f} times as bright as white matter above CSF, "
            f"without contrast agent at most {MOST_VEIN}"
        )
    if bright_ml > MOST_BRIGHT_ML:
        marks.append(f"{bright_ml:.0f} mL of the brain outshine white matter by half")
    if sequence != "T1w" or not marks:
        return None
    text = (
        f"the scan looks like one with contrast agent, an angiogram, or one with fresh blood "
        f"({'; '.join(marks)}): vessels, dura and plexus are coloured too; a scan without "
        "contrast agent is what the networks know"
    )
    return Doubt("contrast agent", text)
