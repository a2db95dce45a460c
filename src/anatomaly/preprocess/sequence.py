"""Guess the sequence from the brightness order of CSF, grey and white matter."""

from __future__ import annotations

import numpy as np

from anatomaly.preprocess.template import LEAST_PRIOR, load_template
from anatomaly.types import FloatArray, MrSequence, SequenceOption
from anatomaly.volume import Volume

GREY_TO_WHITE = 0.16
"""(white - grey) / (white - CSF): T1w scans have 0.22 to 0.5, FLAIR scans 0.12 or less."""

LEAST_CONFIDENCE = 0.2
"""Below, a guess is reported as a weak one."""

SURE = 0.75
"""From here the image decides against words: benchmarks/results/unusual.md counts the errors."""

UNSURE = 0.7
"""Confidence where a quarter of white matter is surely as in FLAIR and another as in T1w."""

_SURELY = 0.06
"""That far from `GREY_TO_WHITE` no ordinary scan of the other sequence is."""


def guess_sequence(image: Volume, brain_mask: Volume) -> tuple[MrSequence, float]:
    """Tell T1w, T2w and FLAIR apart by their tissues.

    CSF brighter than grey and white matter: T2w. CSF darkest and white matter clearly brighter
    than grey: T1w. CSF darkest and grey matter as bright as white, or brighter: FLAIR.

    Args:
        image: (160, 192, 160) in [0, 1], working grid.
        brain_mask: bool, same grid.

    Returns:
        The sequence, and a confidence from 0 (on the border between two) to 1.
    """
    template = load_template()
    inside = brain_mask.data & template.brain_mask.data
    values = [image.data[inside & (prior > LEAST_PRIOR)] for prior in template.tissues]
    fluid, grey, white = (float(np.median(v)) if v.size else 0.0 for v in values)
    brightest = max(grey, white)
    above = (fluid - brightest) / max(fluid, brightest, 1e-6)
    if above > 0:
        return "T2w", _confidence(above, 0.2)
    contrast = (white - grey) / max(white - fluid, 1e-6)
    certain = min(_confidence(-above, 0.1), _confidence(contrast - GREY_TO_WHITE, 0.08))
    if _white_matter_disagrees(values[2], grey, fluid):
        certain = min(certain, UNSURE)
    return ("T1w" if contrast > GREY_TO_WHITE else "FLAIR"), certain


def _white_matter_disagrees(values: FloatArray, grey: float, fluid: float) -> bool:
    """Tell whether a quarter of white matter looks as in T1w and another as in FLAIR.

    Confluent lesions turn half of the white matter bright in FLAIR and dark in T1w.
    """
    if not values.size:
        return True
    low, high = (float(v) for v in np.percentile(values, (25.0, 75.0)))
    dark, bright = ((v - grey) / max(v - fluid, 1e-6) for v in (low, high))
    return dark < GREY_TO_WHITE - _SURELY and bright > GREY_TO_WHITE + _SURELY


def choose_sequence(
    option: SequenceOption,
    hint: MrSequence | None,
    image: Volume,
    brain_mask: Volume,
    *,
    trust_image: bool = True,
) -> tuple[MrSequence, float, str | None]:
    """Return what the user told, else what the image surely is, else the hint, else the guess.

    Args:
        option: what the user told.
        hint: what the file's name or description says; it loses to an image that is sure.
        image: (160, 192, 160) in [0, 1], working grid.
        brain_mask: bool, same grid.
        trust_image: False where the tissues may not look as in an adult's structural scan: then
            a hint stands.

    Returns:
        The sequence, the confidence of the guess, and a warning where the guess disagrees with
        what was said, or where nothing was said and the guess is a weak one.
    """
    guess, confidence = guess_sequence(image, brain_mask)
    said = option if option != "auto" else hint
    if said is None:
        weak = (
            f"the sequence was guessed as {guess} with little confidence ({confidence:.2f}); "
            "tell it with --sequence"
        )
        return guess, confidence, weak if confidence < LEAST_CONFIDENCE else None
    image_decides = option == "auto" and trust_image and confidence >= SURE
    used = guess if image_decides else said
    if said == guess or confidence < LEAST_CONFIDENCE:
        return used, confidence, None
    source = "the option" if option != "auto" else "the file's name or description"
    remedy = f"; if it is {said}, say so with --sequence {said}" if image_decides else ""
    doubt = (
        f"{source} says {said}, the image looks like {guess} (confidence {confidence:.2f}); "
        f"{used} was used{remedy}"
    )
    return used, confidence, doubt


def _confidence(distance: float, sure: float) -> float:
    """Return 0 on the border and 1 from the distance at which there is no doubt."""
    return float(min(1.0, abs(distance) / sure))
