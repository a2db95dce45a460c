"""Segmentation and map, read from their bytes: each voxel lies exactly where it was put."""

import numpy as np
from highdicom.seg import segread

from anatomaly.dicom_results.write import write_dicom_results

SEGMENTATION, MAP = "lesions_seg.dcm", "anomaly_map_pm.dcm"
EXACT_MM = 1e-5
"""Positions are written with nine digits, of at most some 100 mm."""


def test_each_voxel_lies_where_it_was_put(result):
    head = result.case.head
    found = {number: [] for number in head.BLOBS}
    for frame in result.frames(SEGMENTATION):
        row, column = np.nonzero(frame.pixels)
        found[frame.segment].append(frame.lps_mm(row, column))
    for number, (first, size) in head.BLOBS.items():
        put = np.array([head.lps_mm(*(np.array(first) + step)) for step in np.ndindex(*size)])
        here = np.concatenate(found[number])
        assert len(here) == len(put) == np.prod(size)
        away = np.linalg.norm(here[:, None] - put[None], axis=-1)
        assert away.min(axis=1).max() < EXACT_MM and away.min(axis=0).max() < EXACT_MM


def test_a_mask_corrected_by_hand_is_no_work_of_the_program_alone(result, tmp_path):
    edit = {"at": "2026-11-02T10:00:00+00:00", "sha256_before": "a", "sha256_after": "b"}
    edit |= {"added_ml": 0.1, "removed_ml": 0.0}
    run = {
        "weights": {"name": "w", "sha256": "ab" * 32},
        "versions": {},
        "sequence": "FLAIR",
        "threshold": 0.6,
    }
    given = (result.case.scan, result.anomaly_map, result.anomaly_mask, result.lesions)
    for name, edits in (("by_hand", [edit]), ("own", [])):
        (tmp_path / name).mkdir()
        write_dicom_results(tmp_path / name, *given, {**run, "corrected_by_hand": edits})
    kinds = {
        name: {
            segment.SegmentAlgorithmType
            for segment in segread(tmp_path / name / SEGMENTATION).SegmentSequence
        }
        for name in ("by_hand", "own")
    }
    assert kinds == {"by_hand": {"SEMIAUTOMATIC"}, "own": {"AUTOMATIC"}}
    said = segread(tmp_path / "by_hand" / SEGMENTATION).SegmentSequence[0]
    parameters = said.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert f"corrected_by_hand={edit['at']}" in parameters.replace(" ", "")


def test_each_frame_names_the_image_it_lies_on(result):
    """The pixels of the named image are bright exactly where the segments are, and nowhere else."""
    marked = {}
    for frame in result.frames(SEGMENTATION):
        key = frame.source_pixels.tobytes()
        both = marked.setdefault(key, (frame.source_pixels > 2000, np.zeros_like(frame.pixels)))
        both[1][frame.pixels > 0] += 1
    slices_with_blobs = {
        k for (_, _, k), (_, _, n) in result.case.head.BLOBS.values() for k in range(k, k + n)
    }
    assert len(marked) == len(slices_with_blobs)
    for bright, covered in marked.values():
        np.testing.assert_array_equal(covered, bright)


def test_highdicom_reads_back_the_mask_on_the_grid_of_the_scan(result):
    """Another reader, another way: its volume, brought to the scan's grid, is the mask."""
    volume = segread(result.folder / SEGMENTATION).get_volume(combine_segments=True)
    voxels = np.argwhere(volume.array > 0)
    lps = voxels @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    to_scan = np.linalg.inv(result.case.scan.volume.affine)
    index = (lps * (-1, -1, 1)) @ to_scan[:3, :3].T + to_scan[:3, 3]
    np.testing.assert_allclose(index, index.round(), atol=1e-4)  # NIfTI affines have 32 bits
    mask = np.zeros(result.anomaly_mask.shape, np.uint8)
    mask[tuple(index.round().astype(int).T)] = 1
    np.testing.assert_array_equal(mask, result.anomaly_mask.data)


def test_the_segments_say_what_they_are_and_what_found_them(result):
    data = result.dataset(SEGMENTATION)
    assert data.SegmentationType == "BINARY"
    assert "RESEARCH ONLY" in data.SeriesDescription
    assert (data.PatientName, data.PatientID) == ("Doe^Jane", "J1")
    assert [data.StudyInstanceUID, data.FrameOfReferenceUID] == result.case.head.uids[::2]
    assert data.SeriesInstanceUID not in result.case.head.uids
    assert [item.SegmentNumber for item in data.SegmentSequence] == [1, 2, 3]
    for number, item in enumerate(data.SegmentSequence, start=1):
        assert item.SegmentLabel == item.TrackingID == f"lesion {number}"
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "52988006")
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("anatomaly", "9.8.7")
        told = dict(pair.split("=") for pair in algorithm.AlgorithmParameters.split(","))
        assert told["weights"] == "synthetic-9" and told["weights_sha256"] == "ab" * 32
        assert told["scorer_sha256"] == "cd" * 32 and told["threshold"] == "0.625"


def test_every_value_lies_on_its_own_image_bit_for_bit(result):
    """The map is the image divided by 3,100, so each frame must be its own image so divided."""
    frames = list(result.frames(MAP))
    assert len(frames) == result.case.head.size[2]
    assert len({frame.source_pixels.tobytes() for frame in frames}) == len(frames)
    for frame in frames:
        expected = (frame.source_pixels.astype(np.float32) / 3100).astype(np.float32)
        np.testing.assert_array_equal(frame.pixels, expected)


def test_corners_lie_where_the_instances_say(result):
    head = result.case.head
    for frame in result.frames(MAP):
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
    data = result.dataset(MAP)
    assert data.ContentQualification == "RESEARCH"
    assert "RESEARCH ONLY" in data.SeriesDescription
    mapping = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert "not a probability" in mapping.LUTExplanation
