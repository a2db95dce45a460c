"""The parametric map, read from its bytes."""

import numpy as np

NAME = "anomaly_map_pm.dcm"


def test_every_value_lies_on_its_own_image_bit_for_bit(result):
    """The map is the image divided by 3,100, so each frame must be its own image so divided."""
    frames = list(result.frames(NAME))
    assert len(frames) == result.case.head.size[2]
    assert len({frame.source_pixels.tobytes() for frame in frames}) == len(frames)
    for frame in frames:
        expected = (frame.source_pixels.astype(np.float32) / 3100).astype(np.float32)
        np.testing.assert_array_equal(frame.pixels, expected)


def test_corners_lie_where_the_instances_say(result):
    head = result.case.head
    for frame in result.frames(NAME):
        k = [
            number
            for number in range(head.size[2])
            if (head.pixels[number] == frame.source_pixels).all()
        ]
        assert len(k) == 1
        row, column = np.array([0, 0, head.size[1] - 1]), np.array([0, head.size[0] - 1, 0])
        put = [head.lps_mm(c, r, k[0]) for r, c in zip(row, column, strict=True)]
        np.testing.assert_allclose(frame.lps_mm(row, column), put, atol=1e-5)


def test_the_map_says_what_its_values_are(result):
    data = result.dataset(NAME)
    assert data.ContentQualification == "RESEARCH"
    assert "RESEARCH ONLY" in data.SeriesDescription
    mapping = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert "not a probability" in mapping.LUTExplanation
