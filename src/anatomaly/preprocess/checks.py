"""When a prepared brain is too doubtful to be coloured; measured in docs/decisions/0002."""

from __future__ import annotations

from anatomaly.preprocess.register import Registration

PLAUSIBLE_ML = (600.0, 2300.0)
"""Volume of a brain with its CSF; healthy adults have 1000 to 1900 mL."""

LEAST_DICE = 0.88
"""Good scans: 0.92 and more. Half a head: 0.66 and less. A mask 30 mm off: 0.86 and less."""

LEAST_CORRELATION = 0.27
"""Good scans: 0.35 and more. An orange 0.11, blobs in the shape of a brain 0.19."""

LEAST_MARGIN = 1.3
"""Good scans: 1.65 and more. Brains registered the wrong way round: 1.14 and less."""


def doubts_about_volume(volume_ml: float) -> str | None:
    """Return why the size of the mask cannot be right, None if it can."""
    low, high = PLAUSIBLE_ML
    if low <= volume_ml <= high:
        return None
    return (
        f"the brain mask holds {volume_ml:.0f} mL, a brain {low:.0f} to {high:.0f} mL: look at the "
        "scan; give a mask with --brain-mask FILE, or go on with --force"
    )


def doubts_about_registration(registration: Registration) -> str | None:
    """Return why the fit to the template cannot be trusted, None if it can."""
    poor = []
    if registration.dice < LEAST_DICE:
        poor.append(f"mask overlap (Dice) {registration.dice:.2f}, at least {LEAST_DICE}")
    if registration.correlation < LEAST_CORRELATION:
        poor.append(
            f"tissue agreement {registration.correlation:.2f}, at least {LEAST_CORRELATION}"
        )
    if registration.margin < LEAST_MARGIN:
        poor.append(
            f"its tissues fit only {registration.margin:.2f} times as well as upside down, at "
            f"least {LEAST_MARGIN}"
        )
    if not poor:
        return None
    return (
        f"the brain does not fit the template ({'; '.join(poor)}): is this a whole head, upright "
        "in its header? Give a better mask with --brain-mask FILE, or go on with --force"
    )
