from __future__ import annotations

import numpy as np
from nilearn import datasets

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.preprocess.template import load_template


def test_voxels_lie_where_nilearn_has_them():
    theirs = datasets.load_mni152_template(resolution=1)
    ours = load_template().brain
    assert ours.shape == TEMPLATE_SHAPE
    rng = np.random.default_rng(0)
    inside = rng.permutation(np.argwhere(load_template().brain_mask.data))[:500]
    places = apply_affine(TEMPLATE_AFFINE, inside)
    there = np.rint(apply_affine(np.linalg.inv(theirs.affine), places)).astype(int)
    np.testing.assert_array_equal(ours.data[tuple(inside.T)], theirs.get_fdata()[tuple(there.T)])


def test_the_whole_brain_fits_on_the_working_grid():
    whole = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0.5
    assert load_template().brain_mask.data.sum() == whole.sum()


def test_tissues_add_up_to_the_brain():
    template = load_template()
    inside = template.brain_mask.data
    total = (template.cerebrospinal_fluid + template.grey_matter.data + template.white_matter.data)[
        inside
    ]
    assert total.min() > 0.999 and total.max() < 1.05
    assert template.cerebrospinal_fluid[~inside].max() == 0
