"""A page built again from its folder says and shows what the first one did."""

import json
import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from anatomaly import reopen
from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.errors import ScanError
from anatomaly.reopen import read_run, read_volume, rebuild_page
from anatomaly.report.layers import PageVolumes, make_layers, read_layers
from anatomaly.report.page import PageContent, write_page
from anatomaly.report.spots import find_spots
from anatomaly.scan.read import sha256_of
from anatomaly.volume import Volume

SHAPE, THRESHOLD = (44, 48, 40), 0.4
AFFINE = np.array([[-4.0, 0, 0, 88], [0, 4.2, 0, -100], [0, 0, 4.1, -70], [0, 0, 0, 1]])


def test_a_volume_in_another_unit_is_read_in_mm(tmp_path):
    data = np.zeros((40, 40, 40), np.uint8)
    image = nib.Nifti1Image(data, np.diag([0.002, 0.002, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "mask.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "mask.nii").spacing_mm, 2)


def test_a_damaged_volume_says_so(tmp_path):
    path = tmp_path / "map.nii.gz"
    noise = np.random.default_rng(0).integers(0, 3, (60, 60, 60)).astype(np.uint8)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[8000:] = np.random.default_rng(1).bytes(len(content) - 8000)
    path.write_bytes(content)
    with pytest.raises(ScanError, match="cannot be read"):
        read_volume(path)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    """A result folder with its page; the scan lies where run.json says."""
    monkeypatch.setattr(reopen, "template_tissue_native", lambda grid, affine: volumes.template)
    away = np.linalg.norm((np.stack(np.indices(SHAPE), -1) - (22, 24, 20)) / (15, 17, 13), axis=-1)
    ball = np.linalg.norm(np.stack(np.indices(SHAPE), -1) - (27, 24, 20), axis=-1) < 3.2
    brain = away < 1
    arrays = {
        "brain_mask": brain.astype(np.uint8),
        "scan": np.where(brain, 300 + 90 * np.cos(away * 9), 50.0) + 200 * ball,
        "pseudo_healthy": np.where(brain, 300 + 90 * np.cos(away * 9), 50.0),
        "tissue_map": (brain * (1 + (away * 2.9).astype(int))).clip(0, 3).astype(np.uint8),
        "edges": (np.abs(away - 0.5) < 0.05).astype(np.uint8),
        "structure": 0.7 * ball,
        "anomaly_map": np.where(brain, 0.1 + 0.8 * ball, 0),
        "template": (3 * (away < 0.9)).astype(np.uint8),
    }
    kept = {n: Volume(a if a.dtype == np.uint8 else a.astype(np.float32), AFFINE)
            for n, a in arrays.items()}  # fmt: skip
    volumes = PageVolumes(**kept)
    mask = Volume(ball.astype(np.uint8), AFFINE)
    folder, scan = tmp_path / "results" / "sub", tmp_path / "sub_FLAIR.nii.gz"
    folder.mkdir(parents=True)
    for name in ("brain_mask", "pseudo_healthy", "tissue_map", "anomaly_map"):
        nib.save(nib.Nifti1Image(kept[name].data, AFFINE), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(mask.data, AFFINE), folder / "anomaly_mask.nii.gz")
    nib.save(nib.Nifti1Image(kept["scan"].data, AFFINE), scan)
    volume_mm3 = f"{ball.sum() * 4.0 * 4.2 * 4.1:.1f}"
    row = dict.fromkeys(LESION_COLUMNS, "0")
    row |= {"number": "1", "volume_mm3": volume_mm3, "region": "Thalamus", "mean_score": ".5"}
    row |= {"peak_score": ".9", "polarity": "brighter"}
    table = "\t".join(row) + "\n" + "\t".join(row.values()) + "\n"
    (folder / "lesions.tsv").write_text(table)
    run = {
        "scan": {"name": "sub", "source": str(scan), "sha256": sha256_of([scan])},
        "sequence": "FLAIR", "polarity": "brighter", "device": "cpu", "seconds": {"read": 1.0},
        "weights": {"name": "w", "date": "d", "sha256": "s"}, "versions": {}, "warnings": [],
        "config": {"anomaly": {"score": "hybrid", "threshold": None, "min_lesion_mm3": 20.0}},
        "preparation": {"scanner_to_template": np.eye(4).tolist(), "quality": {}, "steps": []},
        "threshold": THRESHOLD, "lesions": 1,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    layers = make_layers(volumes, THRESHOLD)
    spots = find_spots(mask, kept["brain_mask"])
    write_page(folder / "report.html", PageContent("sub", run, [row], spots, layers))
    return folder


def page_of(folder):
    return (folder / "report.html").read_text()


def words(page):
    return re.sub(r"data:image/\w+;base64,[\w+/=]+", "", page.split('<script type="text/plain"')[0])


def assert_same_layers(first, second, names):
    for name in names:
        np.testing.assert_array_equal(first[name][0], second[name][0], err_msg=name)


def test_built_again_it_is_the_same_page(folder):
    before = page_of(folder)
    rebuild_page(folder)
    after = page_of(folder)
    assert words(after) == words(before)
    old, new = read_layers(before), read_layers(after)
    assert set(new) == set(old)
    assert_same_layers(old, new, old)


def test_what_healthy_brains_show_comes_from_the_manifest(folder):
    """The page that was there before knew nothing of it."""
    run = json.loads((folder / "run.json").read_text())
    run["healthy_ml"] = {"threshold": [0.2, 0.6], "half": [2, 0], "most": [6, 1], "default": 0.4}
    (folder / "run.json").write_text(json.dumps(run))
    rebuild_page(folder)
    said = "half of healthy brains show up to 1.0 mL of false findings, 19 of 20 up to 3.5 mL."
    assert page_of(folder).count(said) == 2


def test_without_the_older_page_the_scan_is_read_again(folder):
    old = read_layers(page_of(folder))
    (folder / "report.html").unlink()
    rebuild_page(folder)
    new = read_layers(page_of(folder))
    assert set(old) - set(new) == {"structure", "edges"}
    assert_same_layers(old, new, new)
    assert "which does not hold the structural term, the edges." in page_of(folder)


def test_without_page_and_scan_it_says_what_is_missing(folder):
    (folder / "report.html").unlink()
    (folder.parents[1] / "sub_FLAIR.nii.gz").unlink()
    rebuild_page(folder)
    assert set(read_layers(page_of(folder))) == {
        "brain_mask", "tissue_map", "anomaly_map", "template",
    }  # fmt: skip
    assert "does not hold the scan, the pseudo-healthy image," in page_of(folder)


def test_another_scan_in_the_place_of_the_scan_is_not_shown(folder):
    (folder / "report.html").unlink()
    scan = folder.parents[1] / "sub_FLAIR.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), AFFINE), scan)
    rebuild_page(folder)
    assert "scan" not in read_layers(page_of(folder))


def test_a_changed_map_is_taken_from_its_file(folder):
    changed = read_volume(folder / "anomaly_map.nii.gz")
    changed = replace(changed, data=changed.data * np.float32(0.5))
    nib.save(nib.Nifti1Image(changed.data, AFFINE), folder / "anomaly_map.nii.gz")
    rebuild_page(folder)
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', page_of(folder))[1])
    shown = read_layers(page_of(folder))["anomaly_map"][0] * data["map_step"]
    assert shown.max() == pytest.approx(changed.data.max(), abs=2 * data["map_step"])


def test_what_is_no_result_is_refused(folder, tmp_path):
    with pytest.raises(ScanError, match="detect"):
        read_run(tmp_path)
    (folder / "run.json").write_text('{"scan": {}}')
    with pytest.raises(ScanError, match="lacks config"):
        rebuild_page(folder)
    (folder / "brain_mask.nii.gz").write_bytes(b"\x1f\x8b cut")
    with pytest.raises(ScanError, match="cannot be read"):
        read_volume(folder / "brain_mask.nii.gz")
    assert read_volume(folder / "no.nii.gz") is None
