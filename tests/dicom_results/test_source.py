"""Slices find the instances that they were; what was resampled is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset, config, dcmread, dcmwrite
from pydicom.uid import generate_uid

from anatomaly.dicom_results.source import check_pixels, source_frames
from anatomaly.errors import DicomError
from anatomaly.scan.read import read_scan, scan_from_image


@pytest.fixture(name="folder")
def fixture_folder(make_head, tmp_path):
    return make_head().write(tmp_path / "series")


def edit(folder, change, monkeypatch):
    """Change every header, past pydicom's care."""
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    for number, path in enumerate(sorted(folder.iterdir())):
        data = dcmread(path)
        change(data, number)
        data.save_as(path)


def test_slices_come_back_in_the_order_of_the_images(case):
    """The scan's own voxels, stacked, are the pixels of each image in turn."""
    source = source_frames(case.scan)
    stacked = source.stack(case.scan.volume.data)
    stored = [case.instances[image.SOPInstanceUID].PixelData for image in source.images]
    pixels = np.frombuffer(b"".join(stored), "<u2")
    np.testing.assert_array_equal(stacked.ravel(), pixels)


def test_other_series_and_other_files_in_the_folder_play_no_part(make_head, tmp_path):
    head, other = make_head(), make_head(degrees=(0, 0, 0))
    head.write(tmp_path / "study" / "a")
    scan = read_scan(tmp_path / "study")
    other.write(tmp_path / "study" / "b")
    (tmp_path / "study" / "notes.txt").write_text("hello")
    images = source_frames(scan).images
    assert {image.SeriesInstanceUID for image in images} == {head.uids[1]}
    assert len(images) == head.size[2]


@pytest.mark.parametrize("by_name", [False, True])
def test_instances_without_preamble_are_found(folder, by_name):
    for path in folder.iterdir():
        dcmwrite(path, Dataset(dcmread(path)), implicit_vr=True, little_endian=True)
    scan = read_scan(next(folder.iterdir()) if by_name else folder)
    source = source_frames(scan)
    assert len(source.images) == scan.volume.shape[2]
    check_pixels(source, scan)


def test_an_instance_that_lies_there_twice_is_taken_once(make_head, tmp_path):
    folder = make_head().write(tmp_path / "series")
    again = next(folder.iterdir())
    shutil.copy(again, folder / "again.dcm")
    images = source_frames(read_scan(folder)).images
    assert len(images) == len({image.SOPInstanceUID for image in images}) == make_head().size[2]


def test_the_echo_that_was_converted_is_taken(make_head, tmp_path):
    head = make_head()
    for echo_ms in (20.0, 90.0):
        head.write(tmp_path / "series", echo_ms)
    scan = read_scan(tmp_path / "series")
    taken = {float(image.EchoTime) for image in source_frames(scan).images}
    assert taken == {1000 * scan.metadata["dicom_series"]["EchoTime"]}


def test_the_series_is_not_named_in_the_manifest(case):
    assert case.scan.series_uid == case.head.uids[1]
    assert case.head.uids[1] not in str(case.scan.metadata)


def test_a_scan_that_is_no_dicom_is_refused(case):
    scan = scan_from_image(case.scan.volume)
    with pytest.raises(DicomError, match="this scan is none; give the DICOM folder itself"):
        source_frames(scan)


def test_files_that_went_away_are_missed(folder, tmp_path):
    scan = read_scan(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("hello")
    with pytest.raises(DicomError, match="no longer there"):
        source_frames(replace(scan, source=other))


def test_missing_slices_are_refused(folder, monkeypatch):
    """dcm2niix makes signed ones even; `read_scan` refuses the others."""

    def change(data, _):
        data.PixelRepresentation = 1

    edit(folder, change, monkeypatch)
    for path in folder.iterdir():
        if dcmread(path).InstanceNumber == 7 + 3 * 12:
            path.unlink()
    with pytest.raises(DicomError, match=r"does not lie on the grid .* missing, unevenly spaced"):
        source_frames(read_scan(folder))


def test_tilted_slices_lie_where_their_headers_say(make_head, tmp_path):
    """Each slice .6 mm further along its rows; dcm2niix has it upright, up to 15 mm away."""
    head = make_head(shear_mm=0.6)
    scan = read_scan(head.write(tmp_path / "series"))
    assert any("put slices in wrong places" in warning for warning in scan.warnings)
    source = source_frames(scan)
    assert np.array_equal(source.stack(scan.volume.data), head.pixels[source.order])


def test_a_scan_moved_by_a_voxel_is_refused(case):
    volume = case.scan.volume
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0]
    moved = replace(case.scan, volume=replace(volume, affine=affine))
    with pytest.raises(DicomError, match="does not lie on the grid"):
        source_frames(moved)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("FrameOfReferenceUID", "no FrameOfReferenceUID"),
        ("PixelSpacing", "does not say where it lies.*PixelSpacing"),
    ],
)
def test_headers_without_a_place_are_refused(folder, monkeypatch, field, message):
    edit(folder, lambda data, _: delattr(data, field), monkeypatch)
    with pytest.raises(DicomError, match=message):
        source_frames(read_scan(folder))


def test_several_enhanced_instances_are_refused(make_head, tmp_path):
    folder = make_head().write_enhanced(tmp_path / "series")
    scan = read_scan(folder)
    data = dcmread(folder / "enhanced.dcm")
    frames = list(data.PerFrameFunctionalGroupsSequence)
    for number, part in enumerate((frames[:13], frames[13:])):
        data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames = part, len(part)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.save_as(folder / f"part{number}.dcm")
    (folder / "enhanced.dcm").unlink()
    with pytest.raises(DicomError, match="several multi-frame instances"):
        source_frames(scan)


def test_scaled_and_shifted_pixels_pass(case):
    volume = case.scan.volume
    scan = replace(case.scan, volume=volume.with_data(volume.data * 0.37 - 12))
    check_pixels(source_frames(scan), scan)


def test_interleaved_frames_that_dcm2niix_leaves_unsorted_were_put_right(make_head, tmp_path):
    """It sorts those of one manufacturer; others keep the order of the file, at wrong places."""
    scan = read_scan(make_head(manufacturer="SIEMENS").write_enhanced(tmp_path / "series"))
    assert any("put slices in wrong places" in warning for warning in scan.warnings)
    check_pixels(source_frames(scan), scan)


def test_one_slice_of_another_place_is_found_out(case):
    data = case.scan.volume.data.copy()
    data[:, :, 9] = data[:, :, 10]
    scan = replace(case.scan, volume=case.scan.volume.with_data(data))
    with pytest.raises(DicomError, match="does not hold the pixels of the image that lies there"):
        check_pixels(source_frames(scan), scan)


def test_a_codec_that_is_missing_stops_nothing(case, monkeypatch):
    def fail(_):
        raise RuntimeError("no decoder")
        yield

    monkeypatch.setattr("pydicom.pixels.utils.iter_pixels", fail)
    data = case.scan.volume.data[:, :, ::-1]
    check_pixels(
        source_frames(case.scan), replace(case.scan, volume=case.scan.volume.with_data(data))
    )
