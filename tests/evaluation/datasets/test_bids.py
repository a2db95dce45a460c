"""BIDS folders with masks in the places and names that are in use."""

import pytest

from anatomaly.evaluation.datasets.bids import find_bids


def labels(found):
    return {(c.patient, c.sequence): c.label.name if c.label else None for c in found.cases}


@pytest.mark.parametrize(
    "mask",
    [
        "derivatives/lesions/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "derivatives/manual_masks/sub-01/anat/sub-01_space-T1w_desc-lesion_mask.nii.gz",
        "sub-01/anat/sub-01_lesion.nii.gz",
        "sub-01/anat/sub-01_T1w_roi.nii",
        "derivatives/x/sub-01/anat/sub-01_T1w_label-lesion_roi.nii.gz",
    ],
)
def test_places_and_names_of_masks(write, mask):
    folder = write({"sub-01/anat/sub-01_T1w.nii.gz": "scan", mask: "lesion"})
    found = find_bids(folder)
    assert found.problems == []
    (case,) = found.cases
    assert (case.label, case.sequence, case.person) == (folder / mask, "T1w", "sub-01")
    assert (case.disease, case.reference) == ("lesion", "drawn")


def test_a_mask_that_names_a_sequence_belongs_to_it(write):
    folder = write({
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz": "scan",
        "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz": "scan",
        "sub-01/ses-a/anat/sub-01_ses-a_acq-long_FLAIR.nii.gz": "scan",
        "derivatives/l/sub-01/ses-a/anat/sub-01_ses-a_T2w_desc-lesion_mask.nii.gz": "lesion",
        "derivatives/l/sub-01/ses-a/anat/sub-01_ses-a_acq-long_FLAIR_roi.nii.gz": "lesion",
    })  # fmt: skip
    found = find_bids(folder)
    assert labels(found) == {
        ("sub-01_ses-a", "T2w"): "sub-01_ses-a_T2w_desc-lesion_mask.nii.gz",
        ("sub-01_ses-a", "FLAIR"): "sub-01_ses-a_acq-long_FLAIR_roi.nii.gz",
    }
    assert found.problems == [("missing", "no lesion mask for T1w", "sub-01_ses-a")]
    assert {c.person for c in found.cases} == {"sub-01"}


def test_our_own_results_are_no_truth(write):
    drawn = "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz"
    folder = write({
        "sub-01/anat/sub-01_FLAIR.nii.gz": "scan",
        "derivatives/anatomaly/sub-01/anat/sub-01_seg-lesions_desc-FLAIR_dseg.nii.gz": "lesion",
        drawn: "lesion",
    })  # fmt: skip
    (case,) = find_bids(folder).cases
    assert case.label != folder / drawn  # a stranger's file of this name would count
    (folder / "derivatives/anatomaly/dataset_description.json").write_text(
        '{"GeneratedBy": [{"Name": "anatomaly"}]}', encoding="utf-8"
    )
    (case,) = find_bids(folder).cases
    assert case.label == folder / drawn


def test_healthy_people_need_no_mask(write):
    folder = write({
        "sub-01/anat/sub-01_T1w.nii.gz": "scan",
        "sub-01/anat/sub-01_label-lesion_mask.nii.gz": "lesion",
        "sub-02/anat/sub-02_T1w.nii.gz": "scan",
        "sub-03/anat/sub-03_T1w.nii.gz": "scan",
        "sub-04/anat/sub-04_ce-gadolinium_T1w.nii.gz": "scan",
    })  # fmt: skip
    (folder / "participants.tsv").write_text(
        "participant_id\tage\tsex\tgroup\nsub-01\t61\tM\tstroke\nsub-02\tn/a\tfemale\tcontrol\n"
    )
    found = find_bids(folder)
    assert labels(found) == {
        ("sub-01", "T1w"): "sub-01_label-lesion_mask.nii.gz", ("sub-02", "T1w"): None,
    }  # fmt: skip
    assert found.problems == [("missing", "no lesion mask for T1w", "sub-03")]
    sick, healthy = found.cases
    assert (sick.age, sick.sex, sick.disease, sick.reference) == (61.0, "M", "stroke", "drawn")
    assert (healthy.age, healthy.sex, healthy.disease) == (None, "F", "")
    assert healthy.reference == "healthy"
