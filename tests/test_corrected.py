"""A mask edited by hand: everything in the result folder follows it, and nothing else changes."""

import csv
import json
import re
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from anatomaly import corrected, reopen
from anatomaly.config import edits_of
from anatomaly.corrected import correct_result
from anatomaly.detection import Detection
from anatomaly.errors import OutputError, ScanError
from anatomaly.reopen import rebuild_page
from anatomaly.report.layers import read_layers
from anatomaly.scan.read import read_scan

SHAPE, THRESHOLD = (44, 48, 40), 0.4
AFFINE = np.array([[-4.0, 0, 0, 88], [0, 4.2, 0, -100], [0, 0, 4.1, -70], [0, 0, 0, 1]])
VOXEL_ML = 4.0 * 4.2 * 4.1 / 1000
TO_TEMPLATE = np.array([[1.1, 0, 0, 3], [0, 0.9, 0.1, -2], [0, 0, 1.05, 4], [0, 0, 0, 1.0]])


def ball(centre, radius):
    return np.linalg.norm(np.stack(np.indices(SHAPE), -1) - centre, axis=-1) < radius


BRIGHT, DARK, NEW = ball((27, 24, 20), 3.2), ball((16, 26, 20), 2.2), ball((22, 33, 22), 1.9)


@pytest.fixture(name="folder")
def fixture_folder(made, tmp_path, monkeypatch):
    """A result of two lesions, one brighter and one darker than expected; the scan beside it."""
    brain = np.asarray(nib.load(made / "results/sub_FLAIR/brain_mask.nii.gz").dataobj)
    monkeypatch.setattr(
        reopen, "template_tissue_native", lambda grid, affine: grid.with_data(3 * brain)
    )
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "results" / "sub_FLAIR"
    run = (folder / "run.json").read_text()
    (folder / "run.json").write_text(run.replace(str(made), str(tmp_path)))
    return folder


