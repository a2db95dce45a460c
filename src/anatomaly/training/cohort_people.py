"""Healthy people of a BIDS folder: prepared once, split by person, cached for `cohort`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import AnatomalyError, TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE, voxel_to_voxel
from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.preprocess.quality import mask_dice
from anatomaly.preprocess.template import load_template
from anatomaly.scan.read import read_scan
from anatomaly.training.cohort import IMAGE_UNIT, Arrays, Record, cache_person, resample_classes
from anatomaly.training.cohort_bids import Visit
from anatomaly.training.synthesis.label_maps import CLASS_NAMES, to_classes
from anatomaly.training.tissue_mixture import fit_tissues
from anatomaly.types import BoolArray, MrSequence

TRAIN, HELD_OUT = "train", "held_out"
"""Folders of the cache."""

LEAST_OVERLAP = 0.9
"""Dice of the brains of two scans of one person below which the second is left out."""

VENTRICLE_DEPTH_MM = 15
VENTRICLE_BOX = (slice(45, 116), slice(48, 159), slice(56, 117))
"""CSF in this part of the template grid (x −35 to 35, y −65 to 45, z −20 to 40 mm in MNI152) that
lies deeper than that below the surface of the brain is taken for ventricular."""

_VENTRICLE, _SULCUS = CLASS_NAMES.index("ventricular CSF"), CLASS_NAMES.index("sulcal CSF")
_CORTEX, _WHITE = CLASS_NAMES.index("cortex"), CLASS_NAMES.index("cerebral white matter")


def is_held_out(person: str, share: float, seed: int = 0) -> bool:
    """Tell the side of a person, by a hash: others who join later change nothing.

    Args:
        person: sub-X.
        share: of people held out, in [0, 1].
        seed: another one splits otherwise.
    """
    digest = hashlib.sha256(f"{seed}:{person}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def split_visits(
    visits: list[Visit], share: float, seed: int = 0
) -> tuple[list[Visit], list[Visit]]:
    """Split into training and held-out sessions, all sessions of a person on one side.

    With two people or more each side has one at least, unless share is 0; one alone trains.
    """
    people = sorted({v.person for v in visits}, key=lambda p: hashlib.sha256(p.encode()).digest())
    out = {person for person in people if is_held_out(person, share, seed)}
    if share > 0 and len(people) > 1 and not out:
        out = {people[0]}
    if len(out) == len(people):
        out -= set(people[:1])
    return (
        [visit for visit in visits if visit.person not in out],
        [visit for visit in visits if visit.person in out],
    )


def prepare_people(visits: list[Visit], cache: Path) -> Iterator[str]:
    """Cache what is not cached yet; yields a line for each session, why it was skipped too."""
    for visit in visits:
        yield cache_person(cache / visit.name, partial(_prepare, visit), _names(visit))


def _names(visit: Visit) -> list[str]:
    return [path.name for path in (*visit.scans.values(), visit.dseg) if path]


def prepare_scan(path: Path, sequence: MrSequence) -> Prepared:
    """Read and prepare one scan: the chain of `detect`."""
    return prepare(read_scan(path), sequence=sequence)


def _prepare(visit: Visit) -> tuple[Arrays, Record]:
    """Arrays of `cohort` (labels, image, T2w, FLAIR) and the record of one session."""
    prepared, notes = _prepare_scans(visit)
    brain = np.logical_and.reduce([p.image.brain_mask for p in prepared.values()])
    first = next(iter(prepared))
    if visit.dseg is not None:
        classes = _read_segmentation(visit.dseg, visit.scans[first], prepared[first])
    else:
        classes = _fit_classes(prepared, brain)
    arrays = {"labels": complete_classes(classes, brain)}
    for sequence, scan in prepared.items():
        grey = np.rint(scan.image.image * brain * IMAGE_UNIT / HIGH_VALUE).astype(np.uint8)
        arrays["image" if sequence == "T1w" else sequence] = grey
    record = {
        "volume_ml": float(brain.sum()) / 1000,
        "scans": _names(visit),
        "prepared": list(prepared),
        "tissue": "segmentation" if visit.dseg else "mixture",
        "notes": notes,
    }
    return arrays, record


def _prepare_scans(visit: Visit) -> tuple[dict[MrSequence, Prepared], list[str]]:
    """Prepare the scans; a second one that fails or does not fit the first is left out."""
    prepared: dict[MrSequence, Prepared] = {}
    notes: list[str] = []
    for sequence, path in visit.scans.items():
        try:
            scan = prepare_scan(path, sequence)
        except AnatomalyError as error:
            notes.append(f"{sequence} left out: {error}")
            continue
        if prepared:
            reference = next(iter(prepared.values()))
            overlap = mask_dice(reference.image.brain_mask, scan.image.brain_mask)
            if overlap < LEAST_OVERLAP:
                notes.append(f"{sequence} left out: its brain overlaps the first by {overlap:.2f}")
                continue
        prepared[sequence] = scan
    if not prepared:
        raise TrainingError("; ".join(notes))
    return prepared, notes


def _read_segmentation(dseg: Path, scan: Path, prepared: Prepared) -> NDArray[np.uint8]:
    """Classes on the template grid of a BIDS segmentation (1 GM, 2 WM, 3 CSF) or FreeSurfer's."""
    file: Any = nib.load(dseg)
    reference: Any = nib.load(scan)
    affine = np.asarray(file.affine, dtype=np.float64)
    if file.shape != reference.shape or not np.allclose(affine, reference.affine, atol=1e-2):
        raise TrainingError(f"{dseg.name} is not on the grid of {scan.name}")
    labels = np.rint(np.asarray(file.dataobj)).astype(np.int64)
    if labels.max() <= 3:
        classes = np.array([0, _CORTEX, _WHITE, _SULCUS], np.uint8)[labels]
    else:
        classes = to_classes(labels, "freesurfer")
    to_scanner = np.linalg.inv(prepared.trace.registration.scanner_to_template)
    to_voxel = voxel_to_voxel(TEMPLATE_AFFINE, affine, to_scanner.astype(np.float64))
    return resample_classes(classes, to_voxel)


def _fit_classes(prepared: dict[MrSequence, Prepared], brain: BoolArray) -> NDArray[np.uint8]:
    """Classes from the mixture of all scans of a session."""
    template = load_template()
    priors = np.stack(
        [template.cerebrospinal_fluid, template.grey_matter.data, template.white_matter.data]
    )
    images = np.stack([p.image.image for p in prepared.values()])
    tissue = fit_tissues(images, brain, priors)
    table = np.array([0, _SULCUS, _CORTEX, _WHITE], np.uint8)
    classes: NDArray[np.uint8] = table[tissue]
    return classes


def complete_classes(classes: NDArray[np.uint8], brain: BoolArray) -> NDArray[np.uint8]:
    """Fill the brain with sulcal CSF, empty the rest; deep sulcal CSF becomes ventricular."""
    out = np.where(brain, np.where(classes == 0, _SULCUS, classes), 0).astype(np.uint8)
    if not (out == _VENTRICLE).any():
        deep = ndimage.distance_transform_edt(brain)[VENTRICLE_BOX] > VENTRICLE_DEPTH_MM
        middle = out[VENTRICLE_BOX]  # a view
        middle[(middle == _SULCUS) & deep] = _VENTRICLE
    return out
