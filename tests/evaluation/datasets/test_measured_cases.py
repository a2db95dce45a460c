"""The cases of our figures, by the names they have in the project's data folder."""

from anatomaly.evaluation.datasets.measured_cases import find_measured_cases
from anatomaly.evaluation.labels import read_label


def test_names(write):
    folder = write({
        "mslub_patient19/T1w.nii.gz": "scan", "mslub_patient19/FLAIR.nii.gz": "scan",
        "mslub_patient19/lesion.nii.gz": "lesion", "tcga_x/T2w.nii.gz": "scan",
        "tcga_x/tumour_automatic.nii.gz": "other", "brats_y/FLAIR.nii.gz": "scan",
        "empty/readme.nii.gz": "none",
    })  # fmt: skip
    found = find_measured_cases(folder)
    assert [(c.patient, c.sequence, c.disease, c.reference) for c in found.cases] == [
        ("mslub_patient19", "T1w", "MS", "consensus"),
        ("tcga_x", "T2w", "glioma", "automatic"),
        ("mslub_patient19", "FLAIR", "MS", "consensus"),
    ]
    assert {case.dataset for case in found.cases} == {"cases"}
    assert [(p.kind, p.where) for p in found.problems] == [("missing", "brats_y")]
    assert read_label(found.cases[1]).lesion.data.sum() == 9  # all values are tumour


def test_real_folder(data_folder):
    found = find_measured_cases(data_folder / "cases")
    assert len(found.cases) == 19
    assert len({case.person for case in found.cases}) == 11
    assert found.problems == []
