from __future__ import annotations

import numpy as np
import pytest

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.coverage import find_coverage
from anatomaly.preprocess.register_outline import fit_outline
from anatomaly.volume import Volume

MOVED = np.array(
    [[0.92, 0.1, 0, 12], [-0.1, 0.9, 0.06, -25], [0.0, -0.06, 0.94, 17], [0, 0, 0, 1.0]]
)


@pytest.mark.parametrize("share", [0.0, 0.35])
def test_outline_alone_finds_the_place_of_a_whole_and_of_a_cut_brain(make_phantom, share):
    volume, mask = make_phantom("T1w", MOVED)
    everywhere = apply_affine(mask.affine, np.indices(mask.shape).reshape(3, -1).T)
    front = everywhere[:, 1].reshape(mask.shape)
    low, high = front[mask.data].min(), front[mask.data].max()
    left = Volume(mask.data & (front < high - share * (high - low)), mask.affine)
    found = fit_outline(left, find_coverage(volume, left))
    places = apply_affine(mask.affine, np.argwhere(left.data)[::20])
    right = apply_affine(np.linalg.inv(MOVED), places)
    error = np.linalg.norm(apply_affine(found, places) - right, axis=1)
    assert error.mean() < 4.0  # 1 to 3 mm in real brains
