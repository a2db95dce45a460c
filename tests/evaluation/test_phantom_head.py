"""The head of the phantom: shells in their order, tissue shares that add up, smooth fields."""

import numpy as np
import pytest

from anatomaly.evaluation.phantom_head import (
    CONTRASTS,
    CSF_GAP_MM,
    SCALP_MM,
    SKULL_MM,
    sample_anatomy,
    shells,
    smooth_field,
)


def test_shells_from_inside_out():
    depth = np.array([1.0, CSF_GAP_MM + 1.2, CSF_GAP_MM + SKULL_MM + 2, 30.0], np.float32)
    t1w, t2w = shells(depth, CONTRASTS["T1w"]), shells(depth, CONTRASTS["T2w"])
    assert t2w[0] == CONTRASTS["T2w"].csf
    assert t1w[1] < 0.05  # compact bone is dark in every sequence
    assert t2w[1] < 0.05
    assert t1w[2] == pytest.approx(0.95)  # fat is bright in T1w
    assert t1w[3] == t2w[3] == 0  # air
    assert depth[2] < CSF_GAP_MM + SKULL_MM + SCALP_MM


def test_tissue_at_known_places():
    """White matter of the centrum semiovale, CSF of a lateral ventricle, air far away."""
    at = np.array([[25.0, -20, 32], [6.0, 8, 12], [0.0, 0, 130]], np.float32)
    grey, white, csf, outside_mm = sample_anatomy(at.T.reshape(3, 3, 1, 1))
    assert white[0] > 0.9
    assert csf[1] > 0.8
    assert (grey + white + csf)[2] == 0
    np.testing.assert_allclose((grey + white + csf)[:2], 1, atol=1e-3)
    assert outside_mm[2] > 20
    assert outside_mm[:2].max() == 0


@pytest.mark.parametrize("place", [(0, -28, -35), (8, -28, -30), (6, -20, -14), (0, -40, -55)])
def test_the_brainstem_is_mostly_white(place):
    """Pons, midbrain and medulla are nearly as bright as white matter in T1w scans of people."""
    grey, white, csf, _ = (part.item() for part in sample_anatomy(_point(place)))
    assert white > 0.8
    assert grey + white + csf == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("place", [(0, -55, -20), (22, -12, -20)])
def test_grey_matter_beside_the_brainstem_stays_grey(place):
    grey, white, *_ = (part.item() for part in sample_anatomy(_point(place)))
    assert grey > 0.7
    assert white < 0.3


def _point(place: tuple[float, float, float]) -> np.ndarray:
    return np.array(place, np.float32).reshape(3, 1, 1, 1)


def test_field_has_the_asked_deviation_and_is_smooth():
    line = np.zeros((3, 300, 40, 1), np.float32)
    line[0] = np.linspace(-150, 150, 300)[:, None, None]
    line[1] = np.linspace(-150, 150, 40)[None, :, None]
    field = smooth_field(line, 20.0, 2.0, np.random.default_rng(5))
    assert 1.0 < field.std() < 2.6  # cubic interpolation lowers the deviation between the points
    assert np.abs(np.diff(field[:, :, 0], axis=0)).max() < 1.0  # mm per mm: it does not fold
