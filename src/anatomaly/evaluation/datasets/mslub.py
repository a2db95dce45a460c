"""MSLUB: multiple sclerosis, consensus of three raters (Lesjak et al. 2017).

Source of the layout: the data set's own README: `patientXX/patientXX_T1W.nii.gz` and so on, all
co-registered to FLAIR, and `patientXX/raw/`; copies of it drop the prefix (`patient01/T1W.nii.gz`)
or put the raw scans into a folder beside. Only the co-registered scans fit the label, so folders
called `raw` and `MNI` are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, add_patient, first_image, once
from anatomaly.types import MrSequence

_FILES: dict[MrSequence, str] = {"T1w": "T1W", "T2w": "T2W", "FLAIR": "FLAIR"}


def find_mslub(folder: Path) -> Listing:
    """Find `patientXX` folders at any depth."""
    listing = Listing()
    folders = [
        path
        for path in folder.rglob("patient*")
        if re.fullmatch(r"patient\d+", path.name)
        and path.is_dir()
        and not {"raw", "MNI"} & set(path.relative_to(folder).parts)
    ]
    for name, patient in once(folders, lambda path: path.name, listing).items():

        def file(end: str, name: str = name, patient: Path = patient) -> Path | None:
            return first_image(patient, [f"{name}_{end}", end])

        template = Case(
            name, "MS", "T1w", patient, None, "consensus", "mslub", brain_mask=file("brainmask")
        )
        scans = {sequence: file(end) for sequence, end in _FILES.items()}
        add_patient(listing, template, scans, file("consensus_gt"))
    return listing


MSLUB = Dataset(
    name="mslub",
    title="MSLUB (3D-MR-MS)",
    holds="multiple sclerosis: 30 with label; T1w, T2w, FLAIR on the FLAIR grid; defaced",
    licence="CC BY",
    apply="https://lit.fe.uni-lj.si/en/research/resources/3D-MR-MS/",
    layout="patient01/patient01_T1W.nii.gz or patient01/T1W.nii.gz (T2W, FLAIR, consensus_gt, "
    "brainmask)",
    find=find_mslub,
)
