"""The cases that this project's figures are quoted on, in a folder for each patient.

Source of the layout: ours (`evaluation/cases.py`): `<patient>/T1w.nii.gz`, `T2w`, `FLAIR`, and
beside them the label as `lesion`, `tumour_labels` or `tumour_automatic`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from anatomaly.evaluation.cases import list_cases
from anatomaly.evaluation.datasets.dataset import Dataset, Listing
from anatomaly.types import SEQUENCES


def find_measured_cases(folder: Path) -> Listing:
    """Find patients directly below the folder."""
    listing = Listing([replace(case, dataset="cases") for case in list_cases(folder)])
    labelled = {case.patient for case in listing.cases}
    for patient in sorted(path for path in folder.iterdir() if path.is_dir()):
        scans = [name for name in SEQUENCES if (patient / f"{name}.nii.gz").is_file()]
        if scans and patient.name not in labelled:
            listing.missing("no label", patient.name)
    return listing


MEASURED_CASES = Dataset(
    name="cases",
    title="the cases of this project's figures",
    holds="multiple sclerosis: 5, glioma: 6; T1w, T2w, FLAIR (19 scans), most skull-stripped",
    licence="CC BY (MSLUB), CC BY-NC-SA 3.0 CH (BraTS 2013), CC BY 3.0 (TCGA); others unknown",
    apply="the providers of MSLUB, ISBI 2015, BraTS 2013 and 2017, TCGA (du_7294, fg_6692)",
    layout="mslub_patient19/FLAIR.nii.gz and mslub_patient19/lesion.nii.gz",
    find=find_measured_cases,
)
