"""The listing of real cases, on a folder that the test builds."""

from anatomaly.evaluation.cases import list_cases


def touch(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.nii.gz").touch()


def test_listing(tmp_path):
    touch(tmp_path / "mslub_19", "FLAIR", "T1w", "consensus", "lesion")
    touch(tmp_path / "glioma_b", "T2w", "FLAIR", "tumour_automatic")
    touch(tmp_path / "glioma_a", "FLAIR", "T1w", "tumour_automatic", "tumour_labels")
    touch(tmp_path / "without_label", "FLAIR", "T1w")
    (tmp_path / "notes.txt").touch()
    found = list_cases(tmp_path)
    assert [(c.sequence, c.patient, c.disease, c.reference) for c in found] == [
        ("T1w", "glioma_a", "glioma", "drawn"),
        ("T1w", "mslub_19", "MS", "consensus"),
        ("T2w", "glioma_b", "glioma", "automatic"),
        ("FLAIR", "glioma_a", "glioma", "drawn"),
        ("FLAIR", "glioma_b", "glioma", "automatic"),
        ("FLAIR", "mslub_19", "MS", "consensus"),
    ]
    for case in found:
        assert case.scan == tmp_path / case.patient / f"{case.sequence}.nii.gz"
        assert case.label.is_file() and case.label.parent == case.scan.parent
    assert found[0].label.name == "tumour_labels.nii.gz"


def test_nothing_there(tmp_path):
    assert list_cases(tmp_path) == []
