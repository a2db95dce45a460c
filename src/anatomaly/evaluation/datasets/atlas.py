"""ATLAS v2.0: chronic stroke, T1w in MNI space, drawn lesions (Liew et al. 2022).

Source of the layout: the tree in the data set's description (doi 10.1038/s41597-022-01401-7) and
public readers of it: `Training/R001/sub-r001s001/ses-1/anat/`, scan and mask side by side, in some
releases the mask below `derivatives/ATLAS/`. `Testing` has no masks.
"""

from __future__ import annotations

import re
from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, add_patient, once

_SPACE = "space-MNI152NLin2009aSym"
_MASK = "_desc-T1lesion_mask.nii.gz"
_NAME = re.compile(r"(sub-r(\d+)s\d+)_(ses-[A-Za-z0-9]+)_")


def find_atlas(folder: Path) -> Listing:
    """Find `sub-rXXXsYYY_ses-Z_space-MNI152NLin2009aSym_T1w.nii.gz` at any depth."""
    listing = Listing()
    scans = [p for p in folder.rglob(f"sub-*_{_SPACE}_T1w.nii.gz") if _NAME.match(p.name)]
    masks = [p for p in folder.rglob(f"sub-*_{_SPACE}_*{_MASK}") if _NAME.match(p.name)]
    labels: dict[str, Path] = {}
    for mask in sorted(masks):
        labels.setdefault(_name(mask), mask)
    for name, scan in once(scans, _name, listing).items():
        person, site = _NAME.match(scan.name).group(1, 2)  # type: ignore[union-attr]
        template = Case(
            name, "stroke", "T1w", scan, None, "drawn", "atlas", person=person, site=f"R{site}"
        )
        add_patient(listing, template, {"T1w": scan}, labels.get(name))
    return listing


def _name(path: Path) -> str:
    """sub-rXXXsYYY_ses-Z."""
    return "_".join(path.name.split("_")[:2])


ATLAS = Dataset(
    name="atlas",
    title="ATLAS v2.0",
    holds="chronic stroke: 655 for training with label; T1w with skull, MNI, 1 mm",
    licence="terms of use, to be read and accepted when applying",
    apply="https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
    layout=f"Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_{_SPACE}_T1w.nii.gz "
    f"(and …_{_SPACE}_label-L{_MASK})",
    find=find_atlas,
)
