"""Maps of a session come together on the reference's grid, and stay up to date."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anatomaly.anomaly.fusion import relative_score
from anatomaly.bids import session as session_module
from anatomaly.bids.dataset import sidecar
from anatomaly.bids.derivatives import write_scan
from anatomaly.bids.session import choose_reference, fuse, read_own, scans_to_fuse
from anatomaly.bids.session_files import is_fused, withdraw_session, write_session
from anatomaly.errors import ScanError
from anatomaly.preprocess.register_rigid import RigidRegistration
from anatomaly.scan.bids import find_sessions
from anatomaly.scan.read import read_scan

FOLDER = "sub-01/ses-a/anat/sub-01_ses-a"
BALL = {"T1w": (0.0, 0.0, 0.0), "FLAIR": (32.0, -24.0, 15.0)}
THRESHOLD = {"T1w": 0.4, "FLAIR": 0.6}
MOVED_BY = np.eye(4)
MOVED_BY[:3, :3] = Rotation.from_euler("xyz", (5, -3, 8), degrees=True).as_matrix()
MOVED_BY[:3, 3] = (9.0, -4.0, 15.0)


@pytest.fixture(name="session")
def fixture_session(fakes, out, monkeypatch):
    """T1w and FLAIR, of which the FLAIR was taken after the head had moved; both detected in."""
    fakes.write_head(out.source / f"{FOLDER}_FLAIR.nii.gz", MOVED_BY)
    (session,) = find_sessions(out.source)
    for scan in session.scans:
        detection = fakes.make_detection(
            read_scan(scan.path), THRESHOLD[scan.sequence], BALL[scan.sequence]
        )
        write_scan(detection, scan, session, out)
    register_as(monkeypatch, 0.95)
    return session


def register_as(monkeypatch, dice):
    found = RigidRegistration(np.linalg.inv(MOVED_BY), dice)
    monkeypatch.setattr(session_module, "register_rigid", lambda *_: found)


def fuse_all(session, out):
    scans = scans_to_fuse(session, out)
    fused = fuse([read_own(scan, session, out) for scan in scans], 20.0)
    return scans, fused


def test_both_balls_are_where_they_were_seen(session, out, fakes):
    _, fused = fuse_all(session, out)
    grid = fused.reference.scan.volume
    assert fused.sequences == ["T1w", "FLAIR"]
    places = fakes.places_mm(grid)
    balls = [((places - BALL[s]) ** 2).sum(-1) < fakes.BALL_MM**2 for s in ("T1w", "FLAIR")]
    found = fused.anomaly_mask.data > 0
    assert (found & balls[0]).sum() == balls[0].sum()  # the reference's own, to the voxel
    wanted = balls[0] | balls[1]  # the other comes over two interpolations of a sharp ball
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85
    for ball, threshold in zip(balls, THRESHOLD.values(), strict=True):
        peak = fused.anomaly_map.data[ball].max()
        assert peak == pytest.approx(relative_score(np.array(0.8), threshold).item(), abs=0.02)
    middle = [grid_place(grid, BALL[s]) for s in ("T1w", "FLAIR")]
    centres = {tuple(lesion.centre_scanner_mm) for lesion in fused.lesions}
    assert all(min(np.linalg.norm(np.subtract(c, m)) for c in centres) < 1.5 for m in middle)
    assert len(fused.lesions) == 2


def test_a_lesion_is_as_bright_or_dark_as_the_scan_that_shows_it(session, out):
    owns = [read_own(scan, session, out) for scan in scans_to_fuse(session, out)]
    shifts = {"T1w": 10.0, "FLAIR": -10.0}  # of the expectation: T1w darker, FLAIR brighter
    owns = [
        replace(
            own,
            pseudo_healthy=own.scan.volume.with_data(
                own.scan.volume.data + shifts[own.bids.sequence]
            ),
        )
        for own in owns
    ]
    fused = fuse(owns, 20.0)
    grid = fused.reference.scan.volume
    in_flair = np.array(grid_place(grid, BALL["FLAIR"]))
    found = {
        np.linalg.norm(np.subtract(lesion.centre_scanner_mm, in_flair)) < 2: lesion.polarity
        for lesion in fused.lesions
    }
    assert found == {True: "brighter", False: "darker"}


def grid_place(grid, from_middle_mm):
    """Scanner mm of a point given from the middle of an upright grid."""
    return grid.affine[:3, 3] + grid.spacing_mm * (np.array(grid.shape) - 1) / 2 + from_middle_mm


def test_another_head_is_left_out_and_said(session, out, monkeypatch):
    register_as(monkeypatch, 0.5)
    scans, fused = fuse_all(session, out)
    assert fused.sequences == ["T1w"]
    assert any("FLAIR is not in the session map" in warning for warning in fused.warnings)
    write_session(fused, scans, session, out)
    assert is_fused(scans, session, out)  # not tried again at each run


def test_without_t1w_the_finest_is_the_reference(session, out):
    owns = [read_own(scan, session, out) for scan in scans_to_fuse(session, out)]
    assert choose_reference(owns).bids.sequence == "T1w"
    assert choose_reference(owns[1:]).bids.sequence == "FLAIR"


def test_a_part_of_a_brain_is_no_reference_beside_a_whole_one(session, out):
    t1w, flair = (read_own(scan, session, out) for scan in scans_to_fuse(session, out))
    quality = {"preparation": {"quality": {"missing": 0.3}}}
    part = replace(t1w, run=t1w.run | quality)
    assert choose_reference([part, flair]).bids.sequence == "FLAIR"
    worse = {"preparation": {"quality": {"missing": 0.4}}}
    assert choose_reference([part, replace(flair, run=flair.run | worse)]).bids.sequence == "T1w"


def test_files_and_page(session, out):
    scans, fused = fuse_all(session, out)
    assert not is_fused(scans, session, out)
    own = {"threshold": [0.4], "half": [1.0], "most": [2.0], "default": 0.4}
    run = fused.reference.run | {"healthy_ml": own}
    fused = replace(fused, reference=replace(fused.reference, run=run))
    write_session(fused, scans, session, out)
    stem = "sub-01_ses-a_acq-3D"
    marker = out.session_volume(session, stem, "anomaly_map")
    said = json.loads(sidecar(marker).read_text())
    assert said["Sources"] == [
        out.uri(out.own_volume(session, scan, "anomaly_map")) for scan in scans
    ]
    np.testing.assert_allclose(said["RigidToReference"]["FLAIR"], np.linalg.inv(MOVED_BY))
    template = nib.load(out.session_volume(session, stem, "anomaly_mask_template"))
    assert template.shape == (160, 192, 160)
    assert template.header["sform_code"] == 4  # MNI152
    run = json.loads((out.figures(session, f"{stem}_session") / "run.json").read_text())
    assert (run["sequence"], run["threshold"]) == ("T1w+FLAIR", 0.5)
    assert run["healthy_ml"] == {}  # of the reference's own map
    assert (out.figures(session, f"{stem}_session") / "report.html").is_file()
    assert is_fused(scans, session, out)
    assert not is_fused(scans[:1], session, out)
    sidecar(marker).write_text("")  # damaged: fused again, and no reason to stop
    assert not is_fused(scans, session, out)
    withdraw_session(session, out)
    assert not is_fused(scans, session, out)


def test_another_reference_leaves_no_files_of_the_old_one(session, out):
    scans, fused = fuse_all(session, out)
    owns = [read_own(scan, session, out) for scan in scans]
    write_session(fuse(owns[1:], 20.0), scans[1:], session, out)
    before = set(out.anat(session).glob("sub-01_ses-a_label-L_[mp]*"))
    assert before
    write_session(fused, scans, session, out)
    assert not any(path.exists() for path in before)


def test_a_result_that_does_not_fit_its_scan_is_refused(session, out, fakes):
    scan = session.scans[0]
    out.own_volume(session, scan, "brain_mask").unlink()
    with pytest.raises(ScanError, match="--redo"):
        read_own(scan, session, out)
