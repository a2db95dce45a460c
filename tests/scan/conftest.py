"""Synthetic heads: noise in an ellipsoid on an oblique, anisotropic grid, origin off zero."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

SHAPE = (40, 49, 33)
SPACING_MM = (4.0, 3.5, 5.25)


@pytest.fixture
def head() -> NDArray[np.float32]:
    """(40, 49, 33) float32: air 0, a noisy ellipsoid around 300."""
    random = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    inside = (grid**2).sum(axis=0) < 0.8
    return np.where(inside, random.normal(300, 60, SHAPE), 0).astype(np.float32)


@pytest.fixture
def oblique() -> NDArray[np.float64]:
    """An oblique affine that float32 holds exactly, left-handed, origin far from zero."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", [17, -9, 31], degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(SPACING_MM) @ np.diag([-1, 1, 1])
    affine[:3, 3] = (71.3, -102.7, -33.9)
    return affine.astype(np.float32).astype(np.float64)


@pytest.fixture
def save(tmp_path: Path, oblique: NDArray[np.float64]) -> Callable[..., Path]:
    """Write an array as NIfTI into a folder of its own and return the path."""

    def write(
        data: NDArray[np.generic],
        name: str = "scan.nii.gz",
        affine: NDArray[np.float64] | None = None,
        sform_code: int = 1,
        qform_code: int = 1,
        unit: str = "mm",
    ) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        where = oblique if affine is None else affine
        header = nib.Nifti1Image(data, where).header
        header.set_xyzt_units(unit, "sec")
        header.set_qform(where, qform_code)
        header["sform_code"] = sform_code
        nib.Nifti1Image(data, None, header).to_filename(folder / name)
        return folder / name

    return write


@pytest.fixture
def poke() -> Callable[..., Path]:
    """Overwrite header fields of an uncompressed NIfTI-1 file, past nibabel's care."""

    def overwrite(path: Path, **fields: object) -> Path:
        content = bytearray(path.read_bytes())
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        for key, value in fields.items():
            header[key] = value
        content[:348] = header.binaryblock
        path.write_bytes(content)
        return path

    return overwrite


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call after a refusal: no file appeared beside the input or in the temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    inputs = tmp_path / "in"
    inputs.mkdir(exist_ok=True)

    def check() -> None:
        assert list(temporary.iterdir()) == []
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "temporary"]

    return check
