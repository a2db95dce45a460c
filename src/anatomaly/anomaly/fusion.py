"""One score out of those of several sequences, on one scale: 0.5 is where each mask is cut."""

from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import ConfigError, GeometryError
from anatomaly.types import FloatArray

FUSED_THRESHOLD = 0.5
"""Above it a fused score is abnormal."""


def relative_score(score: FloatArray, threshold: float) -> NDArray[np.float32]:
    """Bend a score, piecewise linearly, so that its threshold becomes 0.5.

    The scores of two sequences mean different things; their thresholds mean the same, a number of
    false positives in healthy people.

    Args:
        score: any shape, in [0, 1].
        threshold: of its sequence, in (0, 1).

    Returns:
        The same shape, in [0, 1]; 0 and 1 stay.

    Raises:
        ConfigError: the threshold is not between 0 and 1.

    >>> relative_score(np.array([0.0, 0.1, 0.2, 0.6, 1.0]), 0.2).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not 0.0 < threshold < 1.0:
        raise ConfigError(f"a map can be fused where its threshold is in (0, 1), got {threshold}")
    bent = np.interp(score, (0.0, threshold, 1.0), (0.0, FUSED_THRESHOLD, 1.0))
    return np.asarray(bent, dtype=np.float32)


def fuse_scores(relative_scores: Many[FloatArray]) -> NDArray[np.float32]:
    """Return the largest of the relative scores at each place.

    Abnormal is what any sequence finds abnormal: the fused mask is the union of theirs. A sequence
    that does not reach a place scores 0 there, and so says nothing.

    Args:
        relative_scores: of one shape, each in [0, 1].

    Raises:
        GeometryError: shapes differ.
    """
    shapes = {score.shape for score in relative_scores}
    if len(shapes) != 1:
        raise GeometryError(f"scores to fuse must have one shape, found {sorted(shapes)}")
    largest: NDArray[np.float32] = np.max(relative_scores, axis=0).astype(np.float32)
    return largest
