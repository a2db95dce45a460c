"""WMH 2017: white matter hyperintensities of vascular origin (Kuijf et al. 2019).

Source of the layout: the challenge's documentation (https://wmh.isi.uu.nl) and its archive
(doi 10.34894/AECRSD): `training/Utrecht/0/`, `training/Amsterdam/GE3T/100/`, the same below `test`,
each with `orig/FLAIR`, `orig/T1` (on the FLAIR grid), `pre/` (bias-corrected) and `wmh.nii.gz` on
the FLAIR grid. Label 1 is WMH. Label 2 is other pathology, which the challenge leaves out of the
evaluation; so do we. `orig/3DT1` has a grid of its own and is not used.
"""

from __future__ import annotations

from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, add_patient, first_image, once
from anatomaly.types import MrSequence

_SPLITS = ("training", "test")
_FILES: dict[MrSequence, str] = {"T1w": "T1", "FLAIR": "FLAIR"}


def find_wmh(folder: Path) -> Listing:
    """Find folders that hold `orig` or `pre`, and use the scans as acquired if they are there."""
    listing = Listing()
    inside = {
        path.parent
        for kind in ("orig", "pre")
        for path in folder.rglob(kind)
        if path.is_dir() and path.parent.name.isdigit()
    }
    for name, patient in once(inside, lambda path: _name(path, folder), listing).items():
        template = Case(
            name, "WMH", "T1w", patient, None, "drawn", "wmh",
            lesion_values=(1,), open_values=(2,), site=name.rpartition("_")[0],
        )  # fmt: skip
        scans = {
            sequence: first_image(patient, [f"orig/{end}", f"pre/{end}"])
            for sequence, end in _FILES.items()
        }
        add_patient(listing, template, scans, first_image(patient, ["wmh"]))
    return listing


def _name(path: Path, folder: Path) -> str:
    """Return Amsterdam_GE3T_100; numbers do not repeat between training and test."""
    parts = [part.replace(" ", "") for part in path.relative_to(folder).parts]
    start = max((parts.index(split) + 1 for split in _SPLITS if split in parts), default=0)
    return "_".join(parts[start:])


WMH = Dataset(
    name="wmh",
    title="WMH Segmentation Challenge 2017",
    holds="white matter hyperintensities: 60 for training and 110 for testing with label; T1w and "
    "FLAIR on the FLAIR grid, thick slices; five scanners",
    licence="CC BY-NC 4.0",
    apply="https://doi.org/10.34894/AECRSD",
    layout="training/Amsterdam/GE3T/100/orig/FLAIR.nii.gz (orig/T1; ../wmh.nii.gz)",
    find=find_wmh,
)
