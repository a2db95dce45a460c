"""Tiny imitations of the folders that providers ship."""

import nibabel as nib
import numpy as np
import pytest

SHAPE = (6, 7, 5)


@pytest.fixture(name="write")
def fixture_write(tmp_path):
    """Write `path: kind` below a folder: 'scan', 'lesion' (2×2×2 of 1), 'other' (1 and 2), 'none'.

    Each scan is another one. A second element of a value is an affine.
    """
    rng = np.random.default_rng(0)

    def write(files, folder=tmp_path):
        for name, kind in files.items():
            affine = np.diag([1.0, 1.0, 2.0, 1.0])
            if isinstance(kind, tuple):
                kind, affine = kind
            data = np.zeros(SHAPE, np.int16)
            if kind == "scan":
                data = rng.integers(100, 900, SHAPE).astype(np.int16)
                data[0] = 0
            if kind in ("lesion", "other"):
                data[2:4, 2:4, 1:3] = 1
            if kind == "other":
                data[4, 4, 4] = 2
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(data, affine), path)
        return folder

    return write
