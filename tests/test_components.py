"""Numbers of lesions, against components found one voxel at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anatomaly.components import as_label_volume, number_lesions


def pieces_of(mask):
    """Voxels of each piece, by flood fill over 26 neighbours, in order of the first voxel."""
    left = {tuple(v) for v in np.argwhere(mask)}
    pieces = []
    for seed in sorted(left):
        if seed not in left:
            continue
        piece, stack = set(), [seed]
        left.discard(seed)
        while stack:
            at = stack.pop()
            piece.add(at)
            for step in np.ndindex(3, 3, 3):
                near = tuple(a + s - 1 for a, s in zip(at, step, strict=True))
                if near in left:
                    left.discard(near)
                    stack.append(near)
        pieces.append(piece)
    return pieces


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3))
def test_largest_first_and_equal_ones_by_their_first_voxel(seed, share):
    mask = np.random.default_rng(seed).random((7, 5, 6)) < share
    numbered = number_lesions(mask.astype(np.float32))
    assert numbered.shape == mask.shape and numbered.dtype == np.int32
    assert np.array_equal(numbered > 0, mask)
    pieces = sorted(pieces_of(mask), key=len, reverse=True)  # stable
    assert numbered.max(initial=0) == len(pieces)
    for number, piece in enumerate(pieces, start=1):
        assert {tuple(v) for v in np.argwhere(numbered == number)} == piece


def test_files_hold_16_bits_as_long_as_they_can():
    numbered = np.array([[[0, 65_535]]], np.int32)
    assert as_label_volume(numbered).dtype == np.uint16
    assert as_label_volume(numbered + 1).tolist() == [[[1, 65_536]]]
