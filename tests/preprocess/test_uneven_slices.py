from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.crop import crop_to_content
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.uneven_slices import doubts_about_slices
from anatomaly.volume import Volume

SHAPE = (60, 66, 54)
AXES = ("sagittal", "coronal", "axial")


def _head() -> np.ndarray:
    rng = np.random.default_rng(0)
    places = np.stack(np.indices(SHAPE), -1) / (np.array(SHAPE) - 1) * 2 - 1
    inside = np.linalg.norm(places, axis=-1) < 0.9
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 3)
    data = 200 + 80 * smooth / np.abs(smooth).max() + rng.normal(0, 6, SHAPE)
    return np.where(inside, data, np.abs(rng.normal(0, 3, SHAPE))).astype(np.float32)


def _doubts(data: np.ndarray, affine: np.ndarray) -> list[str]:
    turned, reorientation = reorient(Volume(data, affine))
    content, crop = crop_to_content(turned, find_usual_range(turned.data))
    return doubts_about_slices(content, find_usual_range(content.data), reorientation, crop)


@pytest.mark.parametrize("factor", [0.0, 0.3, 2.5, 40.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_do_not_fit_are_named(axis, factor):
    data = _head()
    some = [slice(None)] * 3
    some[axis] = slice(29, 31)
    data[tuple(some)] *= factor
    (said,) = _doubts(data, np.eye(4))
    assert said.startswith(f"{AXES[axis]} slices 30 to 31 (counted from 1")


def test_slices_are_counted_as_in_the_file():
    data = np.pad(_head(), ((0, 0), (0, 0), (7, 2)))
    data[:, :, 20] = 0
    data[:, :, 40] *= 3
    flipped = np.array([[0, -1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 0, 0, 1]])
    for affine in (np.eye(4), flipped):
        (said,) = _doubts(data, affine)
        assert said.startswith("axial slices 21, 41 (")


def test_interleaved_slices_of_a_fifth_and_a_coil_are_no_doubt():
    data = _head()
    data[:, :, ::2] *= 1.2
    data *= np.linspace(0.5, 2, SHAPE[0], dtype=np.float32)[:, None, None]
    assert _doubts(data, np.eye(4)) == []


def test_empty_image_gives_no_doubt():
    assert _doubts(np.zeros((6, 7, 8), dtype=np.float32), np.eye(4)) == []
