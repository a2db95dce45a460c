"""Which series can be a structural image: size, timing and tags decide, words rank."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset

from anatomaly.errors import ScanError
from anatomaly.scan.instances import Instance, fields_of_series
from anatomaly.scan.series import choose_series, exam_protocols, series_of_file

FLAIR = {"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5}
T1 = {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9}


@pytest.fixture
def describe(tmp_path):
    """Describe a file of that size with those fields."""

    def make(shape=(40, 44, 26), spacing_mm=(5.0, 5.0, 5.5), number=4, of_exams=(), **fields):
        path = tmp_path / f"series_{number}.nii"
        header = nib.Nifti1Header()
        header.set_data_shape(shape)
        image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([*spacing_mm, 1.0]))
        image.to_filename(path)
        told = {"Modality": "MR", "SeriesNumber": number, "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
        return series_of_file(path, told | fields, frozenset(of_exams))

    return make


def choose(tmp_path, *found):
    return choose_series(list(found), tmp_path)


@pytest.mark.parametrize(
    "description",
    [
        "t2_tirm_tra_dark-fluid_FA150",
        "epi_flair_cor",
        "FLAIR LOC L2",
        "FLAIR survey study",
        "FLAIR scout matched",
        "FLAIR dti position",
        "FLAIR report",
    ],
)
def test_words_alone_refuse_no_whole_head_of_structural_timing(describe, tmp_path, description):
    series = describe(SeriesDescription=description, ProtocolName=description, **FLAIR)
    assert (series.reason_against, series.sequence) == ("", "FLAIR")
    assert choose(tmp_path, series) == (series, ())  # description and timing agree


def test_words_rank_where_the_timing_was_removed(describe):
    series = describe(SeriesDescription="FLAIR survey")
    assert (series.reason_against, series.doubt) == ("", "a localizer")
    assert describe(SeriesDescription="survey").reason_against == "a localizer"


def test_words_rank(describe, tmp_path):
    scout = describe(SeriesDescription="AAHead_Scout", number=1, **T1)
    angiogram = describe(SeriesDescription="TOF_3D", number=2, shape=(80, 80, 60), **T1)
    wanted = describe(SeriesDescription="flair tra", number=9, **FLAIR)
    best, warnings = choose(tmp_path, scout, angiogram, wanted)
    assert best is wanted
    assert "series 1 'AAHead_Scout' (a localizer)" in warnings[0]
    best, warnings = choose(tmp_path, scout)
    assert best is scout
    assert "speaks of a localizer; its size and timing are those of a structural" in warnings[0]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"SeriesDescription": "localizer"}, "a localizer"),
        ({"SeriesDescription": "head loc", "shape": (40, 44, 14), **T1}, "a localizer"),
        ({"SeriesDescription": "TOF", "spacing_mm": (5.0, 5.0, 3.5), **T1}, "an angiogram"),
        ({"SeriesDescription": "trace", "EchoTime": 0.09}, "diffusion"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], **FLAIR}, "a localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "ADC"], **FLAIR}, "image type ADC"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MIP"], **FLAIR}, "image type MIP"),
        ({"DiffusionBValue": 1000.0, **FLAIR}, "diffusion"),
        ({"ScanningSequence": "EP\\SE", **FLAIR}, "echo-planar"),
        ({"EchoPlanarPulseSequence": "YES", **FLAIR}, "echo-planar"),
        ({"SequenceName": "*ep_b0", **FLAIR}, "echo-planar"),
        ({"TimeOfFlightContrast": "YES", **T1}, "an angiogram"),
        ({"shape": (40, 44, 26, 60), **FLAIR}, "60 volumes"),
        ({"shape": (40, 44, 7), "spacing_mm": (5.0, 5.0, 10.0), **FLAIR}, "only 7 slices"),
        ({"spacing_mm": (5.0, 5.0, 2.0), **FLAIR}, "covers only 200 x 220 x 52 mm"),
        ({"Modality": "PT", **FLAIR}, "modality PT"),
    ],
)
def test_size_timing_and_tags_decide(describe, tmp_path, fields, reason):
    series = describe(**fields)
    assert series.reason_against.startswith(reason)
    with pytest.raises(ScanError, match="no structural MR series among 1"):
        choose(tmp_path, series)


def test_diffusion_is_known_by_its_b_values(describe, tmp_path):
    (tmp_path / "series_4.bval").write_text("0 1000 1000")
    assert describe(**FLAIR).reason_against == "diffusion"


@pytest.mark.parametrize(
    "protocol",
    ["BRAIN DTI 32/3", "STROKE MRA DWI", "TUMOR PERFUSION", "EPI-LEPSY PROTOCOL", "REPORTED PAIN"],
)
def test_the_protocol_of_a_ge_exam_says_nothing_of_a_series(describe, protocol):
    fields = {
        "Manufacturer": "GE",
        "SeriesDescription": "Ax T2 FLAIR",
        "ProtocolName": protocol,
        "RepetitionTime": 9.0,
    }  # no echo time: the timing is silent
    series = describe(**fields, of_exams=exam_protocols([fields]))
    assert (series.reason_against, series.sequence) == ("", "FLAIR")


def test_a_protocol_that_series_share_says_nothing_of_one():
    shared = [{"ProtocolName": "W CONTRAST", "SeriesDescription": text} for text in ("T1", "T2")]
    own = [{"ProtocolName": "t1_mprage", "SeriesDescription": "t1_mprage", "Manufacturer": "X"}]
    assert exam_protocols(shared + own) == {"W CONTRAST"}


def test_description_then_timing_then_protocol_name_the_sequence(describe):
    assert describe(SeriesDescription="T2", ProtocolName="T1", **T1).sequence == "T2w"
    assert describe(SeriesDescription="AX", ProtocolName="T2", **T1).sequence == "T1w"
    assert describe(SeriesDescription="AX", ProtocolName="T2").sequence == "T2w"
    assert describe(SeriesDescription="AX", ProtocolName="T2", of_exams=["T2"]).sequence is None


@pytest.mark.parametrize(
    ("fields", "enhanced"),
    [
        ({"SeriesDescription": "T1 +C"}, True),
        ({"SeriesDescription": "T1", "ProtocolName": "T1 KM"}, True),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Gadovist"}, True),
        ({"SeriesDescription": "T1", "ContrastBolusIngredient": "GADOLINIUM"}, True),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "NONE"}, False),
        ({"SeriesDescription": "T1 W/O CONTRAST", "ContrastBolusAgent": "Gadovist"}, False),
        ({"SeriesDescription": "T1 PRE", "ProtocolName": "BRAIN W CONTRAST"}, False),
        ({"SeriesDescription": "T1", "ProtocolName": "BRAIN W/WO CONTRAST"}, False),
        ({"SeriesDescription": "T1", "ProtocolName": "W CON", "of_exams": ["W CON"]}, False),
    ],
)
def test_contrast_agent_by_own_words_then_tags(describe, tmp_path, fields, enhanced):
    series = describe(**fields, **T1)
    _, warnings = choose(tmp_path, series)
    assert any("contrast-enhanced" in warning for warning in warnings) is enhanced


def test_an_agent_of_the_exam_does_not_make_series_equal(describe, tmp_path):
    agent = {"ContrastBolusAgent": "Gadovist", **T1}
    after = describe(SeriesDescription="T1 +C", number=1, shape=(80, 80, 60), **agent)
    before = describe(SeriesDescription="T1", number=2, **agent)
    assert choose(tmp_path, after, before)[0] is before


def test_one_image_at_each_place_goes_before_several(describe, tmp_path):
    two = describe(SeriesDescription="T1", number=1, shape=(80, 80, 60, 2), **T1)
    one = describe(SeriesDescription="T1", number=2, **T1)
    best, warnings = choose(tmp_path, two, one)
    assert best is one
    assert "series 1 'T1' (2 volumes)" in warnings[0]


@pytest.mark.parametrize(
    ("manufacturer", "tag", "kind", "value"),
    [
        ("SIEMENS", 0x0019100C, "IS", "1000"),
        ("SIEMENS", 0x0019100C, "UN", b"1000"),
        ("Philips Medical Systems", 0x20011003, "FL", 1000.0),
        ("Philips Medical Systems", 0x20011003, "UN", struct.pack("<f", 1000.0)),
        ("GE MEDICAL SYSTEMS", 0x00431039, "IS", ["1000001000", "8", "0", "0"]),
        ("GE MEDICAL SYSTEMS", 0x00431039, "UN", b"1000\\8\\0\\0"),
    ],
)
def test_b_values_of_manufacturers(manufacturer, tag, kind, value):
    header = Dataset()
    header.Manufacturer = manufacturer
    assert fields_of_series([Instance(Path("x"), header)])["DiffusionBValue"] == 0
    header.add_new(tag, kind, value)
    assert fields_of_series([Instance(Path("x"), header)])["DiffusionBValue"] == 1000
    header.Manufacturer = "Canon"
    assert fields_of_series([Instance(Path("x"), header)])["DiffusionBValue"] == 0


def test_fields_of_an_enhanced_header():
    header, shared, echo, timing, inversion = (Dataset() for _ in range(5))
    echo.EffectiveEchoTime, timing.RepetitionTime, inversion.InversionTimes = 120.0, 9000.0, 2500.0
    shared.MREchoSequence, shared.MRModifierSequence = [echo], [inversion]
    shared.MRTimingAndRelatedParametersSequence = [timing]
    header.SharedFunctionalGroupsSequence = [shared]
    header.SeriesNumber, header.ImageType = "7", ["ORIGINAL", "PRIMARY"]
    fields = fields_of_series([Instance(Path("x"), header)])
    assert {name: fields[name] for name in FLAIR} == FLAIR
    assert (fields["SeriesNumber"], fields["ImageType"]) == (7, ["ORIGINAL", "PRIMARY"])
    assert fields_of_series([]) == {}
