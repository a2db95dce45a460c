"""BraTS 2023: five parts, one layout.

Layout as in the archives of Synapse (syn51156910) and as the BraTS orchestrator (BrainLesion/BraTS)
names its input: one folder a patient and time point, file names that begin with its name. The last
three digits are the time point: `BraTS-GLI-00001-000` and `-001` are one person. Validation data
come without `-seg`. Labels 1 to 3 are parts of the tumour with its oedema (4 in later releases of
PED); all of them are lesion. `-t1c` (contrast agent) is not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, add_patient, first_image, once
from anatomaly.types import MrSequence

_FILES: dict[MrSequence, str] = {"T1w": "t1n", "T2w": "t2w", "FLAIR": "t2f"}
_PARTS = {
    "GLI": ("glioma", "adult glioma", "1,251"),
    "MEN": ("meningioma", "meningioma", "1,000"),
    "MET": ("metastases", "brain metastases", "165"),
    "PED": ("paediatric glioma", "paediatric high-grade glioma", "99"),
    "SSA": ("glioma", "adult glioma, sub-Saharan Africa", "60"),
}


def find_brats(folder: Path, part: str) -> Listing:
    """Find `BraTS-<part>-<person>-<time point>` folders at any depth."""
    listing = Listing()
    pattern = re.compile(rf"BraTS-{part}-\d+-\d+")
    folders = (p for p in folder.rglob(f"BraTS-{part}-*") if p.is_dir())
    named = (p for p in folders if pattern.fullmatch(p.name))
    for name, patient in once(named, lambda path: path.name, listing).items():
        template = Case(
            name, _PARTS[part][0], "T1w", patient, None, "drawn", f"brats-{part.lower()}",
            person=name.rpartition("-")[0],
        )  # fmt: skip
        scans = {s: first_image(patient, [f"{name}-{end}"]) for s, end in _FILES.items()}
        add_patient(listing, template, scans, first_image(patient, [f"{name}-seg"]))
    return listing


def _part(part: str) -> Dataset:
    """Return one part of the challenge."""
    _, who, count = _PARTS[part]
    name = f"BraTS-{part}-00001-000"
    ends = ", ".join(f"-{end}" for end in (*_FILES.values(), "seg"))
    return Dataset(
        name=f"brats-{part.lower()}",
        title=f"BraTS 2023 {part}",
        holds=f"{who}: {count} for training with label; T1w, T2w, FLAIR; stripped, SRI24, 1 mm",
        licence="terms of the challenge, to be read and accepted on Synapse",
        apply="https://www.synapse.org/brats2023",
        layout=f"{name}/{name}-t1n.nii.gz ({ends})",
        find=lambda folder: find_brats(folder, part),
    )


BRATS = tuple(_part(part) for part in _PARTS)
