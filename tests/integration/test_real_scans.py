"""Every real scan goes through and comes back on its own grid; needs the data folder, slow."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.pipeline import Detector


@pytest.fixture(scope="module", name="detector")
def fixture_detector() -> Detector:
    """Weights are loaded once."""
    return Detector()


@pytest.mark.slow
def test_every_scan_returns_on_its_own_grid(
    detector: Detector, data_folder: Path, tmp_path: Path
) -> None:
    """Affine bit for bit, shape, and a pseudo-healthy image that is the scan outside the brain."""
    scans = sorted((data_folder / "raw_heads").glob("*/*.nii.gz"))
    scans += sorted(
        path
        for name in ("T1w", "T2w", "FLAIR")
        for path in (data_folder / "cases").glob(f"*/{name}.nii.gz")
    )
    assert len(scans) >= 20
    for path in scans:
        folder = detector.detect(path).save(tmp_path / path.parent.name / path.name.split(".")[0])
        scan = nib.load(path)
        for name in ("anomaly_map", "anomaly_mask", "pseudo_healthy", "tissue_map", "brain_mask"):
            result = nib.load(folder / f"{name}.nii.gz")
            assert result.shape == scan.shape, path
            assert np.array_equal(result.affine, scan.affine), path
        brain = np.asarray(nib.load(folder / "brain_mask.nii.gz").dataobj) > 0
        rebuilt = nib.load(folder / "pseudo_healthy.nii.gz").get_fdata()
        assert np.allclose(rebuilt[~brain], scan.get_fdata()[~brain], atol=1e-2), path
        assert 600 < brain.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000 < 2200, path
