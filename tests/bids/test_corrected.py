"""Derivatives whose masks were edited: of a scan, of a session, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.bids import corrected
from anatomaly.bids.corrected import find_corrections
from anatomaly.bids.derivatives import LESION_LABEL, write_scan
from anatomaly.bids.group import write_group
from anatomaly.bids.session import fuse, read_own, scans_to_fuse
from anatomaly.bids.session_files import is_fused, write_session
from anatomaly.errors import BidsError, OutputError, ScanError
from anatomaly.report.index import read_rows
from anatomaly.scan.bids import find_sessions
from anatomaly.scan.read import read_scan

T1W, FLAIR = "sub-01_ses-a_acq-3D", "sub-01_ses-a"


@pytest.fixture(name="done")
def fixture_done(out, fakes):
    """A session of T1w and FLAIR, worked through."""
    fakes.write_head(out.source / "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz")
    (session,) = find_sessions(out.source)
    for scan in session.scans:
        centre = (0.0, 0.0, 0.0) if scan.sequence == "T1w" else (14.0, 8.0, 0.0)
        detection = fakes.make_detection(read_scan(scan.path), centre_mm=centre)
        write_scan(detection, scan, session, out)
    ready = scans_to_fuse(session, out)
    owns = [read_own(scan, session, out) for scan in ready]
    write_session(fuse(owns, 20.0), ready, session, out)
    return session, ready


def anat(out):
    return out.root / "sub-01/ses-a/anat"


def data_of(path):
    return np.asarray(nib.load(path).dataobj)


def erase_half(path):
    """As a person: the lower half of the lesion goes; saved as float."""
    image = nib.load(path)
    data = np.asarray(image.dataobj).astype(np.float32)
    data[:, :, : data.shape[2] // 2] = 0
    nib.save(nib.Nifti1Image(data, image.affine), path)
    return data > 0


def state(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def edited_of(out):
    return {name: edit for name, correct in find_corrections(out).items() if (edit := correct())}


def test_nothing_edited_nothing_changed(out, done):
    before = state(out.root)
    assert len(find_corrections(out)) == 3  # T1w, FLAIR, the session
    assert edited_of(out) == {} and state(out.root) == before


def test_the_files_of_a_scan_follow_its_mask(out, done):
    before = state(out.root)
    path = anat(out) / f"{T1W}_label-L_desc-T1w_mask.nii.gz"
    kept = erase_half(path)
    (name,) = edited = edited_of(out)
    assert name == path.relative_to(out.root).as_posix()
    assert data_of(path).dtype == np.uint8 and np.array_equal(data_of(path) > 0, kept)
    pieces = anat(out) / f"{T1W}_seg-lesions_desc-T1w_dseg.nii.gz"
    assert np.array_equal(data_of(pieces) > 0, kept)
    (row,) = read_rows(pieces.with_name(pieces.name.replace(".nii.gz", ".tsv")))
    assert float(row["volume_mm3"]) == pytest.approx(kept.sum() * 80.0)
    tissues = data_of(anat(out) / f"{T1W}_seg-tissues_desc-T1w_dseg.nii.gz")
    assert np.array_equal(tissues == LESION_LABEL, kept)
    assert set(np.unique(tissues)) == {0, 1, LESION_LABEL}  # what is gone is grey matter around it
    figures = out.root / "sub-01/ses-a/figures" / f"{T1W}_T1w"
    assert float(read_rows(figures / "lesions.tsv")[0]["volume_mm3"]) == float(row["volume_mm3"])
    assert (figures / "overview.png").is_file() and (figures / "labels").is_dir()
    (record,) = json.loads((figures / "run.json").read_text())["corrected_by_hand"]
    for kind in ("mask", "probseg"):
        says = json.loads((anat(out) / f"{T1W}_label-L_desc-T1w_{kind}.json").read_text())
        assert says["CorrectedByHand"] == [record]
    assert "corrected by hand" in (figures / "report.html").read_text()
    assert edited[name].removed_ml == pytest.approx(record["removed_ml"], abs=1e-4)
    after = state(out.root)
    others = {p for p in before if "FLAIR" in p.name or p.name.startswith(f"{T1W}_label-L_mask")}
    assert all(after[p] == before[p] for p in others)
    assert edited_of(out) == {} and state(out.root) == after
    written = write_group(out)
    (line,) = (row for row in read_rows(written[0]) if row["map"] == "T1w")
    assert float(line["volume_ml"]) == pytest.approx(kept.sum() * 0.08, abs=1e-3)


def test_the_files_of_a_session_follow_its_mask(out, done):
    session, ready = done
    path = anat(out) / f"{T1W}_label-L_mask.nii.gz"
    was = read_rows(anat(out) / f"{T1W}_seg-lesions_dseg.tsv")
    kept = erase_half(path)
    (edit,) = edited_of(out).values()
    assert np.array_equal(data_of(anat(out) / f"{T1W}_seg-lesions_dseg.nii.gz") > 0, kept)
    rows = read_rows(anat(out) / f"{T1W}_seg-lesions_dseg.tsv")
    assert [row["polarity"] for row in rows] == [row["polarity"] for row in was]
    assert sum(float(row["volume_mm3"]) for row in rows) == pytest.approx(kept.sum() * 80.0, abs=1)
    template = data_of(anat(out) / f"{T1W}_space-MNI152NLin2009aSym_label-L_mask.nii.gz")
    assert template.sum() / 1000 == pytest.approx(kept.sum() * 0.08, rel=0.1)
    says = json.loads((anat(out) / f"{T1W}_label-L_probseg.json").read_text())
    (record,) = says["CorrectedByHand"]
    assert record["sha256_after"] == edit.sha256_after
    assert (
        "corrected by hand"
        in next(out.root.glob("sub-01/ses-a/figures/*_session/report.html")).read_text()
    )
    assert is_fused(ready, session, out)  # the next run of the app leaves it alone
    after = state(out.root)
    assert edited_of(out) == {} and state(out.root) == after


def test_cut_short_it_is_done_again(out, done, monkeypatch):
    path = anat(out) / f"{T1W}_label-L_desc-T1w_mask.nii.gz"
    kept = erase_half(path)

    def full(*_):
        raise OutputError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(corrected, "write_lesion_table", full)
        with pytest.raises(OutputError):
            edited_of(out)
    assert np.array_equal(data_of(path) > 0, kept)
    assert len(edited_of(out)) == 1
    figures = out.root / "sub-01/ses-a/figures" / f"{T1W}_T1w"
    assert len(json.loads((figures / "run.json").read_text())["corrected_by_hand"]) == 1


def test_what_is_missing_is_named(out, done):
    erase_half(anat(out) / f"{T1W}_label-L_desc-T1w_mask.nii.gz")
    (anat(out) / f"{T1W}_label-L_desc-T1w_probseg.nii.gz").unlink()
    with pytest.raises(ScanError, match=r"label-L_desc-T1w_probseg.nii.gz: missing"):
        edited_of(out)
    shutil.move(out.source / "sub-01", out.source / "elsewhere")
    with pytest.raises(BidsError, match=r"raw data set is needed .* DatasetLinks"):
        find_corrections(out)
    (out.source / "elsewhere").rename(out.source / "sub-02")
    with pytest.raises(BidsError, match="no results in it"):
        find_corrections(out)


def test_corrected_derivatives_are_valid(out, done):
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.exists():
        pytest.skip("bids-validator-deno is not installed: no deno for this machine")
    for name in ("_label-L_desc-T1w_mask", "_label-L_mask"):
        erase_half(anat(out) / f"{T1W}{name}.nii.gz")
    assert len(edited_of(out)) == 2
    ran = subprocess.run(
        [program, str(out.root)], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout
