"""Each slice holds the pixels that its header places there, whatever dcm2niix made of them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import JPEG2000, JPEG2000Lossless, generate_uid

from anatomaly.scan.read import read_scan

PHILIPS, SIEMENS = "Philips Medical Systems", "SIEMENS"
PUT_RIGHT = "put slices in wrong places; it was rebuilt"


def assert_is(scan, whole):
    """Same voxels at the same places: positions of headers have 8 digits."""
    np.testing.assert_allclose(scan.volume.affine, whole.volume.affine, atol=1e-3)
    assert np.array_equal(scan.volume.data, whole.volume.data)


def one_elsewhere(k):
    """Slice 13 comes last in the file."""
    return [*range(13), *range(14, k), 13]


@pytest.mark.parametrize("manufacturer", [PHILIPS, SIEMENS, "Canon_MEC"])
@pytest.mark.parametrize("indexed_by_place", [True, False])
@pytest.mark.parametrize(
    "order",
    [
        lambda n: list(range(n))[::-1],
        lambda n: [*range(0, n, 2), *range(1, n, 2)],
        one_elsewhere,
        lambda n: [1, 0, *range(2, n)],
    ],
    ids=["reversed", "interleaved", "one elsewhere", "swapped"],
)
def test_frames_lie_where_their_headers_say(study, order, indexed_by_place, manufacturer):
    frames = order(study.SIZE[2])
    file = study.add_enhanced(
        frames, lambda n, k: (k if indexed_by_place else n) + 1, manufacturer=manufacturer
    )
    scan = read_scan(study.folder)
    brightest = np.unravel_index(np.argmax(scan.volume.data), scan.volume.shape)
    found = scan.volume.affine @ (*brightest, 1)
    np.testing.assert_allclose(found[:3], study.patient_mm(*study.MARKER), atol=0.01)
    stored = dcmread(file).pixel_array
    for n, k in enumerate(frames):  # each frame along the normal of the slices
        place = study.patient_mm(0, 0, k)
        i, j, at = np.rint(np.linalg.inv(scan.volume.affine) @ (*place, 1))[:3].astype(int)
        assert scan.volume.data[i, j, at] == stored[n, 0, 0]


def test_one_frame_elsewhere_is_told(study):
    study.add_enhanced(one_elsewhere(study.SIZE[2]), manufacturer=PHILIPS)
    warnings = read_scan(study.folder).warnings
    assert sum(PUT_RIGHT in warning for warning in warnings) == 1


def test_a_conversion_that_is_right_says_nothing(study):
    study.add(4, "T1 MPRAGE")
    assert read_scan(study.folder).warnings == ()


def test_what_cannot_be_unpacked_is_read_with_a_warning(study, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no decoder")

    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    monkeypatch.setattr("pydicom.pixels.utils.iter_pixels", fail)
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert ["could not be compared with its DICOM images" in w for w in scan.warnings] == [True]


@pytest.mark.parametrize("quality_db", [[0], [60.0]], ids=["lossless", "lossy"])
def test_packed_images_are_compared(study, quality_db):
    """JPEG 2000, unpacked by pydicom and by dcm2niix, which may differ by a step."""
    study.add(4, "T1 MPRAGE")
    for path in study.folder.iterdir():
        data = dcmread(path)
        pixels = Image.fromarray(data.pixel_array.astype(np.uint16))
        packed = BytesIO()
        lossy = quality_db != [0]
        pixels.save(
            packed,
            "JPEG2000",
            irreversible=lossy,
            quality_mode="dB",
            quality_layers=quality_db,
            no_jp2=True,
        )
        data.PixelRepresentation = 0
        data.file_meta.TransferSyntaxUID = JPEG2000 if lossy else JPEG2000Lossless
        data.PixelData = encapsulate([packed.getvalue()])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    scan = read_scan(study.folder)
    assert scan.warnings == ()
    brightest = np.unravel_index(np.argmax(scan.volume.data), scan.volume.shape)
    found = scan.volume.affine @ (*brightest, 1)
    np.testing.assert_allclose(found[:3], study.patient_mm(*study.MARKER), atol=0.01)


def test_a_series_sent_again_with_new_uids_is_read_once(study):
    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    study.add(4, "T1 MPRAGE", copy="b")
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert any("24 images twice, under other names; each was read once" in w for w in scan.warnings)


def test_half_a_series_sent_again_is_read_once(study):
    study.add(4, "T1 MPRAGE", fields={"PixelRepresentation": 0})
    whole = read_scan(study.folder)
    study.add(4, "T1 MPRAGE", copy="b", skip=tuple(range(9, 24)), fields={"PixelRepresentation": 0})
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert any("holds 9 images twice" in warning for warning in scan.warnings)
    assert not any("missing" in warning for warning in scan.warnings)


@pytest.mark.parametrize("first", ["a", "z"])
def test_of_two_volumes_at_one_place_the_first_acquired_is_taken(study, first):
    second = {"AcquisitionNumber": 2, "AcquisitionTime": "111500"}
    study.add(4, "T1 SE", timing_ms=(500, 12, None), copy=first)
    whole = read_scan(study.folder)
    study.add(4, "T1 SE", timing_ms=(500, 12, None), copy="m", scale=0.5, fields=second)
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert scan.metadata["dicom_series"]["RepetitionTime"] == 0.5  # not that of a time series
    told = [w for w in scan.warnings if "several images at the same places" in w]
    assert len(told) == 1
    assert "first magnitude image of each place was taken, 24 others were not" in told[0]


def test_magnitude_goes_before_phase(study):
    fields = {"Manufacturer": PHILIPS, "ImageType": ["DERIVED", "PRIMARY", "PHASE MAP", "P", "SE"]}
    study.add(4, "T1 MPRAGE", copy="z", fields={"Manufacturer": PHILIPS})
    whole = read_scan(study.folder)
    study.add(4, "T1 MPRAGE", copy="a", scale=0.25, fields=fields | {"AcquisitionNumber": 0})
    assert_is(read_scan(study.folder), whole)


def test_of_two_volumes_in_one_file_the_first_is_taken(study):
    order = list(range(study.SIZE[2]))
    study.add_enhanced(order)
    whole = read_scan(study.folder)
    study.add_enhanced(order, volumes=2)
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert any("several images at the same places" in w for w in scan.warnings)


def test_a_localizer_inside_the_series_is_left_out(study):
    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    across = [float(v) for v in (*study.rotation[:, 1], *study.rotation[:, 2])]
    fields = {
        "ImageOrientationPatient": [f"{v:.8f}" for v in across],
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    }
    study.add(4, "T1 MPRAGE", copy="loc", size=(36, 30, 3), fields=fields)
    assert_is(read_scan(study.folder), whole)


@pytest.mark.parametrize("kind", ["LOCALIZER", "OTHER"])
def test_parallel_images_between_the_slices_are_left_out(study, kind):
    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    study.origin = study.origin + study.rotation[:, 2] * 3.0
    fields = {"ImageType": ["ORIGINAL", "PRIMARY", kind], "EchoTime": 2.9, "AcquisitionNumber": 2}
    study.add(4, "T1 MPRAGE", copy="loc", skip=tuple(range(3, 24)), fields=fields)
    study.origin = study.origin - study.rotation[:, 2] * 3.0
    scan = read_scan(study.folder)
    print(scan.warnings)
    assert_is(scan, whole)


def test_irregular_slices_are_brought_to_even_distances(study):
    """Every slice above the sixth lies 2 mm higher: no slice is missing, the step is uneven."""
    study.add(4, "T1 MPRAGE")
    for path in study.folder.iterdir():
        data = dcmread(path)
        if data.InstanceNumber > 6:
            up = study.rotation[:, 2] * 2
            moved = np.array(data.ImagePositionPatient, dtype=float) + up
            data.ImagePositionPatient = [f"{v:.6f}" for v in moved]
            data.save_as(path)
    scan = read_scan(study.folder)
    weights = np.where(scan.volume.data > 450, scan.volume.data, 0)
    centre = np.array([np.average(i, weights=weights) for i in np.indices(weights.shape)])
    wanted = study.patient_mm(*study.MARKER) + study.rotation[:, 2] * 2 * (-1, -1, 1)
    found = (scan.volume.affine @ (*centre, 1))[:3]
    assert np.linalg.norm(found - wanted) < 0.6  # the next slice of the even grid is .52 mm away
    assert any("unevenly spaced slices; they were interpolated" in w for w in scan.warnings)


@pytest.mark.parametrize("pieces", [2, 4])
def test_a_volume_in_several_multi_frame_files_is_put_together(study, pieces):
    """dcm2niix makes a volume of each: half a head, or nothing that is one."""
    file = study.add_enhanced(list(range(study.SIZE[2])))
    whole = read_scan(study.folder)
    data = dcmread(file)
    pixels, groups = data.pixel_array, list(data.PerFrameFunctionalGroupsSequence)
    file.unlink()
    for number, frames in enumerate(np.array_split(np.arange(study.SIZE[2]), pieces)):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.InstanceNumber, data.NumberOfFrames = number + 1, len(frames)
        data.PerFrameFunctionalGroupsSequence = [groups[k] for k in frames]
        data.PixelData = pixels[frames].tobytes()
        data.save_as(study.folder / f"piece_{number}.dcm")
    assert_is(read_scan(study.folder), whole)


def test_magnitude_behind_phase_in_one_file_is_found(study):
    count = study.SIZE[2]
    file = study.add_enhanced(list(range(count)), volumes=2)
    data = dcmread(file)
    for n, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "P" if n < count else "M", "NONE"]
        kind.ComplexImageComponent = "PHASE" if n < count else "MAGNITUDE"
        groups.MRImageFrameTypeSequence = [kind]
    data.save_as(file)
    scan = read_scan(study.folder)
    assert scan.volume.data.max() == 1500  # of the second volume; the first has 3000
    assert scan.volume.shape == study.SIZE


def test_files_without_preamble_are_compared_too(study):
    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    for path in study.folder.iterdir():
        data = dcmread(path)
        bare = Dataset()
        bare.update(data)
        with path.open("wb") as file:
            buffer = DicomFileLike(file)
            buffer.is_little_endian, buffer.is_implicit_VR = True, True
            write_dataset(buffer, bare)
    scan = read_scan(study.folder)
    assert_is(scan, whole)
    assert scan.warnings == ()
