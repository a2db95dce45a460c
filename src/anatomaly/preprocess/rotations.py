"""The 24 rotations that map axes onto axes: every way in which a header can turn a head."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from anatomaly.types import FloatArray


def rotations() -> list[FloatArray]:
    """Return the 24 rotations (3, 3) that map axes onto axes, the identity first.

    >>> len(rotations()), rotations()[0].tolist()
    (24, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    """
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0:
                found.append(turn)
    return sorted(found, key=lambda turn: -float(np.trace(turn)))
