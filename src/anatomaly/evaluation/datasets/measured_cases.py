"""The cases that this project's figures are quoted on, in a folder for each patient.

Source of the layout: ours (`evaluation/cases.py`): `<patient>/T1w.nii.gz`, `T2w`, `FLAIR`, and
beside them the label as `lesion`, `tumour_labels` or `tumour_automatic`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from anatomaly.evaluation.cases import list_cases
from anatomaly.evaluation.datasets.dataset import Dataset, Found


def find_measured_cases(folder: Path) -> Found:
    """Find patients with a label directly below the folder; anything else there is left alone."""
    return Found([replace(case, dataset="cases") for case in list_cases(folder)])


MEASURED_CASES = Dataset(
    name="cases",
    title="cases of this project",
    holds="2 multiple sclerosis, 5 glioma: 15 scans in T1w, T2w and FLAIR, skull-stripped",
    licence="CC BY (MSLUB), CC BY-NC-SA 3.0 CH (BraTS 2013), CC BY 3.0 (TCGA)",
    apply="from the providers of MSLUB, BraTS 2013 and TCGA; which patients: docs/how-to/benchmark",
    layout="mslub_patient19/FLAIR.nii.gz and mslub_patient19/lesion.nii.gz",
    find=find_measured_cases,
)
