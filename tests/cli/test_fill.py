"""`anatomaly fill` with a result folder: the lesion goes, the rest stays as it was stored."""

import json

import nibabel as nib
import numpy as np
import pytest

from anatomaly.scan.read import sha256_of

SHAPE = (61, 56, 39)
AFFINE = np.array([[-1.5, 0.2, 0, 12], [0.2, 2.0, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])


@pytest.fixture(name="case")
def fixture_case(tmp_path):
    """An int16 scan with a ball of 900 in a brain of 500, and its result folder."""
    places = np.stack(np.indices(SHAPE), -1)
    ball = np.linalg.norm((places - (30, 28, 19)) * (1.5, 2.0, 3.0), axis=-1) < 9
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    brain = np.linalg.norm(places - (30, 28, 19), axis=-1) < 18
    data = (np.where(brain, np.where(ball, 900, 500), 5) + noise * brain).astype(np.int16)
    scan, result = tmp_path / "sub_T1w.nii.gz", tmp_path / "results" / "sub_T1w"
    result.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, AFFINE), scan)
    healthy = np.where(brain, 450, data).astype(np.float32)
    nib.save(nib.Nifti1Image(healthy, AFFINE), result / "pseudo_healthy.nii.gz")
    for name, mask in (("anomaly_mask", ball), ("brain_mask", brain)):
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), AFFINE), result / f"{name}.nii.gz")
    run = dict.fromkeys(("sequence", "weights", "config", "seconds", "versions", "preparation"))
    run["scan"] = {"name": "sub_T1w", "sha256": sha256_of([scan])}
    (result / "run.json").write_text(json.dumps(run))
    return scan, result, data, ball


def test_from_a_result_folder(run, case, tmp_path):
    scan, result, data, ball = case
    out = tmp_path / "filled.nii.gz"
    said = run("fill", scan, "-o", out, "--result", result)
    assert said.exit_code == 0, said.output
    filled = nib.load(out)
    assert filled.get_data_dtype() == np.int16
    np.testing.assert_allclose(filled.affine, AFFINE, atol=1e-5)
    now = np.asanyarray(filled.dataobj)
    np.testing.assert_array_equal(now[~ball], data[~ball])
    assert now[30, 28, 19] == 450 and now[ball].mean() < 700
    volume_ml = ball.sum() * abs(np.linalg.det(AFFINE)) / 1000
    assert f"{volume_ml:.1f} mL filled" in said.stderr


def test_growing_reaches_farther(run, case, tmp_path):
    scan, result, data, ball = case
    changed = []
    for grow in ("0", "4"):
        out = tmp_path / f"filled_{grow}.nii"
        run("fill", scan, "-o", out, "--result", result, "--grow-mm", grow, "--border-mm", "0")
        changed.append(np.asanyarray(nib.load(out).dataobj) != data)
    assert not (changed[0] & ~ball).any()
    assert changed[0].sum() == pytest.approx(ball.sum(), rel=0.01)
    assert 2.2 < changed[1].sum() / ball.sum() < 3.6  # (9 + 4)³ / 9³ = 3.0, and a coarse grid


def test_the_result_of_another_scan_is_refused(run, case, tmp_path):
    scan, result, data, _ = case
    nib.save(nib.Nifti1Image(data + 1, AFFINE), scan)
    said = run("fill", scan, "-o", tmp_path / "o.nii.gz", "--result", result)
    assert said.exit_code == 1 and "result of another scan" in said.stderr
    assert not (tmp_path / "o.nii.gz").exists()


def test_a_result_without_its_volumes_is_refused(run, case, tmp_path):
    scan, result, *_ = case
    (result / "pseudo_healthy.nii.gz").unlink()
    said = run("fill", scan, "-o", tmp_path / "o.nii.gz", "--result", result)
    assert said.exit_code == 1 and "holds no pseudo_healthy.nii.gz" in said.stderr


def test_the_scan_itself_is_never_overwritten(run, case):
    scan, result, data, _ = case
    assert run("fill", scan, "-o", scan, "--result", result).exit_code == 1
    np.testing.assert_array_equal(np.asanyarray(nib.load(scan).dataobj), data)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("filled.txt", "ends with .nii.gz or .nii"),
        ("folder.nii", "is a folder"),
        ("sub_T1w.nii.gz", "is the scan itself"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_scan_is_searched(
    run, fake, case, tmp_path, name, said
):
    (tmp_path / "folder.nii").mkdir()
    done = run("fill", case[0], "-o", tmp_path / name)
    assert done.exit_code == 1
    assert said in done.stderr
    assert fake.seen == []
