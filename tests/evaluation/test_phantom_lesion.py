"""The planted lesion: its volume is hit, it stays in the tissue, and too large a one is refused."""

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import ConfigError
from anatomaly.evaluation.phantom_lesion import grow_lesion
from anatomaly.volume import Volume

SHAPE = (44, 36, 29)
AFFINE = np.diag([1.5, 1.9, 2.2, 1.0])
HEIGHT_MM = np.full(SHAPE, 20.0, np.float32)


def block_of_white_matter() -> np.ndarray:
    white = np.zeros(SHAPE, np.float32)
    white[6:38, 5:31, 4:25] = 1
    return white


@pytest.mark.parametrize("seed", range(4))
def test_volume_tissue_and_single_piece(seed):
    white = block_of_white_matter()
    share = grow_lesion(
        Volume(white, AFFINE),
        Volume(white > 0, AFFINE),
        HEIGHT_MM,
        3.0,
        np.random.default_rng(seed),
    )
    core = share >= 0.5
    assert core.sum() * np.prod([1.5, 1.9, 2.2]) == pytest.approx(3000, abs=40)
    assert ndimage.label(core, np.ones((3, 3, 3)))[1] == 1
    assert not share[white == 0].any()
    assert 0 <= share.min() <= share.max() <= 1
    assert ((share > 0.05) & (share < 0.45)).any()  # the rim is soft


def test_lesion_keeps_out_of_the_cerebellum():
    white = block_of_white_matter()
    height = HEIGHT_MM.copy()
    height[:, :, :14] = -40
    for seed in range(5):
        share = grow_lesion(
            Volume(white, AFFINE),
            Volume(white > 0, AFFINE),
            height,
            0.5,
            np.random.default_rng(seed),
        )
        assert np.argwhere(share >= 0.5)[:, 2].mean() > 14


def test_too_large_a_lesion_is_refused():
    white = block_of_white_matter()
    with pytest.raises(ConfigError, match="does not fit"):
        grow_lesion(
            Volume(white, AFFINE),
            Volume(white > 0, AFFINE),
            HEIGHT_MM,
            900.0,
            np.random.default_rng(0),
        )
