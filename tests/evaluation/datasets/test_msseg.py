"""MSSEG 2016 by its own names."""

from anatomaly.evaluation.datasets.msseg import find_msseg


def files(patient):
    ends = ("T1", "T2", "FLAIR", "GADO", "DP")
    scans = {f"{patient}/Preprocessed_Data/{end}_preprocessed.nii.gz": "scan" for end in ends}
    raw = {f"{patient}/Raw_Data/{end}.nii.gz": "scan" for end in ends}
    masks = {"Consensus": "lesion", "Brain_Mask": "lesion", "ManualSegmentation_1": "lesion"}
    return scans | raw | {f"{patient}/Masks/{m}.nii.gz": kind for m, kind in masks.items()}


def test_names_and_numbers_that_repeat(write):
    folder = write(
        files("Training/Center_01/Patient_01")
        | files("Training/Center_07/Patient_01")
        | files("Testing/Center_01/Patient_01")
    )
    found = find_msseg(folder)
    assert found.problems == []
    assert {c.patient for c in found.cases} == {
        "Training_Center_01_Patient_01",
        "Training_Center_07_Patient_01",
        "Testing_Center_01_Patient_01",
    }
    assert len(found.cases) == 9
    one = next(c for c in found.cases if c.patient.startswith("Testing") and c.sequence == "T2w")
    inside = folder / "Testing/Center_01/Patient_01"
    assert one.scan == inside / "Preprocessed_Data/T2_preprocessed.nii.gz"
    assert one.label == inside / "Masks/Consensus.nii.gz"
    assert one.brain_mask == inside / "Masks/Brain_Mask.nii.gz"
    assert one.site == "Center_01"


def test_raw_scans_are_not_used(write):
    patient = "Training/Center_01/Patient_02"
    raw = {name: kind for name, kind in files(patient).items() if "Preprocessed" not in name}
    found = find_msseg(write(raw))
    assert found.cases == []
    assert [p.what for p in found.problems] == ["no T1w", "no T2w", "no FLAIR"]
