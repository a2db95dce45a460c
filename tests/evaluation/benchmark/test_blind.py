"""Labels stay closed until the threshold is fixed, and it comes from healthy scans alone."""

from dataclasses import replace

import numpy as np
import pytest

from anatomaly.errors import EvaluationError, SealedError
from anatomaly.evaluation.benchmark.blind import BlindTest, check_score
from anatomaly.evaluation.benchmark.ledger import Ledger
from anatomaly.evaluation.benchmark.scans import BenchmarkScan, OpenedScan, Split, Truth
from anatomaly.volume import Volume


def score(prepared):
    return prepared.image


@pytest.fixture(name="watched")
def fixture_watched(split):
    """The split, and the names of labels that were read."""
    read = []

    def watch(scan):
        def label():
            read.append(scan.name)
            return scan.label()

        values = scan.__dict__ | {"label": label if scan.label else None}
        return BenchmarkScan(**values)

    test = tuple(watch(scan) for scan in split.test)
    return Split(split.train, split.validation, test), read


def test_no_label_before_the_threshold(watched, tmp_path):
    split, read = watched
    blind = BlindTest(split)
    opened = blind.open_test("ill-1")
    with pytest.raises(SealedError, match="call fix_threshold first"):
        blind.open_label("ill-1")
    with pytest.raises(SealedError):
        blind.measure("ill-1", opened, score(opened.prepared))
    blind.open_train()
    blind.fix_threshold(score, Ledger(tmp_path))
    assert read == []
    assert blind.open_label("ill-1").lesion.sum() == 64
    assert blind.open_label("well") is None
    assert read == ["ill-1"]


def test_what_is_handed_out_has_no_label(split):
    opened = BlindTest(split).open_test("ill-1")
    assert set(opened._fields) == {"prepared", "brain", "bring"}
    assert set(opened.prepared.__dict__) == {"image", "brain_mask", "sequence"}


def test_the_threshold_is_that_of_the_healthy_and_stays(split, tmp_path):
    """1 mL is 125 voxels of 8 mm³: in the median scan so many lie above it."""
    blind = BlindTest(split)
    found = blind.fix_threshold(score, Ledger(tmp_path))
    values = [np.sort(scan.open().prepared.image.ravel())[::-1] for scan in split.validation]
    half = np.median([v[125] for v in values])
    most = np.quantile([v[625] for v in values], 0.95)
    assert found == pytest.approx(max(half, most), abs=1e-6)
    with pytest.raises(EvaluationError, match="is fixed"):
        blind.fix_threshold(lambda prepared: 0 * prepared.image, Ledger(tmp_path / "other"))
    assert blind.threshold == found


def test_test_scans_do_not_move_the_threshold(split, make_scan, tmp_path):
    brighter = (make_scan("ill-3", ill=True, seed=5), make_scan("well"))
    one = BlindTest(split).fix_threshold(score, Ledger(tmp_path / "a"))
    other = Split(split.train, split.validation, brighter)
    assert BlindTest(other).fix_threshold(score, Ledger(tmp_path / "b")) == one


def test_a_validation_scan_is_scored_once(split, tmp_path):
    scored = []

    def counting(prepared):
        scored.append(prepared)
        return prepared.image

    first = BlindTest(split).fix_threshold(counting, Ledger(tmp_path))
    assert len(scored) == 2
    assert BlindTest(split).fix_threshold(counting, Ledger(tmp_path)) == first
    assert len(scored) == 2


