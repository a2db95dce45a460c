"""FreeSurfer's formats under all their names."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.scan.read import read_scan


@pytest.mark.parametrize("name", ["T1.mgh", "T1.mgz", "T1.MGZ", "T1.mgh.gz"])
def test_every_name_is_read(tmp_path: Path, head: np.ndarray, oblique: np.ndarray, name: str):
    plain = tmp_path / "plain.mgh"
    nib.MGHImage(head, oblique).to_filename(plain)
    path = tmp_path / name
    content = plain.read_bytes()
    path.write_bytes(content if name == "T1.mgh" else gzip.compress(content))
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    np.testing.assert_allclose(scan.volume.affine, oblique, atol=2e-5)
    assert (scan.name, scan.sequence_hint, scan.warnings) == ("T1", "T1w", ())
