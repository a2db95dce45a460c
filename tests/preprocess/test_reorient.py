from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.reorient import reorient, undo_reorient
from anatomaly.volume import Volume

SHAPE = (5, 7, 4)
TURNS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def _volume(order, signs, tilt):
    affine = np.zeros((4, 4))
    for axis, (place, sign) in enumerate(zip(order, signs, strict=True)):
        affine[place, axis] = sign * (1.0, 1.7, 5.5)[axis]
    affine[3, 3] = 1
    affine[:3, 3] = (-31.0, 12.5, 60.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    return Volume(np.arange(np.prod(SHAPE)).reshape(SHAPE), turn @ affine)


@pytest.mark.parametrize(("order", "signs"), TURNS)
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_every_voxel_keeps_its_place_and_value(order, signs, tilt):
    before = _volume(order, signs, tilt)
    after, _ = reorient(before)
    assert nib.aff2axcodes(after.affine) == ("R", "A", "S")
    where = {value: place for place, value in np.ndenumerate(after.data)}
    for place, value in np.ndenumerate(before.data):
        np.testing.assert_allclose(
            apply_affine(before.affine, np.array(place)),
            apply_affine(after.affine, np.array(where[value])),
            atol=1e-9,
        )


@pytest.mark.parametrize(("order", "signs"), TURNS)
def test_undo_restores_array_and_affine_exactly(order, signs):
    before = _volume(order, signs, 0.2)
    back = undo_reorient(*reorient(before))
    np.testing.assert_array_equal(back.data, before.data)
    np.testing.assert_array_equal(back.affine, before.affine)


def test_agrees_with_nibabel_canonical_form():
    before = _volume((2, 0, 1), (-1, 1, -1), 0.1)
    canonical = nib.as_closest_canonical(
        nib.Nifti1Image(before.data.astype(np.int32), before.affine)
    )
    after, _ = reorient(before)
    np.testing.assert_array_equal(after.data, np.asarray(canonical.dataobj))
    np.testing.assert_allclose(after.affine, canonical.affine)
