"""The files of a result folder: what is written, what is refused, and that others accept it."""

import shutil
import subprocess
import sys

import pytest
from highdicom.sr import srread
from pydicom import Dataset, config, dcmread, dcmwrite

from anatomaly.dicom_results.write import require_highdicom, write_dicom_results
from anatomaly.errors import DicomError

OBJECTS = {"lesions_seg.dcm", "anomaly_map_pm.dcm", "report_sr.dcm", "report_pdf.dcm"}
FILES = {*OBJECTS, "overlay_sc"}
ONE_EACH = sorted({*OBJECTS, "overlay_sc/0001.dcm"})
KINDS = ("SR", "Segmentation", "ParametricMap", "SCImage", "EncapsulatedPDF")
"""As dciodvfy calls them."""


@pytest.fixture(name="found")
def fixture_found(make_head, find, tmp_path):
    """Write DICOM results of a series whose headers were changed, and read them."""

    def write(change=None, threshold=0.625, enhanced=False, head=None):
        head = head or make_head()
        folder = (head.write_enhanced if enhanced else head.write)(tmp_path / "series")
        for number, path in enumerate(sorted(folder.iterdir())):
            data = dcmread(path)
            if change:
                change(data, number)
                data.save_as(path)
        out = tmp_path / "out"
        out.mkdir()
        return find(head, folder, out, threshold)

    return write


def test_each_object_is_a_series_of_its_own(result):
    assert {path.name for path in result.folder.iterdir()} == FILES
    data = [result.dataset(name) for name in ONE_EACH]
    assert len({d.SeriesInstanceUID for d in data}) == len({d.SOPInstanceUID for d in data}) == 5
    assert sorted(d.SeriesNumber for d in data) == [4001, 4002, 4003, 4004, 4005]


def test_nothing_found_is_said_without_a_segmentation(found):
    result = found(threshold=0.999999)
    assert {path.name for path in result.folder.iterdir()} == FILES - {"lesions_seg.dcm"}
    report = srread(result.folder / "report_sr.dcm").content
    assert report.get_volumetric_roi_measurement_groups() == []
    (group,) = report.get_image_measurement_groups()
    assert [measurement.value for measurement in group.get_measurements()] == [0, 0]


def test_more_lesions_than_a_segmentation_holds_are_refused(result, tmp_path):
    many = result.lesions * 30_000
    scan, volumes = result.case.scan, (result.anomaly_map, result.anomaly_mask)
    with pytest.raises(DicomError, match=r"90,000 lesions.*65,535.*raise --threshold"):
        write_dicom_results(tmp_path, scan, *volumes, many, {})


def bare(data, _):
    for name in ("PatientID", "PatientName", "StudyDate", "StudyTime", "SliceThickness"):
        delattr(data, name)


def rounded(data, number):
    data.ImageOrientationPatient = [v + 1e-7 * number for v in data.ImageOrientationPatient]


def unknown_sex(data, _):
    data.PatientSex = "U"


def utf8(data, _):
    data.SpecificCharacterSet, data.PatientName = "ISO_IR 192", "Müller^Jürgen"


@pytest.mark.parametrize("change", [bare, rounded, unknown_sex, utf8])
def test_headers_that_scanners_write(found, change):
    result = found(change)
    segmentation = result.dataset("lesions_seg.dcm")
    assert len(segmentation.SegmentSequence) == 3
    source = dcmread(next(result.case.folder.iterdir()))
    for data in (segmentation, *(result.dataset(name) for name in ONE_EACH)):
        assert data.PatientName == source.get("PatientName", "")


def test_a_name_that_is_not_as_the_standard_wants_is_nobodys_business(found, recwarn):
    def change(data, _):
        data.PatientName = data.ReferringPhysicianName = "BRAINIX"

    assert found(change).dataset("report_pdf.dcm").PatientName == "BRAINIX"
    assert [str(each.message) for each in recwarn if "person name" in str(each.message)] == []


def test_instances_without_preamble_get_their_results(make_head, find, tmp_path):
    head = make_head()
    folder, out = head.write(tmp_path / "series"), tmp_path / "out"
    for path in folder.iterdir():
        dcmwrite(path, Dataset(dcmread(path)), implicit_vr=True, little_endian=True)
    out.mkdir()
    find(head, folder, out, 0.625)
    assert {path.name for path in out.iterdir()} == FILES


def test_enhanced_with_shared_groups(found, make_head):
    """Orientation and spacing once for all frames, as some scanners write them."""

    def share(data, _):
        frames, shared = data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence
        for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            setattr(shared[0], name, frames[0][name].value)
            for frame in frames:
                delattr(frame, name)

    result = found(share, enhanced=True, head=make_head(manufacturer="Philips"))
    bright = sum(
        int(frame.source_pixels[frame.pixels > 0].min()) > 2000
        for frame in result.frames("lesions_seg.dcm")
    )
    assert bright == 6  # slices of the three blobs: 3 + 2 + 1


def test_a_field_that_is_none_is_named(found, monkeypatch):
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)

    def change(data, _):
        data.PatientBirthDate = "19xx"

    with pytest.raises(DicomError, match=r"cannot be carried over .*19xx.*correct that field"):
        found(change)


def test_missing_highdicom_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(DicomError, match=r"pip install 'anatomaly\[dicom\]'"):
        require_highdicom()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("name", ONE_EACH)
def test_a_validator_has_no_error(result, name):
    done = subprocess.run(
        ["dciodvfy", "-new", result.folder / name], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert any(kind in line for line in said for kind in KINDS)
    assert [line for line in said if line.startswith("Error")] == []