@pytest.fixture(name="made", scope="module")
def fixture_made(tmp_path_factory):
    """What each test gets a copy of: drawn and written once."""
    tmp_path = tmp_path_factory.mktemp("made")
    away = np.linalg.norm((np.stack(np.indices(SHAPE), -1) - (22, 24, 20)) / (15, 17, 13), axis=-1)
    brain = away < 1
    healthy = np.where(brain, 300 + 90 * np.cos(away * 9), 50.0).astype(np.float32)
    path = tmp_path / "sub_FLAIR.nii.gz"
    image = nib.Nifti1Image(healthy + 200 * BRIGHT - 150 * DARK - 120 * NEW, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    scan = read_scan(path)
    grid = scan.volume
    score = np.where(brain, 0.1 + 0.8 * BRIGHT + 0.5 * DARK + 0.2 * NEW, 0).astype(np.float32)
    run = {
        "scan": {"name": scan.name, "source": path, **scan.metadata},
        "sequence": "FLAIR", "polarity": "brighter", "device": "cpu", "seconds": {"read": 1.0},
        "weights": {"name": "w", "date": "d", "sha256": "s"}, "versions": {}, "warnings": ["doubt"],
        "config": {"atlas": None,
                   "anomaly": {"score": "hybrid", "threshold": None, "min_lesion_mm3": 20.0}},
        "preparation": {"scanner_to_template": TO_TEMPLATE, "quality": {}, "steps": []},
        "threshold": THRESHOLD, "lesions": 2,
        "healthy_ml": {"threshold": [0.2, 0.6], "half": [2, 0], "most": [6, 1], "default": 0.4},
    }  # fmt: skip
    mask = grid.with_data((BRIGHT | DARK).astype(np.uint8))
    pseudo = grid.with_data(healthy)
    tissue = grid.with_data(np.uint8(2) * brain)
    found = Detection(
        scan=scan,
        sequence="FLAIR",
        anomaly_map=grid.with_data(score),
        anomaly_mask=mask,
        pseudo_healthy=pseudo,
        tissue_map=tissue,
        brain_mask=grid.with_data(brain.astype(np.uint8)),
        lesions=corrected.count_lesions(grid.with_data(score), mask, grid, pseudo, run, tissue),
        threshold=THRESHOLD,
        seconds={"read": 1.0},
        warnings=("doubt",),
        run=run,
    )
    found.save(tmp_path / "results" / "sub_FLAIR")
    return tmp_path


def edit(folder, mask, name="anomaly_mask.nii.gz", dtype=np.float32):
    nib.save(nib.Nifti1Image(mask.astype(dtype), np.round(AFFINE, 4)), folder / name)


def rows_of(folder):
    with (folder / "lesions.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


def page_of(folder):
    return (folder / "report.html").read_text()


def data_of(folder):
    return json.loads(re.search(r'id="page-data">(.*?)</script>', page_of(folder))[1])


def state(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


EDITED = (BRIGHT & ~ball((27, 24, 23), 1.5)) | NEW


def test_an_unedited_result_is_left_alone(folder):
    before = state(folder)
    assert correct_result(folder) is None
    edit(folder, BRIGHT | DARK)  # saved again by an editor, as float
    again = state(folder)
    assert correct_result(folder) is None and state(folder) == again
    assert {k: v for k, v in again.items() if k.name != "anomaly_mask.nii.gz"} == {
        k: v for k, v in before.items() if k.name != "anomaly_mask.nii.gz"
    }


def test_everything_follows_the_mask(folder):
    before = state(folder)
    edit(folder, EDITED)
    said = correct_result(folder)
    rows = rows_of(folder)
    labels, count = ndimage.label(EDITED, np.ones((3, 3, 3)))
    sizes = sorted(np.bincount(labels.ravel())[1:], reverse=True)
    assert len(rows) == count == 2
    volumes = [float(row["volume_mm3"]) for row in rows]
    np.testing.assert_allclose(volumes, np.array(sizes) * VOXEL_ML * 1000, atol=0.1)
    assert [row["polarity"] for row in rows] == ["brighter", "darker"]
    centre = AFFINE[:3, :3] @ np.argwhere(NEW).mean(0) + AFFINE[:3, 3]
    np.testing.assert_allclose(
        [float(rows[1][f"{a}_scanner_mm"]) for a in "xyz"], centre, atol=0.01
    )
    in_mni = TO_TEMPLATE[:3, :3] @ centre + TO_TEMPLATE[:3, 3]
    np.testing.assert_allclose([float(rows[1][f"{a}_mni_mm"]) for a in "xyz"], in_mni, atol=0.01)
    assert float(rows[1]["mean_score"]) == pytest.approx(0.3, abs=1e-4)
    numbered = np.asarray(nib.load(folder / "lesions.nii.gz").dataobj)
    assert np.array_equal(numbered > 0, EDITED) and (numbered[NEW] == 2).all()
    mask = nib.load(folder / "anomaly_mask.nii.gz")
    grid = nib.load(folder / "anomaly_map.nii.gz").affine
    assert mask.get_data_dtype() == np.uint8 and np.array_equal(mask.affine, grid)
    named = (folder / "labels" / "lesions_slicer.ctbl").read_text().splitlines()
    assert named[-1].startswith("2 lesion_2 ")
    after = state(folder)
    assert set(after) == set(before)
    same = {path.name for path in after if after[path][0] == before[path][0]}
    assert {"anomaly_map.nii.gz", "pseudo_healthy.nii.gz", "tissue_map.nii.gz"} <= same
    assert not same & {"lesions.tsv", "overview.png", "report.html", "run.json"}
    (record,) = run_of(folder)["corrected_by_hand"]
    old = BRIGHT | DARK
    assert said.added_ml == pytest.approx((EDITED & ~old).sum() * VOXEL_ML)
    assert record["removed_ml"] == pytest.approx((old & ~EDITED).sum() * VOXEL_ML, abs=1e-3)
    assert record["sha256_before"] != record["sha256_after"] and len(record["sha256_after"]) == 64
    assert record["by"].startswith("a person") and record["at"].endswith("+00:00")
    assert run_of(folder)["lesions"] == 2


def test_the_page_shows_the_corrected_mask_and_says_whose_it_is(folder):
    assert "hand_mask" not in read_layers(page_of(folder))
    edit(folder, EDITED)
    correct_result(folder)
    for _ in range(2):  # `anatomaly report` later keeps it
        page = page_of(folder)
        assert page.count("Mask corrected by hand on 20") == 2
        assert (
            "what healthy brains show" not in page.lower() or "masks of the program alone" in page
        )
        layer, affine = read_layers(page)["hand_mask"]
        voxels = np.argwhere(layer) @ affine[:3, :3].T + affine[:3, 3]
        there = np.argwhere(EDITED) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
        np.testing.assert_allclose(
            np.array(sorted(map(tuple, voxels.round(2)))), sorted(map(tuple, there.round(2)))
        )
        assert data_of(folder)["volume_ml"] == pytest.approx(EDITED.sum() * VOXEL_ML, abs=1e-3)
        assert len(data_of(folder)["spots"]) == 2
        assert "back to the corrected mask" in page
        rebuild_page(folder)


def test_a_second_run_changes_nothing_and_a_second_edit_is_kept_beside_the_first(folder):
    edit(folder, EDITED)
    correct_result(folder)
    before = state(folder)
    assert correct_result(folder) is None and state(folder) == before
    edit(folder, EDITED & ~NEW)
    correct_result(folder)
    first, second = run_of(folder)["corrected_by_hand"]
    assert first["sha256_after"] == second["sha256_before"]
    assert "(and 1 times before)" in page_of(folder) and len(rows_of(folder)) == 1


def test_back_to_the_mask_of_the_program(folder):
    original = rows_of(folder)
    edit(folder, EDITED)
    correct_result(folder)
    edit(folder, BRIGHT | DARK, dtype=np.int16)
    correct_result(folder)
    assert rows_of(folder) == original
    assert edits_of(run_of(folder)) == [] and "corrected by hand" not in page_of(folder)
    assert "hand_mask" not in read_layers(page_of(folder))


def test_a_mask_with_nothing_left(folder):
    edit(folder, 0 * EDITED)
    correct_result(folder)
    assert rows_of(folder) == []
    assert "Nothing left in the mask" in page_of(folder)
    assert not (folder / "labels" / "lesions_slicer.ctbl").exists()
    assert (folder / "labels" / "anomaly_mask_slicer.ctbl").exists()


def test_a_result_from_before_there_were_numbered_lesions(folder):
    (folder / "lesions.nii.gz").unlink()
    assert correct_result(folder) is None  # the mask is cut from the map again
    edit(folder, EDITED)
    assert correct_result(folder).removed_ml == pytest.approx(
        ((BRIGHT | DARK) & ~EDITED).sum() * VOXEL_ML
    )


def test_without_the_scan_the_page_tells_darker_from_brighter(folder, tmp_path):
    (tmp_path / "sub_FLAIR.nii.gz").unlink()
    header = nib.load(folder / "anomaly_map.nii.gz").header
    edit(folder, EDITED)
    correct_result(folder)
    assert [row["polarity"] for row in rows_of(folder)] == ["brighter", "darker"]
    written = nib.load(folder / "anomaly_mask.nii.gz").header
    assert all(np.array_equal(written[k], header[k]) for k in ("srow_x", "sform_code", "pixdim"))
    (folder / "report.html").unlink()
    edit(folder, EDITED & ~NEW)
    before = state(folder)
    with pytest.raises(
        ScanError, match=r"sub_FLAIR.nii.gz is not there .* no page holds it; put it"
    ):
        correct_result(folder)
    assert state(folder) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("anomaly_map.nii.gz", "cannot be measured without it"),
        ("anomaly_mask.nii.gz", "no such mask"),
    ],
)
def test_what_is_missing_is_named(folder, name, said):
    edit(folder, EDITED)
    (folder / name).unlink()
    with pytest.raises(ScanError, match=f"{name}.*{said}"):
        correct_result(folder)


def test_an_unedited_mask_needs_no_map(folder):
    (folder / "anomaly_map.nii.gz").unlink()
    assert correct_result(folder) is None


def test_outputs_that_were_not_there_do_not_appear_and_own_files_stay(folder):
    for name in ("overview.png", "report.html", "tissue_map.nii.gz"):
        (folder / name).unlink()
    (folder / "notes.txt").write_text("looked at it")
    edit(folder, EDITED, "anomaly_mask.nii")
    correct_result(folder)
    there = {path.name for path in folder.iterdir()}
    assert not there & {"overview.png", "report.html", "tissue_map.nii.gz"}
    assert {"notes.txt", "anomaly_mask.nii", "lesions.nii.gz"} <= there
    assert correct_result(folder) is None


def test_whole_or_not_at_all(folder, monkeypatch):
    edit(folder, EDITED)
    before = state(folder)

    def full(*_):
        raise OutputError("disk full")

    monkeypatch.setattr(corrected, "rebuild_page", full)
    with pytest.raises(OutputError, match="disk full"):
        correct_result(folder)
    assert state(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["sub_FLAIR"]


def test_report_alone_says_that_the_mask_was_edited(folder):
    edit(folder, EDITED)
    rebuild_page(folder)
    assert "The mask was edited since: `anatomaly tabulate`" in page_of(folder)
    assert len(data_of(folder)["spots"]) == 2  # those of the table


def test_dicom_files_are_made_again(folder, monkeypatch):
    (folder / "report_sr.dcm").write_text("old")
    asked = []

    def write(new, scan, score, mask, lesions, run):
        asked.append((scan.source, len(lesions), edits_of(run)))
        (new / "report_sr.dcm").write_text("new")

    monkeypatch.setattr("anatomaly.detection.write_dicom_results", write)
    edit(folder, EDITED)
    correct_result(folder)
    assert (folder / "report_sr.dcm").read_text() == "new"
    ((source, count, edits),) = asked
    assert source == folder.parents[1] / "sub_FLAIR.nii.gz" and count == 2 and len(edits) == 1


def test_an_edit_that_was_cut_short_is_recorded_once():
    old = reopen.Volume(np.zeros((2, 2, 2)), np.eye(4))
    said = corrected.compare(old, replace(old, data=np.ones((2, 2, 2))), ())
    run = corrected.with_edit({}, said)
    assert said.added_ml == 0.008 and said.removed_ml == 0
    assert corrected.with_edit(run, said) == run
