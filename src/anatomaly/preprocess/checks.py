"""When a prepared brain is too doubtful to be coloured, and when it only needs a warning.

Refused is what cannot be used; everything else runs with a warning. A mask that fits and a head the
right way up are enough to run. Limits: benchmarks/gate.py, docs/decisions/0002.
"""

from __future__ import annotations

from anatomaly.preprocess.quality import Fit

PLAUSIBLE_ML = (600.0, 2300.0)
"""Volume of a whole brain with its CSF; healthy adults have 1000 to 1900 mL."""

LEAST_PART_ML = 200.0
"""Volume of the smallest part of a brain that is looked at."""

LEAST_DICE = 0.80
USUAL_DICE = 0.90
"""Overlap of the outlines where the scan covers them."""

USUAL_OUTLINE_MARGIN = 0.03
"""How much better the outline fits than the wrong way round; of a part in proportion."""

MOST_SHIFT_MM = 6.0
"""Farther off, the outline has a better place: two steps of the search or more."""

MOST_STRETCH = 1.7
USUAL_STRETCH = 1.45
"""Largest by smallest scale of the affine."""

LEAST_CORRELATION = 0.03
USUAL_CORRELATION = 0.06
"""Agreement of fine structure with the template's tissues."""

USUAL_MARGIN = 1.3
"""How many times better the tissues fit than the wrong way round."""

MOST_MISSING = 0.6
USUAL_MISSING = 0.03
"""Share of the brain outside the field of view."""


def doubts_about_volume(volume_ml: float, missing: float = 0.0) -> str | None:
    """Return why the size of the mask cannot be right, None if it can.

    Args:
        volume_ml: of the mask.
        missing: share of the brain that the scan does not cover, 0 to 1.
    """
    low, high = PLAUSIBLE_ML
    low *= 1.0 - missing
    if low <= volume_ml <= high:
        return None
    return (
        f"the brain mask holds {volume_ml:.0f} mL, a brain {low:.0f} to {high:.0f} mL: look at the "
        "scan; give a mask with --brain-mask FILE, or go on with --force"
    )


def refusal_of(fit: Fit) -> str | None:
    """Return why a brain in this place cannot be used, None if it can."""
    looks_like_nothing = fit.correlation < LEAST_CORRELATION and fit.margin < USUAL_MARGIN
    is_not_upright = _outline_is_doubtful(fit) and _tissues_are_doubtful(fit)
    reasons = {
        f"mask overlap (Dice) {fit.dice:.2f}, at least {LEAST_DICE}": fit.dice < LEAST_DICE,
        f"{fit.missing:.0%} of the brain missing, at most {MOST_MISSING:.0%}": (
            fit.missing > MOST_MISSING
        ),
        f"stretched {fit.stretch:.2f} times as much along one axis as along another, at most "
        f"{MOST_STRETCH}": fit.stretch > MOST_STRETCH,
        f"nothing inside looks like a brain (tissue agreement {fit.correlation:.2f}, at least "
        f"{LEAST_CORRELATION})": looks_like_nothing,
        f"neither outline (margin {fit.outline_margin:.2f}, at least {USUAL_OUTLINE_MARGIN}) "
        f"nor tissues (agreement {fit.correlation:.2f}, {fit.margin:.2f} times as well as "
        "upside down) are those of an upright brain": is_not_upright and not looks_like_nothing,
    }
    if not any(reasons.values()):
        return None
    return (
        f"the brain does not fit the template ({_joined(reasons)}): is this a head, upright in "
        "its header? Give a better mask with --brain-mask FILE, or go on with --force"
    )


def doubts_about(fit: Fit) -> str | None:
    """Return what is unusual about a brain in this place, None where nothing is."""
    doubts = {
        f"mask overlap (Dice) {fit.dice:.2f}, usual {USUAL_DICE} or more": fit.dice < USUAL_DICE,
        f"its outline fits hardly better than the wrong way round (by {fit.outline_margin:.2f},"
        f" usual {USUAL_OUTLINE_MARGIN} or more)": _outline_is_doubtful(fit),
        f"its outline would fit better {fit.shift_mm:.0f} mm away": fit.shift_mm > MOST_SHIFT_MM,
        f"stretched {fit.stretch:.2f} times as much along one axis as along another, usual "
        f"{USUAL_STRETCH} or less": fit.stretch > USUAL_STRETCH,
        f"its tissues are hardly seen (agreement {fit.correlation:.2f}, usual "
        f"{USUAL_CORRELATION} or more; {fit.margin:.2f} times as well as upside down, usual "
        f"{USUAL_MARGIN} or more)": _tissues_are_doubtful(fit),
    }
    if not any(doubts.values()):
        return None
    return (
        f"the fit to the template is doubtful: {_joined(doubts)}; look whether the brain mask "
        "and the tissue map follow the scan before you believe a finding"
    )


def _joined(doubts: dict[str, bool]) -> str:
    """Join the sentences that apply."""
    return "; ".join(text for text, applies in doubts.items() if applies)


def _outline_is_doubtful(fit: Fit) -> bool:
    """Tell whether the outline does not say which way round the brain lies."""
    return fit.outline_margin < USUAL_OUTLINE_MARGIN * (1.0 - fit.missing)


def _tissues_are_doubtful(fit: Fit) -> bool:
    """Tell whether the tissues say nothing about the place of the brain."""
    return fit.correlation < USUAL_CORRELATION or fit.margin < USUAL_MARGIN


def doubts_about_coverage(missing: float, sides: dict[str, float]) -> str | None:
    """Return which part of the brain lies outside the scan, None where next to nothing does.

    Args:
        missing: share of the brain, 0 to 1.
        sides: of `Coverage.missing_sides`.

    >>> print(doubts_about_coverage(0.23, {"front": 0.21, "bottom": 0.02}))
    the scan does not cover the whole brain: about 23 % is missing (front); nothing is scored there
    """
    if missing <= USUAL_MISSING:
        return None
    largest = max(sides.values(), default=0.0)
    named = [side for side, share in sides.items() if share >= max(0.02, largest / 4)]
    where = f" ({', '.join(named)})" if named else ""
    return (
        f"the scan does not cover the whole brain: about {100 * missing:.0f} % is missing{where}; "
        "nothing is scored there"
    )
