"""Where a click leads: inside the lesion, in the order of the table."""

from dataclasses import replace

import numpy as np

from anatomaly.geometry import apply_affine
from anatomaly.report.spots import find_spots
from anatomaly.volume import Volume

AFFINE = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -7], [0, 0, 3.0, 4], [0, 0, 0, 1]])


def grid(*filled):
    data = np.zeros((12, 14, 10), np.uint8)
    for where in filled:
        data[where] = 1
    return Volume(data, AFFINE)


def test_a_spot_lies_in_a_bent_piece():
    """An L: its centre of mass lies outside it."""
    mask = grid(np.s_[2:10, 3, 4], np.s_[9, 3:11, 4], np.s_[2, 12, 8])
    spots = find_spots(mask, None)
    assert len(spots) == 2
    for spot in spots:
        index = apply_affine(np.linalg.inv(AFFINE), np.array(spot.mm)).round().astype(int)
        assert mask.data[tuple(index)] == 1
    assert spots[1].mm == tuple(apply_affine(AFFINE, np.array([2.0, 12, 8])))
    assert find_spots(grid(), None) == []


def test_order_is_that_of_the_table(made):
    distances = [
        np.linalg.norm(np.array(spot.mm) - lesion.centre_scanner_mm)
        for spot, lesion in zip(made.spots, made.lesions, strict=True)
    ]
    assert max(distances) < 2.0  # round pieces: the centre is inside, less than a voxel away


def test_what_hugs_the_edge_of_the_brain_is_said():
    """Spacing 1.5, 2 and 3 mm: a first layer is at the rim, the middle of 14 mm is not."""
    brain = grid(np.s_[1:11, 1:13, 1:9])
    mask = grid(np.s_[1:3, 3:9, 2:6], np.s_[5:7, 6:8, 4:6])
    assert [spot.is_at_rim for spot in find_spots(mask, brain)] == [True, False]
    assert not any(spot.is_at_rim for spot in find_spots(mask, None))
    everything = replace(brain, data=np.ones_like(brain.data))
    assert [spot.is_at_rim for spot in find_spots(mask, everything)] == [True, False]
