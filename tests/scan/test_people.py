"""Whose images lie in one folder, and of which visit."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from anatomaly.errors import ScanError
from anatomaly.scan.instances import Instance
from anatomaly.scan.people import check_one_visit
from anatomaly.scan.read import read_scan

FOLDER = Path("/in")


def image(path="a/1", **fields):
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    told = {
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19700317",
        "PatientSex": "F",
        "StudyInstanceUID": "1.1",
        "SeriesInstanceUID": "1.1.1",
        "StudyDate": "20200102",
        "Modality": "MR",
        "ImagePositionPatient": [0, 0, 0],
    }
    for name, value in (told | fields).items():
        setattr(header, name, value)
    return Instance(FOLDER / path, header)


NAMELESS = {"PatientID": "", "PatientName": "", "PatientBirthDate": "", "PatientSex": ""}
OTHER_STUDY = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.1"}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"PatientID": "P2"}),
        ({"PatientID": ""}, {"PatientID": "", "PatientName": "Roe^Ann"}),
        ({}, {"PatientName": "Roe^Ann", "PatientBirthDate": ""}),
        ({}, {"PatientBirthDate": "19710317"}),
        (
            {"PatientID": "", "PatientName": ""},
            {"PatientID": "", "PatientName": "", "PatientSex": "M"},
        ),
        (NAMELESS | {"PatientName": "ANON^01"}, NAMELESS | {"PatientName": "ANON^02"}),
        ({"PatientID": "0"}, {"PatientID": "0", "PatientName": "Roe", "PatientBirthDate": "1980"}),
    ],
)
def test_two_people_are_refused(one, two):
    with pytest.raises(ScanError, match="files of 2 patients; name the folder of one of them, or"):
        check_one_visit(FOLDER, [image(**one), image(**two, **OTHER_STUDY)])


@pytest.mark.parametrize(
    "other",
    [
        {"PatientName": ""},
        {"PatientID": ""},
        {"PatientName": "ANONYMOUS", "PatientBirthDate": ""},
        {"PatientName": "doe^jane "},
        {"PatientName": "DOE^JANE^A"},
        {"PatientName": "Doe^Jané=山田^太郎", "PatientID": ""},
        {"PatientName": "Roe^Jane"},  # same number and birth date: she married
        {"PatientBirthDate": "19700101"},  # an anonymiser left the year
        {"PatientBirthDate": "1970"},
        {"PatientSex": "O"},
        NAMELESS,
    ],
)
def test_an_emptied_or_corrected_field_is_no_other_person(other):
    assert check_one_visit(FOLDER, [image(), image(**other)]) == ()


def test_nameless_series_of_one_study_are_of_one_person():
    two = [image(**NAMELESS), image(**NAMELESS | {"SeriesInstanceUID": "1.1.2"})]
    assert check_one_visit(FOLDER, two) == ()
    emptied = [image(**NAMELESS | {"StudyInstanceUID": "", "SeriesInstanceUID": u}) for u in "123"]
    assert check_one_visit(FOLDER, emptied) == ()


def test_nameless_studies_may_be_of_two_people():
    two = [image("a/1", **NAMELESS), image("b/1", **NAMELESS, **OTHER_STUDY)]
    with pytest.raises(ScanError, match=r"2 studies without the patient's number and name.*/in/b"):
        check_one_visit(FOLDER, two)
    same_frame = {"FrameOfReferenceUID": "1.9"}
    linked = [image(**NAMELESS, **same_frame), image(**NAMELESS, **OTHER_STUDY, **same_frame)]
    assert check_one_visit(FOLDER, linked) == ()


@pytest.mark.parametrize("study", [OTHER_STUDY, {"SeriesInstanceUID": "1.1.2"}])
def test_two_visits_are_named_and_none_is_taken(study):
    first = [image("v/1"), image("v/2")]
    later = [image("w/1", StudyDate="20210506", **study)]
    with pytest.raises(ScanError) as raised:
        check_one_visit(FOLDER, first + later)
    told = str(raised.value)
    assert "2 visits of one person, and none is taken unless you say which" in told
    assert "20200102: 1 series, 2 images, such as /in/v;" in told
    assert "20210506: 1 series, 1 images, such as /in/w)" in told


def test_visits_that_are_mixed_are_named_by_a_file():
    mixed = [image("1"), image("2", StudyDate="20210506", **OTHER_STUDY)]
    with pytest.raises(ScanError, match=r"such as /in/1; .* such as /in/2\)"):
        check_one_visit(FOLDER, mixed)


def test_undated_studies_are_dated_by_their_acquisition():
    undated = {"StudyDate": ""}
    two = [
        image(**undated, AcquisitionDate="20200102"),
        image(**undated, **OTHER_STUDY, AcquisitionDate="20210506"),
    ]
    with pytest.raises(ScanError, match="2 visits"):
        check_one_visit(FOLDER, two)
    with pytest.raises(ScanError, match="2 visits"):
        check_one_visit(FOLDER, [image(**undated), image(**undated, **OTHER_STUDY)])


def test_studies_of_one_false_date_are_dated_by_their_acquisition():
    two = [image(AcquisitionDate="20180101"), image(**OTHER_STUDY, AcquisitionDate="20200102")]
    with pytest.raises(ScanError, match="2 visits"):
        check_one_visit(FOLDER, two)
    next_day = [image(AcquisitionDate="20200102"), image(**OTHER_STUDY, AcquisitionDate="20200103")]
    assert len(check_one_visit(FOLDER, next_day)) == 1


def test_two_studies_of_one_day_go_on_with_a_warning():
    told = check_one_visit(FOLDER, [image(), image(**OTHER_STUDY)])
    assert told == ("the folder holds 2 studies of one person and day; all were looked at",)


def test_a_study_that_crosses_midnight_is_one_visit():
    late = image(AcquisitionDate="20200103", SeriesInstanceUID="1.1.9")
    assert check_one_visit(FOLDER, [image(AcquisitionDate="20200102"), late]) == ()


def test_another_modality_of_another_day_is_no_visit():
    ct = image(Modality="CT", StudyDate="20190101", **OTHER_STUDY)
    assert check_one_visit(FOLDER, [image(), ct]) == ()


def test_a_file_of_one_visit_takes_its_series(study):
    study.add(4, "T1 MPRAGE")
    study.study_uid = generate_uid()
    study.add(5, "T1 MPRAGE", fields={"StudyDate": "20210506"})
    with pytest.raises(ScanError, match=r"2 visits of one person.*s04_000.*s05_000"):
        read_scan(study.folder)
    scan = read_scan(study.folder / "s05_000.dcm")
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 5
    assert "somebody" not in str(scan.metadata) + str(scan.warnings)
