"""Slices that are not the images they were paired with."""

from dataclasses import replace

import pytest

from anatomaly.dicom_results.pixel_check import check_pixels
from anatomaly.dicom_results.source import source_frames
from anatomaly.errors import DicomError
from anatomaly.scan.read import read_scan


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
