"""The structured report, read with highdicom and as plain content items."""

import numpy as np
import pytest
from highdicom.sr import srread

NAME = "report_sr.dcm"


def numbers(group):
    """Name of each measurement to its value and unit, from the content items themselves."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def groups(dataset):
    """The measurement groups of the report, first that over all lesions."""
    for item in dataset.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == "126010":  # Imaging Measurements
            return item.ContentSequence
    raise AssertionError("no measurements")


def test_each_lesion_has_the_volume_and_place_that_were_put(result):
    head = result.case.head
    for number, group in enumerate(groups(result.dataset(NAME))[1:], start=1):
        first, size = (np.array(part) for part in head.BLOBS[number])
        found = numbers(group)
        expected_mm3 = np.prod(size) * np.prod(head.spacing_mm)
        assert found["Volume"] == (pytest.approx(expected_mm3, abs=1e-3), "mm3")
        centre = [found[name][0] for name in sorted(found) if name.startswith("Centre")]
        np.testing.assert_allclose(centre, head.lps_mm(*(first + (size - 1) / 2)), atol=1e-3)
        k, row, column = (slice(a, a + n) for a, n in zip(first[::-1], size[::-1], strict=True))
        scores = head.pixels[k, row, column] / 3100
        assert found["Mean anomaly score"] == (pytest.approx(scores.mean(), abs=1e-4), "1")
        assert found["Peak anomaly score"][0] == pytest.approx(scores.max(), abs=1e-4)


def test_each_group_names_its_segment(result):
    segmentation = result.dataset("lesions_seg.dcm")
    report = srread(result.folder / NAME)
    found = report.content.get_volumetric_roi_measurement_groups()
    assert len(found) == len(segmentation.SegmentSequence) == 3
    for group, segment in zip(found, segmentation.SegmentSequence, strict=True):
        assert group.tracking_uid == segment.TrackingUID
        assert group.tracking_identifier == segment.TrackingID
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert reference.referenced_segment_numbers == [segment.SegmentNumber]


def test_the_report_says_that_it_is_for_research_and_sums_up(result):
    data = result.dataset(NAME)
    total = numbers(groups(data)[0])
    assert total["Number of lesions"][0] == 3
    assert total["Total volume of lesions"][0] == pytest.approx(
        sum(lesion.volume_mm3 for lesion in result.lesions), abs=1e-3
    )
    assert "Research only: not for diagnosis or treatment" in str(groups(data)[0])
    assert "RESEARCH ONLY" in data.SeriesDescription
    assert (data.CompletionFlag, data.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert data.StudyInstanceUID == result.case.head.uids[0]
