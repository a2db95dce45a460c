"""Any BIDS data set with lesion masks.

A mask is `sub-*_mask`, `_roi` or `_dseg` (or, as many data sets have it, any file) whose name says
`lesion`, or a `_roi`, beside the scan or in the same place below `derivatives/*/`: for example
`sub-01_label-lesion_mask.nii.gz` (BIDS 1.9, derivatives), `sub-01_T2w_desc-lesion_mask.nii.gz` or
`sub-01_acq-3D_FLAIR_roi.nii.gz`. Our own results are no truth and are left out. A mask that names
a sequence (`_T2w_`) belongs to it alone. People whose `group` in `participants.tsv` is control or
healthy need none. Age and sex come from there.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, number_in
from anatomaly.scan.bids import anat_folders, derivatives_of, images_of, scans_of
from anatomaly.scan.bids_left_out import ENDINGS
from anatomaly.types import SEQUENCES, MrSequence

_HEALTHY = {"control", "controls", "healthy", "healthy_control", "hc", "cn", "hv"}
_SEX = {"f": "F", "female": "F", "m": "M", "male": "M"}


def find_bids(folder: Path) -> Listing:
    """Find `sub-*/[ses-*/]anat/sub-*_T1w.nii.gz`, `_T2w` and `_FLAIR` with their masks."""
    listing = Listing()
    people = _participants(folder)
    for anat in anat_folders(folder):
        person = anat.relative_to(folder).parts[0]
        _add_visit(folder, anat, people.get(person, {}), listing)
    return listing


def _add_visit(folder: Path, anat: Path, row: dict[str, str], listing: Listing) -> None:
    """Add the cases of one session."""
    inside = anat.relative_to(folder)
    patient, person = "_".join(inside.parts[:-1]), inside.parts[0]
    healthy = row.get("group", "").strip().lower().replace(" ", "_") in _HEALTHY
    disease = "" if healthy else row.get("group", "").strip() or "lesion"
    reference = "healthy" if healthy else "drawn"
    age, sex = number_in(row.get("age")), _SEX.get(row.get("sex", "").strip().lower(), "")
    places = [anat, *derivatives_of(folder, inside)]
    masks = [path for place in places for path in _masks(place)]
    for sequence in SEQUENCES:
        scans = scans_of(anat, sequence)
        if not scans:
            continue
        label = None if healthy else _label_of(scans[0], sequence, masks)
        if label is None and not healthy:
            listing.missing(f"no lesion mask for {sequence}", patient)
            continue
        case = Case(
            patient, disease, sequence, scans[0], label, reference, "bids", person, age=age, sex=sex
        )
        listing.cases.append(case)


def _masks(place: Path) -> list[Path]:
    """Files that are lesion masks by their name."""
    suffixes = tuple(f"_roi{end}" for end in ENDINGS)
    return sorted(
        p for p in images_of(place) if "lesion" in p.name.lower() or p.name.endswith(suffixes)
    )


def _label_of(scan: Path, sequence: MrSequence, masks: list[Path]) -> Path | None:
    """The mask that names the scan, else its sequence, else one that names none."""
    stem = re.sub(r"\.nii(\.gz)?$", "", scan.name)
    named = [mask for mask in masks if mask.name.startswith(f"{stem}_")]
    own = [mask for mask in masks if sequence in _sequences_in(mask)]
    any_sequence = [mask for mask in masks if not _sequences_in(mask)]
    return next(iter(named or own or any_sequence), None)


def _sequences_in(mask: Path) -> set[str]:
    """Sequences that a mask's name says."""
    return {sequence for sequence in SEQUENCES if re.search(rf"{sequence}(?![a-z])", mask.name)}


def _participants(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of participants.tsv by participant."""
    path = folder / "participants.tsv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [
            {k: v or "" for k, v in r.items() if k} for r in csv.DictReader(file, delimiter="\t")
        ]
    return {row.get("participant_id", ""): row for row in rows}


BIDS = Dataset(
    name="bids",
    title="any BIDS data set with lesion masks",
    holds="what you have; T1w, T2w, FLAIR; healthy people by `group` in participants.tsv",
    licence="your own",
    apply="(your own data)",
    layout="sub-01/anat/sub-01_FLAIR.nii.gz, "
    "derivatives/lesions/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    find=find_bids,
)
