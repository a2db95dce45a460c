"""From the numbers of a parcellation to the tissue classes that the generator draws.

Two numbering schemes are known: FreeSurfer's (whole-head label maps) and MUSE's (the
parcellations that come with the healthy scans). Both fold into fourteen classes that differ in
intensity in at least one sequence, and those fold into the four classes of a tissue map.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import TrainingError

Scheme = Literal["freesurfer", "muse"]

CLASS_NAMES: tuple[str, ...] = (
    "background",
    "ventricular CSF",
    "sulcal CSF",
    "cortex",
    "striatum",
    "thalamus",
    "pallidum",
    "hippocampus and amygdala",
    "cerebellar cortex",
    "cerebral white matter",
    "cerebellar white matter",
    "brainstem",
    "ventral diencephalon",
    "choroid plexus and vessels",
    "rim",
)
"""Classes of the generator; `rim` is what a brain mask may keep outside the brain proper."""

RIM = CLASS_NAMES.index("rim")

TISSUE_OF_CLASS: NDArray[np.uint8] = np.array(
    [0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 1, 0], dtype=np.uint8
)
"""Tissue (0 background, 1 CSF, 2 grey matter, 3 white matter) of each class."""

_FREESURFER: dict[int, tuple[int, ...]] = {
    1: (4, 5, 14, 15, 43, 44, 72),
    2: (24,),
    3: (3, 42),
    4: (11, 12, 26, 50, 51, 58),
    5: (10, 49),
    6: (13, 52),
    7: (17, 18, 53, 54),
    8: (8, 47),
    9: (2, 41, 25, 57, 77, 78, 79, 251, 252, 253, 254, 255),
    10: (7, 46),
    11: (16,),
    12: (28, 60, 85),
    13: (30, 62, 31, 63, 136, 137, 163, 164),
}
_MUSE: dict[int, tuple[int, ...]] = {
    1: (4, 11, 49, 50, 51, 52),
    2: (1, 46),
    3: tuple(range(100, 208)),
    4: (23, 30, 36, 37, 57, 58),
    5: (59, 60),
    6: (55, 56),
    7: (31, 32, 47, 48, 75, 76),
    8: (38, 39, 71, 72, 73),
    9: tuple(range(81, 96)),
    10: (40, 41),
    11: (35,),
    12: (61, 62, 69),
}


def class_lookup(scheme: Scheme) -> NDArray[np.uint8]:
    """Return a table of 1024 entries from label number to class; unknown labels are background.

    Args:
        scheme: `freesurfer` or `muse`.

    Raises:
        TrainingError: another scheme.

    >>> int(class_lookup("freesurfer")[10]), int(class_lookup("muse")[59])
    (5, 5)
    """
    if scheme not in ("freesurfer", "muse"):
        raise TrainingError(f"label scheme must be freesurfer or muse, got {scheme!r}")
    table = np.zeros(1024, dtype=np.uint8)
    for index, labels in (_FREESURFER if scheme == "freesurfer" else _MUSE).items():
        table[list(labels)] = index
    return table


def to_classes(labels: NDArray[np.integer], scheme: Scheme) -> NDArray[np.uint8]:
    """Fold a parcellation (I, J, K) into classes (I, J, K), values 0 to 13.

    Raises:
        TrainingError: negative labels, labels above 1023, or none that the scheme knows.
    """
    if labels.min() < 0 or labels.max() > 1023:
        raise TrainingError(
            f"labels from {labels.min()} to {labels.max()}: expected {scheme} numbers"
        )
    classes: NDArray[np.uint8] = class_lookup(scheme)[labels]
    if not classes.any():
        raise TrainingError(f"no label of the {scheme} scheme found")
    return classes