def test_figures_of_a_lesion_and_of_a_healthy_scan(split, tmp_path):
    blind = BlindTest(split)
    blind.fix_threshold(score, Ledger(tmp_path))
    blind.threshold = 0.61  # nothing healthy is that bright
    opened = blind.open_test("ill-1")
    row = blind.measure("ill-1", opened, score(opened.prepared))
    lesion = blind.open_label("ill-1").lesion
    found = (opened.prepared.image > 0.61) & opened.prepared.brain_mask
    assert row["dice"] == pytest.approx(2 * found[lesion].sum() / (found.sum() + lesion.sum()))
    assert row["dice"] <= row["dice_oracle"] <= 1
    assert 0.5 < row["ap"] <= 1
    assert row["lesion_ml"] == pytest.approx(64 * 8 / 1000)
    assert row["match"]["true_mm3"] == (64 * 8.0,)
    well = blind.open_test("well")
    assert blind.measure("well", well, score(well.prepared))["fp_ml"] == 0
    all_found = blind.measure("well", well, score(well.prepared) + 1)
    assert all_found["fp_ml"] == pytest.approx(well.prepared.brain_mask.sum() * 8 / 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:-1], "shape"),
        (lambda s: s - 1, "at least 0"),
        (lambda s: s * np.nan, "finite"),
    ],
)
def test_what_is_no_score_is_refused(split, change, message):
    prepared = split.test[0].open().prepared
    with pytest.raises(EvaluationError, match=message):
        check_score(change(prepared.image), prepared)


def test_a_split_must_be_one(split, make_scan):
    both = make_scan("other", ill=True, person="a")
    with pytest.raises(EvaluationError, match="a: both in train and in test"):
        Split(split.train, split.validation, (both,))
    with pytest.raises(EvaluationError, match="c: both in train and in validation"):
        Split((make_scan("x", person="c"),), split.validation, split.test)
    with pytest.raises(EvaluationError, match="validation holds a scan with a label"):
        Split(split.train, (make_scan("y", ill=True),), split.test)
    with pytest.raises(EvaluationError, match="no scan for train"):
        Split((), split.validation, split.test)


def test_the_threshold_is_measured_on_the_grid_of_the_scan(split, tmp_path):
    """Half the voxel size along each axis: 1 mL is 1000 voxels there, each value eight times."""

    def finer(scan):
        opened = scan.open()
        brain = Volume(opened.brain.data.repeat(2, 0).repeat(2, 1).repeat(2, 2), np.eye(4))
        native = OpenedScan(
            opened.prepared, brain, lambda s: (2 * s).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        )
        return replace(scan, open=lambda: native)

    fine = Split(split.train, tuple(map(finer, split.validation)), split.test)
    coarse = BlindTest(split).fix_threshold(score, Ledger(tmp_path / "a"))
    found = BlindTest(fine).fix_threshold(score, Ledger(tmp_path / "b"))
    assert found == pytest.approx(2 * coarse, abs=1e-6)


def test_what_the_label_leaves_open_is_not_measured(split, tmp_path):
    """Bright voxels beside the lesion: wrong where the label says healthy, nothing where open."""
    scan = split.test[0]
    lesion = scan.label().lesion
    beside = np.zeros_like(lesion)
    beside[12:16, 12:16, 9:13] = True
    rows = []
    for still_open in (np.zeros_like(lesion), beside):
        test = (replace(scan, label=lambda o=still_open: Truth(lesion, o)),)
        blind = BlindTest(Split(split.train, split.validation, test))
        blind.fix_threshold(score, Ledger(tmp_path))
        opened = blind.open_test(scan.name)
        shown = np.where(lesion | beside, 2, 0.01).astype(np.float32)
        rows.append(blind.measure(scan.name, opened, shown))
    assert [row["dice"] for row in rows] == [pytest.approx(2 / 3), 1]
    assert [row["ap"] for row in rows] == [pytest.approx(0.5), 1]
    assert [row["dice_oracle"] for row in rows] == [pytest.approx(2 / 3), 1]
    assert [row["match"]["correct"] for row in rows] == [(True, False), (True,)]


def test_outside_the_brain_there_is_no_score(split):
    prepared = split.test[0].open().prepared
    checked = check_score(prepared.image + 1, prepared)
    assert not checked[~prepared.brain_mask].any()
    assert (checked[prepared.brain_mask] >= 1).all()
