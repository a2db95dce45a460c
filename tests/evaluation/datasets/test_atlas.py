"""ATLAS v2.0 by its own names."""

import pytest

from anatomaly.evaluation.datasets.atlas import find_atlas

SPACE = "space-MNI152NLin2009aSym"


def names(person, mask_below=""):
    stem = f"{person}_ses-1_{SPACE}"
    anat = f"{person}/ses-1/anat"
    return (
        f"{anat}/{stem}_T1w.nii.gz",
        f"{mask_below}{anat}/{stem}_label-L_desc-T1lesion_mask.nii.gz",
    )


@pytest.mark.parametrize("where", ["Training/R001/", "derivatives/ATLAS/"])
def test_mask_beside_the_scan_or_in_derivatives(write, where):
    scan, mask = names("sub-r001s002", mask_below=where)
    folder = write({f"Training/R001/{scan}": "scan", mask: "lesion"})
    found = find_atlas(folder)
    assert found.problems == []
    (case,) = found.cases
    assert (case.patient, case.person, case.site) == ("sub-r001s002_ses-1", "sub-r001s002", "R001")
    assert (case.sequence, case.disease) == ("T1w", "stroke")
    assert case.scan == folder / "Training/R001" / scan and case.label == folder / mask


def test_testing_has_no_masks(write):
    scan, mask = names("sub-r005s001", "Training/R005/")
    hidden, _ = names("sub-r005s009")
    folder = write({
        f"Training/R005/{scan}": "scan", mask: "lesion", f"Testing/R005/{hidden}": "scan",
    })  # fmt: skip
    found = find_atlas(folder)
    assert [c.person for c in found.cases] == ["sub-r005s001"]
    assert found.problems == [("missing", "no label", "sub-r005s009_ses-1")]
