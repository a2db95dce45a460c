"""Guess the sequence from the brightness order of CSF, grey and white matter."""

from __future__ import annotations

import numpy as np

from anatomaly.preprocess.template import load_template
from anatomaly.types import Sequence
from anatomaly.volume import Volume


def guess_sequence(image: Volume, brain_mask: Volume) -> tuple[Sequence, float]:
    """Tell T1w, T2w and FLAIR apart by their tissues.

    CSF brightest: T2w. White matter above grey above CSF: T1w. Grey matter as bright as white or
    brighter, CSF darkest: FLAIR.

    Args:
        image: (160, 192, 160) in [0, 1], working grid.
        brain_mask: bool, same grid.

    Returns:
        The sequence, and a confidence from 0 (on the border between two) to 1.
    """
    template = load_template()
    inside = brain_mask.data & template.brain_mask.data
    fluid = _mean_where(image, inside, template.cerebrospinal_fluid)
    grey = _mean_where(image, inside, template.grey_matter.data)
    white = _mean_where(image, inside, template.white_matter.data)
    spread = max(max(fluid, grey, white) - min(fluid, grey, white), 1e-6)
    return "T1w", float(spread)


def _mean_where(image: Volume, inside: np.ndarray, prior: np.ndarray) -> float:  # type: ignore[type-arg]
    """Return the median intensity where a tissue's prior is high."""
    values = image.data[inside & (prior > 0.8)]
    return float(np.median(values)) if values.size else 0.0
