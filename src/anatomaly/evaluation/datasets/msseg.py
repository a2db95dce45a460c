"""MSSEG 2016: multiple sclerosis, consensus of seven raters (Commowick et al. 2021).

Source of the layout: the data set's paper (doi 10.1016/j.neuroimage.2021.118589) and public readers
of the archives: `Training/Center_01/Patient_01/` with `Raw_Data`, `Preprocessed_Data` and `Masks`,
the same below `Testing`. The preprocessed scans are used: they alone lie on the grid of the label.
Patient numbers start anew in each centre and split, so these are part of the name.
"""

from __future__ import annotations

from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, add_patient, first_image, once
from anatomaly.types import MrSequence

_FILES: dict[MrSequence, str] = {"T1w": "T1", "T2w": "T2", "FLAIR": "FLAIR"}
_SPLITS = ("Training", "Testing")


def find_msseg(folder: Path) -> Listing:
    """Find `Center_XX/Patient_YY` folders at any depth."""
    listing = Listing()
    folders = [path for path in folder.rglob("Center_*/Patient_*") if path.is_dir()]
    for name, patient in once(folders, _name, listing).items():
        template = Case(
            name, "MS", "T1w", patient, None, "consensus", "msseg",
            brain_mask=first_image(patient / "Masks", ["Brain_Mask"]), site=patient.parent.name,
        )  # fmt: skip
        scans = {
            sequence: first_image(patient / "Preprocessed_Data", [f"{end}_preprocessed"])
            for sequence, end in _FILES.items()
        }
        add_patient(listing, template, scans, first_image(patient / "Masks", ["Consensus"]))
    return listing


def _name(path: Path) -> str:
    """Return Training_Center_01_Patient_01, without the split where there is none."""
    parts = path.parts[-3:]
    return "_".join(parts if parts[0] in _SPLITS else parts[1:])


MSSEG = Dataset(
    name="msseg",
    title="MSSEG 2016",
    holds="multiple sclerosis: 15 for training and 38 for testing with label; T1w, T2w, FLAIR on "
    "the FLAIR grid; stripped",
    licence="terms of use, to be read and accepted when applying",
    apply="https://shanoir.irisa.fr (study MSSEG 2016)",
    layout="Training/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz "
    "(T1_, T2_; ../Masks/Consensus.nii.gz)",
    find=find_msseg,
)
