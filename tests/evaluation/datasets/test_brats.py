"""BraTS 2023 by its own names."""

import pytest

from anatomaly.evaluation.datasets.brats import BRATS, find_brats


def files(name, ends=("t1n", "t1c", "t2w", "t2f", "seg"), above=""):
    return {
        f"{above}{name}/{name}-{end}.nii.gz": "lesion" if end == "seg" else "scan" for end in ends
    }


@pytest.mark.parametrize("part", ["GLI", "MEN", "MET", "PED", "SSA"])
def test_names(write, part):
    name = f"BraTS-{part}-00001-000"
    folder = write(files(name, above=f"ASNR-MICCAI-BraTS2023-{part}-Challenge-TrainingData/"))
    dataset = {d.name: d for d in BRATS}[f"brats-{part.lower()}"]
    found = dataset.find(folder)
    assert found.problems == []
    assert [(c.sequence, c.scan.name) for c in found.cases] == [
        ("T1w", f"{name}-t1n.nii.gz"),
        ("T2w", f"{name}-t2w.nii.gz"),
        ("FLAIR", f"{name}-t2f.nii.gz"),
    ]
    for case in found.cases:
        assert case.label.name == f"{name}-seg.nii.gz" and case.scan.is_file()
        assert (case.patient, case.person) == (name, f"BraTS-{part}-00001")
        assert (case.dataset, case.reference) == (dataset.name, "drawn")
    assert find_brats(folder, "GLI" if part != "GLI" else "MEN").cases == []


def test_time_points_are_one_person(write):
    folder = write(files("BraTS-GLI-00005-000") | files("BraTS-GLI-00005-001"))
    cases = find_brats(folder, "GLI").cases
    assert {c.patient for c in cases} == {"BraTS-GLI-00005-000", "BraTS-GLI-00005-001"}
    assert {c.person for c in cases} == {"BraTS-GLI-00005"}


def test_validation_data_and_gaps(write):
    folder = write(
        files("BraTS-GLI-00001-000", ("t1n", "t2w", "t2f"))  # no label
        | files("BraTS-GLI-00002-000", ("t1n", "t2f", "seg"))
    )
    found = find_brats(folder, "GLI")
    assert [(c.patient, c.sequence) for c in found.cases] == [
        ("BraTS-GLI-00002-000", "T1w"),
        ("BraTS-GLI-00002-000", "FLAIR"),
    ]
    assert set(found.problems) == {
        ("missing", "no label", "BraTS-GLI-00001-000"),
        ("missing", "no T2w", "BraTS-GLI-00002-000"),
    }


def test_a_patient_in_two_folders_is_used_once(write):
    name = "BraTS-GLI-00001-000"
    found = find_brats(write(files(name, above="a/") | files(name, above="b/")), "GLI")
    assert [p.kind for p in found.problems] == ["wrong"]
    assert len(found.cases) == 3 and all("/a/" in str(c.scan) for c in found.cases)


def test_uncompressed_files(write):
    name = "BraTS-MEN-00004-000"
    folder = write({f"{name}/{name}-t1n.nii": "scan", f"{name}/{name}-seg.nii": "lesion"})
    assert [c.scan.name for c in find_brats(folder, "MEN").cases] == [f"{name}-t1n.nii"]
