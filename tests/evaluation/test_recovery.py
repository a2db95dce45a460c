"""Found against planted, on masks whose figures can be counted by hand."""

import numpy as np
import pytest

from anatomaly.errors import GeometryError
from anatomaly.evaluation.recovery import measure_recovery
from anatomaly.volume import Volume

AFFINE = np.array([[0, -2.0, 0, 5], [1.0, 0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1.0]])


def box(low: tuple, high: tuple) -> np.ndarray:
    mask = np.zeros((20, 16, 11), np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return mask


PLANTED = box((4, 4, 4), (8, 8, 8))


def test_shifted_and_grown_lesion():
    recovery = measure_recovery(Volume(PLANTED, AFFINE), Volume(box((4, 5, 4), (8, 11, 8)), AFFINE))
    assert recovery.volume_ratio == pytest.approx(96 / 64)
    assert recovery.distance_mm == pytest.approx(4.0)  # 2 voxels of 2 mm along j
    assert recovery.dice == pytest.approx(2 * 48 / (64 + 96))
    assert recovery.others == 0


def test_largest_touching_component_counts_and_far_ones_are_counted_apart():
    found = PLANTED.copy()
    found[5] = 0  # cuts it in a slab of one and a slab of two
    found[12:19, 12:15, :] = 1
    recovery = measure_recovery(Volume(PLANTED, AFFINE), Volume(found, AFFINE))
    assert recovery.volume_ratio == pytest.approx(0.5)
    assert recovery.others == 2


def test_nothing_at_the_place_is_not_found():
    elsewhere = Volume(box((12, 12, 1), (15, 15, 3)), AFFINE)
    assert measure_recovery(Volume(PLANTED, AFFINE), elsewhere) is None


def test_other_shape_is_refused():
    with pytest.raises(GeometryError, match="shape"):
        measure_recovery(Volume(PLANTED, AFFINE), Volume(PLANTED[1:], AFFINE))
