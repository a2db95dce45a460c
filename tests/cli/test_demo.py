"""`anatomaly demo` over the fake pipeline, which finds exactly what was planted."""

import json
import re
from functools import partial

import nibabel as nib
import pytest

from anatomaly.evaluation import phantom


@pytest.fixture(autouse=True)
def fixture_coarse_phantom(monkeypatch):
    """Thrice the voxel size: the demo is the same, only faster."""
    coarse = partial(phantom.make_phantom, coarseness=3.0)
    monkeypatch.setattr(phantom, "make_phantom", coarse)


def test_demo_prints_found_against_planted(run, fake, tmp_path):
    result = run("demo", "-o", tmp_path / "demo", "--sequence", "FLAIR", "--seed", "5")
    assert result.exit_code == 0, result.output
    planted = nib.load(tmp_path / "demo" / "phantom_FLAIR_planted.nii.gz")
    scan = nib.load(tmp_path / "demo" / "phantom_FLAIR.nii.gz")
    assert planted.shape == scan.shape
    volume_ml = planted.get_fdata().sum() * abs(nib.affines.voxel_sizes(scan.affine).prod()) / 1000
    row = next(line for line in result.stdout.splitlines() if "phantom_FLAIR" in line)
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", row)]
    # planted, found, centre off by, Dice
    assert numbers == [round(volume_ml, 1), round(volume_ml, 1), 0.0, 1.0]
    assert str(tmp_path / "demo" / "phantom_FLAIR" / "report.html") in result.stderr


def test_demo_as_json(run, fake, tmp_path):
    result = run("demo", "-o", tmp_path, "--sequence", "FLAIR", "--json")
    (phantom,) = json.loads(result.stdout)["phantoms"]
    assert phantom["name"] == "phantom_FLAIR" and phantom["found"]["dice"] == 1.0
    assert phantom["found"]["ml"] == pytest.approx(phantom["planted_ml"], rel=0.05)
    assert "Found against planted" in result.stderr


def test_demo_fails_when_the_lesion_is_not_found(run, fake, tmp_path, monkeypatch):
    def blind(self, path):
        detection = fake.detect_all(self, path)
        data = detection.anomaly_mask.data
        detection.anomaly_mask = detection.anomaly_mask.with_data(data * 0)
        return detection

    fake.detect_all = fake.detect
    monkeypatch.setattr(fake, "detect", blind)
    result = run("demo", "-o", tmp_path, "--sequence", "T2w")
    assert result.exit_code == 1
    assert "not found" in result.stdout
