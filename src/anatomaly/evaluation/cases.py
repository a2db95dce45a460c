"""The real cases that figures are quoted on; no weight or threshold is chosen on them.

They are not part of this repository: set ANATOMALY_DATA to the folder that holds `cases/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anatomaly.types import SEQUENCES, MrSequence

_LABELS = {"lesion": "drawn", "tumour_labels": "drawn", "tumour_automatic": "automatic"}
"""File of the label and how it came about, the most trustworthy first."""

_SOURCES = {"mslub": ("MS", "consensus"), "isbi2015": ("MS", "drawn")}
"""First part of a patient's name: disease, and how `lesion` came about; others are gliomas."""


@dataclass(frozen=True)
class Case:
    """One sequence of one patient at one time.

    Attributes:
        patient: unique name within the data set; two time points of a person are two patients.
        disease: what the lesions are (MS, glioma ...); empty for a healthy person.
        sequence: T1w, T2w or FLAIR.
        scan: path.
        label: path, on the grid of the scan; None for a healthy person.
        reference: how the label came about: consensus, drawn or automatic; healthy without one.
        dataset: name of the data set.
        person: who it is; intervals draw persons. The patient if not given.
        lesion_values: values of the label that are lesion; all above 0 if empty.
        open_values: values that say neither lesion nor healthy; these voxels are not scored.
        brain_mask: path of the provider's brain mask, on the grid of the scan, if there is one.
        site: scanner or centre, where known.
        age: in years, None if not known.
        sex: F or M, empty if not known.
    """

    patient: str
    disease: str
    sequence: MrSequence
    scan: Path
    label: Path | None
    reference: str
    dataset: str = ""
    person: str = ""
    lesion_values: tuple[int, ...] = ()
    open_values: tuple[int, ...] = ()
    brain_mask: Path | None = None
    site: str = ""
    age: float | None = None
    sex: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "person", self.person or self.patient)


def list_cases(folder: Path) -> list[Case]:
    """List every sequence of every patient below `folder`, by sequence and patient."""
    cases = []
    for patient in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = (patient / f"{name}.nii.gz" for name in _LABELS)
        label = next((file for file in files if file.is_file()), None)
        if label is None:
            continue
        as_named = ("glioma", _LABELS[label.name.removesuffix(".nii.gz")])
        disease, reference = _SOURCES.get(patient.name.split("_")[0], as_named)
        for sequence in SEQUENCES:
            scan = patient / f"{sequence}.nii.gz"
            if scan.is_file():
                cases.append(Case(patient.name, disease, sequence, scan, label, reference))
    return sorted(cases, key=lambda c: (SEQUENCES.index(c.sequence), c.patient))
