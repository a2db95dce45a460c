"""MSLUB with and without the patient in the file names."""

import pytest

from anatomaly.evaluation.datasets.mslub import find_mslub

ENDS = {"T1W": "scan", "T1WKS": "scan", "T2W": "scan", "FLAIR": "scan", "consensus_gt": "lesion",
        "brainmask": "lesion"}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "patient07_"])
@pytest.mark.parametrize("above", ["", "cross_sectional/coregistered/"])
def test_names(write, prefix, above):
    files = {f"{above}patient07/{prefix}{end}.nii.gz": kind for end, kind in ENDS.items()}
    raw = {f"{above}patient07/raw/patient07_T1W.nii.gz": "scan"}
    beside = {"cross_sectional/raw/patient07/T1W.nii.gz": "scan"}
    folder = write(files | raw | beside)
    found = find_mslub(folder)
    assert found.problems == []
    patient = folder / f"{above}patient07"
    assert [(c.sequence, c.scan) for c in found.cases] == [
        (sequence, patient / f"{prefix}{end}.nii.gz")
        for sequence, end in (("T1w", "T1W"), ("T2w", "T2W"), ("FLAIR", "FLAIR"))
    ]
    for case in found.cases:
        assert case.label == patient / f"{prefix}consensus_gt.nii.gz"
        assert case.brain_mask == patient / f"{prefix}brainmask.nii.gz"
        assert (case.patient, case.disease, case.reference) == ("patient07", "MS", "consensus")


def test_what_is_missing(write):
    folder = write({"patient01/FLAIR.nii.gz": "scan", "patient02/consensus_gt.nii.gz": "lesion"})
    found = find_mslub(folder)
    assert found.cases == []
    assert {p.what for p in found.problems if p.where == "patient01"} == {
        "no T1w", "no T2w", "no label",
    }  # fmt: skip
    assert len(found.problems) == 6 and {p.kind for p in found.problems} == {"missing"}
