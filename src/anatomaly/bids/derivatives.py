"""Write what was found in one scan under the names of the BIDS standard, with sidecars.

The lesion is label L, integer 7, in the standard's table of image-derived labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anatomaly.anomaly.lesions import LESION_COLUMNS, Lesion, lesion_rows
from anatomaly.bids.dataset import Derivatives, sidecar, write_json
from anatomaly.components import number_lesions
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.report.cohort_tables import write_table
from anatomaly.report.label_tables import (
    ANOMALY,
    BACKGROUND,
    LABELS_FOLDER,
    TISSUES,
    Label,
    lesion_labels,
    write_label_tables,
)
from anatomaly.scan.bids import BidsScan, BidsSession
from anatomaly.scan.write import write_volume
from anatomaly.volume import Scan, Volume

if TYPE_CHECKING:
    from anatomaly.detection import Detection

LESION_LABEL = 7
STANDARD_TISSUES = {0: 0, 1: 3, 2: 1, 3: 2}
"""Label of the pipeline's tissue map to that of the standard."""
TISSUE_LABELS = (
    *sorted(
        (replace(label, number=STANDARD_TISSUES[label.number]) for label in TISSUES),
        key=lambda label: label.number,
    ),
    Label(LESION_LABEL, "lesion", ANOMALY[0].colour),
)
"""What the labels of the tissues are called, lesions among them."""

_TISSUES_SAY = {
    "Description": "Tissues as the network reads them, lesions on top: a step of the method."
}

FIGURES = {"lesions", "overview", "report"}
"""Outputs of `Detection.save` that BIDS has no names for."""

_COLUMNS = {
    "volume_mm3": ("volume of the piece", "mm^3"),
    **{f"{axis}_scanner_mm": ("centre of mass, RAS+ of the scanner", "mm") for axis in "xyz"},
    **{f"{axis}_mni_mm": ("the same in MNI152NLin2009aSym", "mm") for axis in "xyz"},
    "region": ("that holds most of the piece; with an atlas of the user its label there", None),
    "region_shares": ("regions of the atlas that ships, with the share of the piece", None),
    "periventricular": ("yes where it touches a lateral ventricle", None),
    "juxtacortical": ("yes where it touches the cortex or lies in it", None),
    "infratentorial": ("yes where half of it lies in brainstem or cerebellum", None),
    "mean_score": ("mean of the probseg over the piece, 0 to 1", None),
    "peak_score": ("its maximum", None),
    "polarity": ("darker or brighter than expected, in the scan whose score is highest", None),
}


@dataclass(frozen=True)
class Output:
    """One image to write: where, what, and what its sidecar says."""

    path: Path
    volume: Volume
    says: Mapping[str, Any]


def is_finished(marker: Path) -> bool:
    """Return whether results are whole: the sidecar of the map is written after all else."""
    return sidecar(marker).is_file()


def write_scan(
    detection: Detection, scan: BidsScan, session: BidsSession, out: Derivatives
) -> Path:
    """Write the maps of one scan and, below `figures`, its page, table and manifest.

    Args:
        detection: what was found.
        scan: in which.
        session: of the scan.
        out: the data set to write to.

    Returns:
        The folder with the page.

    Raises:
        ValueError: the detection has no steps (it was not made by a `Detector`).
        OutputError: the place cannot be written.
    """

    def path(kind: str) -> Path:
        return out.own_volume(session, scan, kind)

    if detection.steps is None:
        raise ValueError("a detection without its steps has no map in template space")
    marker = path("anomaly_map")
    withdraw(marker)
    raw = [out.uri(scan.path)]
    tissues = standard_tissues(detection.tissue_map, detection.anomaly_mask)
    whole = [
        Output(path("pseudo_healthy"), detection.pseudo_healthy, _pseudo_healthy(detection, raw)),
        Output(path("brain_mask"), detection.brain_mask, brain_says(raw)),
        Output(path("anomaly_mask"), detection.anomaly_mask, mask_says([out.uri(marker)])),
        Output(path("tissues"), tissues, {**_TISSUES_SAY, "Sources": raw}),
        lesions_output(path("lesions"), detection.anomaly_mask, [out.uri(path("anomaly_mask"))]),
    ]
    write_outputs(whole, detection.scan, raw[0])
    write_lesion_table(path("lesions"), detection.lesions)
    names = [_label_row(label) for label in (BACKGROUND, *TISSUE_LABELS)]
    write_table(sidecar(path("tissues"), ".tsv"), ("index", "name", "color"), names)
    folder = detection.save(out.figures(session, scan.name), FIGURES)
    write_labels(folder, len(detection.lesions), tissues=True)
    quality = detection.run.get("preparation", {}).get("quality", {})
    says = {
        "Description": f"Anomaly score of the {scan.sequence} scan alone; not a probability.",
        "Sources": raw,
        "Sequences": [scan.sequence],
        "Threshold": detection.threshold,
        "BrainVolumeMl": quality.get("brain_ml"),
        "Weights": detection.run.get("weights", {}),
        "Warnings": detection.warnings,
    }
    laid = Volume(detection.steps.anomaly_map.astype(np.float32), TEMPLATE_AFFINE.copy())
    write_outputs([Output(path("anomaly_map_template"), laid, says)], detection.scan, None)
    write_outputs([Output(marker, detection.anomaly_map, says)], detection.scan, raw[0])
    return folder


