"""The pictures: read by SimpleITK (GDCM), they lie where the scan lies and show what was found."""

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from anatomaly.dicom_results.overlay import BURNT_IN


@pytest.fixture(name="pictures")
def fixture_pictures(result):
    return [dcmread(path) for path in sorted((result.folder / "overlay_sc").iterdir())]


def instance_of(picture, result):
    reference = picture.SourceImageSequence[0]
    instance = result.case.instances[reference.ReferencedSOPInstanceUID]
    number = int(reference.get("ReferencedFrameNumber", 1)) - 1
    stored = np.frombuffer(instance.PixelData, "<u2").reshape(-1, instance.Rows, instance.Columns)
    return instance, number, stored[number]


def place_of(instance, number):
    """Position, row and column axis, spacing of a frame, from its own header."""
    if "PerFrameFunctionalGroupsSequence" in instance:
        groups = instance.PerFrameFunctionalGroupsSequence[number]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        axes = groups.PlaneOrientationSequence[0].ImageOrientationPatient
        spacing = groups.PixelMeasuresSequence[0].PixelSpacing
    else:
        position, axes = instance.ImagePositionPatient, instance.ImageOrientationPatient
        spacing = instance.PixelSpacing
    return (np.array(x, float) for x in (position, axes[:3], axes[3:], spacing))


def test_each_picture_lies_where_its_slice_lies(pictures, result):
    assert len({picture.SOPInstanceUID for picture in pictures}) == len(pictures)
    assert len({picture.SeriesInstanceUID for picture in pictures}) == 1
    for picture in pictures:
        instance, number, _ = instance_of(picture, result)
        position, along, down, spacing = place_of(instance, number)
        factor = picture.Columns // instance.Columns
        assert picture.FrameOfReferenceUID == instance.FrameOfReferenceUID
        assert picture.StudyInstanceUID == instance.StudyInstanceUID
        assert (picture.PatientID, picture.PatientName) == ("J1", "Doe^Jane")
        np.testing.assert_allclose(np.array(picture.PixelSpacing, float) * factor, spacing)
        np.testing.assert_allclose(
            np.array(picture.ImageOrientationPatient, float), [*along, *down], atol=1e-6
        )
        # the corner of the first pixel, half a pixel before its centre, is the slice's
        mine = np.array(picture.ImagePositionPatient, float)
        for axis, step in ((along, spacing[1]), (down, spacing[0])):
            mine, position = mine - axis * step / factor / 2, position - axis * step / 2
        np.testing.assert_allclose(mine, position, atol=1e-3)
        letters = {"L": 0, "R": 0, "P": 1, "A": 1, "H": 2, "F": 2}
        for letter, axis in zip(picture.PatientOrientation, (along, down), strict=True):
            part = axis[letters[letter]]
            assert abs(part) == np.abs(axis).max() and (part > 0) == (letter in "LPH")


def test_gdcm_reads_the_colours_over_the_pixels_of_the_scan(pictures, result):
    """Where the score is high there is colour, elsewhere the grey of the scan."""
    inside = 0
    for number, picture in enumerate(pictures, start=1):
        path = result.folder / "overlay_sc" / f"{number:04d}.dcm"
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        rgb = sitk.GetArrayFromImage(image)[0].astype(int)
        assert rgb.shape == (picture.Rows, picture.Columns, 3)
        np.testing.assert_allclose(
            image.GetOrigin(), [float(x) for x in picture.ImagePositionPatient], atol=1e-4
        )
        instance, _, stored = instance_of(picture, result)
        factor = picture.Columns // instance.Columns
        small = rgb[factor // 2 : factor * instance.Rows : factor, factor // 2 :: factor]
        coloured = np.ptp(small, axis=-1) > 40
        outline = (small == (53, 224, 255)).all(-1)
        found = stored > 0.625 * 3100
        inside += found.sum()
        assert coloured[found].all()
        assert not (coloured & ~outline)[stored < 0.2 * 3100].any()
        grey = small[..., 0][~coloured & ~found]
        order = np.corrcoef(grey, stored[~coloured & ~found])[0, 1]
        assert order > 0.9
        border = rgb[: factor * instance.Rows] == (53, 224, 255)
        assert border.all(-1).any() == found.any()
        words = rgb[factor * instance.Rows :]
        assert words.max() > 200 and 0.02 < (words.max(-1) > 100).mean() < 0.4
    assert inside == (result.anomaly_mask.data > 0).sum()


def test_it_says_what_it_is_for(pictures):
    for picture in pictures:
        assert picture.ImageComments == BURNT_IN
        assert "RESEARCH ONLY" in picture.SeriesDescription
        assert picture.BurnedInAnnotation == "NO"  # no name is in it
        assert min(picture.Columns, picture.Rows) >= 256
