"""The real cases that figures are quoted on; never used for a choice.

They are not part of this repository: see `shared/data` in CONTRIBUTING, or set ANATOMALY_DATA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anatomaly.types import SEQUENCES, Sequence

_LABELS = {"lesion": "consensus", "tumour_labels": "drawn", "tumour_automatic": "automatic"}


@dataclass(frozen=True)
class Case:
    """One sequence of one patient.

    Attributes:
        patient: folder name.
        disease: MS or glioma.
        sequence: T1w, T2w or FLAIR.
        scan: path.
        label: path; lesion where above 0.
        reference: how the label came about: consensus, drawn or automatic.
    """

    patient: str
    disease: str
    sequence: Sequence
    scan: Path
    label: Path
    reference: str


def list_cases(folder: Path) -> list[Case]:
    """List every sequence of every patient below `folder`, by sequence and patient."""
    cases = []
    for patient in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = _find_label(patient)
        if label is None:
            continue
        reference = _LABELS[label.name.removesuffix(".nii.gz")]
        disease = "MS" if patient.name.startswith("mslub") else "glioma"
        for sequence in SEQUENCES:
            scan = patient / f"{sequence}.nii.gz"
            if scan.is_file():
                cases.append(Case(patient.name, disease, sequence, scan, label, reference))
    return sorted(cases, key=lambda c: (SEQUENCES.index(c.sequence), c.patient))


def _find_label(patient: Path) -> Path | None:
    """The most trustworthy label of a patient, None without one."""
    files = (patient / f"{name}.nii.gz" for name in _LABELS)
    return next((file for file in files if file.is_file()), None)
