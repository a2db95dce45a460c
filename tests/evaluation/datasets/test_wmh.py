"""WMH 2017 by its own names."""

from anatomaly.evaluation.datasets.wmh import find_wmh
from anatomaly.evaluation.labels import read_label

SITES = ["training/Utrecht/0", "training/Amsterdam/GE3T/100", "test/Singapore/51",
         "test/Amsterdam/Philips_VU .PETMR_01./161"]  # fmt: skip


def files(patient, kinds=("orig", "pre")):
    ends = ("3DT1", "FLAIR", "T1")
    scans = {f"{patient}/{kind}/{end}.nii.gz": "scan" for kind in kinds for end in ends}
    return scans | {f"{patient}/wmh.nii.gz": "other"}


def test_names(write):
    folder = write({k: v for site in SITES for k, v in files(site).items()})
    write({"additional_annotations/observer_o3/training/Utrecht/0/result.nii.gz": "lesion"})
    found = find_wmh(folder)
    assert found.problems == []
    assert {(c.patient, c.site) for c in found.cases} == {
        ("Utrecht_0", "Utrecht"),
        ("Amsterdam_GE3T_100", "Amsterdam_GE3T"),
        ("Singapore_51", "Singapore"),
        ("Amsterdam_Philips_VU.PETMR_01._161", "Amsterdam_Philips_VU.PETMR_01."),
    }
    assert [c.sequence for c in found.cases if c.patient == "Utrecht_0"] == ["T1w", "FLAIR"]
    one = next(c for c in found.cases if c.site == "Utrecht")
    assert one.scan == folder / "training/Utrecht/0/orig/T1.nii.gz"


def test_other_pathology_is_neither_lesion_nor_healthy(write):
    case = find_wmh(write(files("training/Utrecht/0"))).cases[0]
    label = read_label(case)
    assert label.lesion.data.sum() == 8 and label.open.sum() == 1
    assert label.open[4, 4, 4] and not label.lesion.data[4, 4, 4]


def test_corrected_scans_where_the_acquired_ones_are_not_there(write):
    found = find_wmh(write(files("training/Utrecht/0", kinds=("pre",))))
    assert [c.scan.parent.name for c in found.cases] == ["pre", "pre"]
