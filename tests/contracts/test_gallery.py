"""The gallery: its figures counted by hand, and pictures in which each kind of error is seen."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from anatomaly.evaluation.cases import Case

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 0, 2.0, -40], [0, 2.5, 0, 7], [0, 0, 0, 1]])
SHAPE = (30, 12, 34)
"""Second axis up, first to the left: the pictures have to turn it."""

TRUE, FOUND = np.s_[8:14, 4:8, 10:20], np.s_[8:11, 4:8, 10:26]


@pytest.fixture(name="gallery")
def fixture_gallery(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    import gallery

    return gallery


@pytest.fixture(name="case")
def fixture_case(tmp_path):
    """A case with its result: 10 mm³ a voxel, 240 of them lesion, 192 found, 120 both."""
    rng = np.random.default_rng(0)
    brain, lesion, found = (np.zeros(SHAPE, np.uint8) for _ in range(3))
    brain[3:27, 1:11, 3:31] = 1
    lesion[TRUE], found[FOUND] = 1, 1
    scan = (100 * brain + rng.normal(0, 3, SHAPE)).astype(np.float32)
    result = tmp_path / "results" / "p1_FLAIR"
    result.mkdir(parents=True)
    files = {
        tmp_path / "FLAIR.nii.gz": scan,
        tmp_path / "lesion.nii.gz": lesion,
        result / "pseudo_healthy.nii.gz": scan,
        result / "anomaly_map.nii.gz": found.astype(np.float32),
        result / "anomaly_mask.nii.gz": found,
        result / "brain_mask.nii.gz": brain,
    }
    for path, data in files.items():
        nib.save(nib.Nifti1Image(data, AFFINE), path)
    keys = ("scan", "sequence", "config", "seconds", "versions", "preparation")
    run = {key: {} for key in keys} | {"threshold": 0.5, "weights": {"scorer_sha256": "ab"}}
    (result / "run.json").write_text(json.dumps(run))
    label = tmp_path / "lesion.nii.gz"
    return Case("p1", "MS", "FLAIR", tmp_path / "FLAIR.nii.gz", label, "drawn"), result


def test_figures_are_those_counted_by_hand(gallery, case):
    figures = gallery.measure(*case)
    assert figures.dice == pytest.approx(2 * 120 / (240 + 192))
    volumes = (figures.lesion_ml, figures.found_ml, figures.wrong_ml, figures.missed_ml)
    assert volumes == pytest.approx((2.4, 1.92, 0.72, 1.2))
    assert (figures.lesions, figures.detected, figures.wrong_pieces) == (1, 1, 0)
    assert gallery.row_of(figures, "best")[:4] == ("FLAIR, MS", "p1", "best", "0.556")


def test_places_by_dice_and_by_false_positives(gallery, case):
    figures = gallery.measure(*case)
    three = [figures._replace(dice=score) for score in (0.2, 0.9, 0.5)]
    assert gallery.choose_places(three, by_set=True) == {
        three[1]: "best",
        three[2]: "median",
        three[0]: "worst",
    }
    nan = float("nan")
    two = [figures._replace(dice=nan, wrong_ml=volume) for volume in (3.0, 0.1)]
    assert list(gallery.choose_places(two, by_set=True).values()) == ["worst", "best"]
    assert gallery.choose_places(two, by_set=True)[two[1]] == "best"


def test_the_picture_shows_what_is_right_wrong_and_missed(gallery, case, tmp_path):
    figures = gallery.measure(*case)
    gallery.draw(tmp_path / "case.png", figures, case[1], "worst")
    picture = np.asarray(Image.open(tmp_path / "case.png").convert("RGB")).astype(int)
    last = picture[60:-30, 3 * picture.shape[1] // 4 :]
    for own in range(3):  # red: wrong, green: right, blue: missed
        others = [last[..., other] for other in range(3) if other != own]
        assert (last[..., own] > np.max(others, axis=0) + 40).sum() > 100, own
    assert (tmp_path / "case.png").stat().st_size < 150_000


def test_a_result_of_other_weights_is_not_taken(gallery, case, tmp_path, monkeypatch):
    from anatomaly.weights import find_weights
    from anatomaly.weights_card import read_card

    class StopHereError(Exception):
        """Detection would begin."""

    def stop():
        raise StopHereError

    monkeypatch.setattr(gallery, "Detector", stop)
    card = read_card(find_weights("default"))
    with pytest.raises(StopHereError):
        gallery.Finder(tmp_path / "results", card)(case[0])