def withdraw(marker: Path) -> None:
    """Say that results are not whole, before parts of them are written anew."""
    marker.parent.mkdir(parents=True, exist_ok=True)
    sidecar(marker).unlink(missing_ok=True)


def write_outputs(outputs: list[Output], scan: Scan, reference: str | None) -> None:
    """Write images, each followed by its sidecar; what a killed run left of them is removed.

    Args:
        outputs: in this order.
        scan: lends its header to those on its grid.
        reference: BIDS URI of the image whose space they lie in; None for the template's.
    """
    for output in outputs:
        for path, ending in ((output.path, "partial"), (sidecar(output.path), "part")):
            for left in path.parent.glob(f".{path.name}.*.{ending}"):
                left.unlink(missing_ok=True)
        write_volume(output.path, output.volume, scan, output.volume.data.dtype)
        space = {"SpatialReference": reference} if reference else {}
        write_json(sidecar(output.path), {**output.says, **space})


def lesions_output(path: Path, mask: Volume, sources: list[str]) -> Output:
    """Return the pieces of a mask, numbered as in the table beside them.

    Args:
        path: ends with `_dseg.nii.gz`.
        mask: what is abnormal.
        sources: BIDS URIs.
    """
    says: dict[str, Any] = {"Description": "Connected pieces of the mask, 1 is the largest."}
    for name, (words, unit) in _COLUMNS.items():
        says[name] = {"Description": words} | ({"Units": unit} if unit else {})
    return Output(path, mask.with_data(number_lesions(mask.data)), {**says, "Sources": sources})


def write_lesion_table(path: Path, lesions: tuple[Lesion, ...]) -> None:
    """Write the table beside numbered pieces: `mapping` is the standard's label of all of them."""
    named = zip(lesion_rows(lesions), lesion_labels(len(lesions)), strict=True)
    rows = [{**row, **_label_row(label), "mapping": f"{LESION_LABEL}"} for row, label in named]
    columns = ("index", "name", "mapping", "color", *LESION_COLUMNS[1:])
    write_table(sidecar(path, ".tsv"), columns, rows)


def write_labels(folder: Path, count: int, tissues: bool) -> None:
    """Write what viewers call the labels into the folder with the page: BIDS has no names for it.

    Args:
        folder: with the page.
        count: of lesions.
        tissues: whether there are tissues beside them.
    """
    place = folder / LABELS_FOLDER
    write_label_tables(place, "seg-lesions_dseg", lesion_labels(count))
    write_label_tables(place, "label-L_mask", ANOMALY)
    write_label_tables(place, "seg-tissues_dseg", TISSUE_LABELS if tissues else ())


def _label_row(label: Label) -> dict[str, str]:
    """Return how a table of labels names one."""
    return {"index": str(label.number), "name": label.name, "color": label.hex_colour}


def brain_says(sources: list[str]) -> dict[str, Any]:
    """Return the sidecar of a brain mask."""
    return {"Description": "The brain.", "Sources": sources, "Type": "Brain"}


def mask_says(sources: list[str], edits: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the sidecar of a lesion mask.

    Args:
        sources: BIDS URIs.
        edits: what persons changed in it.
    """
    words = "Pieces of the score that pass the threshold, small ones dropped"
    words += ", then corrected by hand." if edits else "."
    return {"Description": words, "Sources": sources, "Type": "Lesion", **edits_say(edits)}


def edits_say(edits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entry of a sidecar about corrections by hand, empty without one."""
    return {"CorrectedByHand": list(edits)} if edits else {}


def standard_tissues(tissue_map: Volume, anomaly_mask: Volume) -> Volume:
    """Return tissues under the standard's labels, uint8: 1 grey, 2 white, 3 CSF, 7 lesion.

    Args:
        tissue_map: under the labels of the pipeline.
        anomaly_mask: above zero in a lesion; same grid.
    """
    lookup = np.array([STANDARD_TISSUES[x] for x in range(len(STANDARD_TISSUES))], dtype=np.uint8)
    tissues = lookup[tissue_map.data]
    tissues[anomaly_mask.data > 0] = LESION_LABEL
    return tissue_map.with_data(tissues)


def own_tissues(standard: Volume) -> Volume:
    """Return the tissue map of what `standard_tissues` wrote; what lay below lesions is lost: 0."""
    lookup = np.zeros(256, dtype=np.uint8)
    for ours, label in STANDARD_TISSUES.items():
        lookup[label] = ours
    return standard.with_data(lookup[standard.data.astype(np.uint8)])


def _pseudo_healthy(detection: Detection, sources: list[str]) -> dict[str, Any]:
    steps = detection.run.get("preparation", {}).get("steps", ())
    stripped = any(step.get("method") == "stripped" for step in steps)
    return {
        "Description": "The brain rebuilt as if healthy; outside the brain the scan itself.",
        "Sources": sources,
        "SkullStripped": stripped,
    }
