"""Derivatives whose masks a person corrected: all that was made of a mask follows it.

Each file appears whole, in an order in which the numbered pieces (`_dseg.nii.gz`) come last: they
say which mask was tabulated. What was cut short is found by the next run, and done again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from anatomaly.anomaly.lesions import write_lesions_tsv
from anatomaly.bids.dataset import Derivatives, read_json, sidecar, write_json
from anatomaly.bids.derivatives import (
    LESION_LABEL,
    Output,
    edits_say,
    is_finished,
    lesions_output,
    mask_says,
    standard_tissues,
    write_labels,
    write_lesion_table,
    write_outputs,
)
from anatomaly.bids.session import Fused, OwnResult, join, read_own, scans_to_fuse
from anatomaly.bids.session_files import session_stem, write_session
from anatomaly.config import edits_of
from anatomaly.corrected import Edit, compare, count_lesions, needed_volume, with_edit
from anatomaly.errors import BidsError, ScanError
from anatomaly.reopen import PAGE_FILE, OlderPage, rebuild_page
from anatomaly.report.layers import layer_on
from anatomaly.report.manifest import write_manifest
from anatomaly.report.overview import write_overview
from anatomaly.scan.bids import BidsScan, BidsSession, select_sessions
from anatomaly.scan.edited_mask import find_edit
from anatomaly.scan.write import output_folder
from anatomaly.volume import Volume


def find_corrections(out: Derivatives) -> dict[str, Callable[[], Edit | None]]:
    """Return what brings each mask's results in line, by the mask's path below the derivatives.

    Args:
        out: derivatives; the raw data set that they were made of is read again.

    Raises:
        BidsError: the raw data set is not where the derivatives say, or nothing is finished.
    """
    try:
        sessions = select_sessions(out.source).sessions
    except (BidsError, OSError) as error:
        raise BidsError(
            f"{out.root}: the raw data set is needed to measure lesions, and is not at "
            f"{out.source} ({error}); put it there, or correct DatasetLinks in "
            "dataset_description.json"
        ) from error
    work: dict[str, Callable[[], Edit | None]] = {}
    for session in sessions:
        for scan in session.scans:
            if is_finished(out.own_volume(session, scan, "anomaly_map")):
                mask = out.own_volume(session, scan, "anomaly_mask")
                work[_called(mask, out)] = partial(correct_scan, scan, session, out)
        if stem := session_stem(session, out):
            mask = out.session_volume(session, stem, "anomaly_mask")
            work[_called(mask, out)] = partial(correct_session, stem, session, out)
    if not work:
        raise BidsError(f"{out.root}: no results in it; run the participant level first")
    return work


def correct_scan(scan: BidsScan, session: BidsSession, out: Derivatives) -> Edit | None:
    """Bring the files of one scan in line with its mask; those of the session stay.

    Returns:
        What was changed; None where the mask is the one that was tabulated.

    Raises:
        ScanError: something that is needed is missing or cannot be read; see `find_edit`.
        OutputError: the derivatives cannot be written.
    """
    paths = {k: out.own_volume(session, scan, k) for k in ("anomaly_mask", "lesions", "tissues")}
    before = needed_volume(paths["lesions"])
    mask = find_edit(_stem(paths["anomaly_mask"]), before)
    if mask is None:
        return None
    own = read_own(scan, session, out)
    figures = out.figures(session, scan.name)
    expected = np.where(own.brain_mask.data, own.pseudo_healthy.data, own.scan.volume.data)
    expectation = own.scan.volume.with_data(expected)
    scored, image = own.anomaly_map, own.scan.volume
    lesions = count_lesions(scored, mask, image, expectation, own.run, own.tissue_map)
    edit = compare(before, mask, lesions)
    run = with_edit(own.run, edit)
    tissues = _tissues(paths["tissues"], figures, mask)
    _write_figures(figures, own, mask, run, edit)
    edits, reference = edits_of(run), out.uri(scan.path)
    marker = sidecar(out.own_volume(session, scan, "anomaly_map"))
    said = {k: v for k, v in read_json(marker).items() if k != "CorrectedByHand"}
    source = [out.uri(paths["anomaly_mask"])]
    mask_sources = [out.uri(out.own_volume(session, scan, "anomaly_map"))]
    whole = [
        Output(paths["anomaly_mask"], mask, mask_says(mask_sources, edits)),
        Output(paths["tissues"], tissues, read_json(sidecar(paths["tissues"]))),
    ]
    write_outputs(whole, own.scan, reference)
    write_json(marker, {**said, **edits_say(edits)})
    write_lesion_table(paths["lesions"], lesions)
    write_outputs([lesions_output(paths["lesions"], mask, source)], own.scan, reference)
    return edit


def correct_session(stem: str, session: BidsSession, out: Derivatives) -> Edit | None:
    """Bring the files of a session in line with its mask; see `correct_scan`.

    Args:
        stem: of the reference scan.
        session: whose map it is.
        out: derivatives.
    """
    before = needed_volume(out.session_volume(session, stem, "lesions"))
    path = out.session_volume(session, stem, "anomaly_mask")
    mask = find_edit(_stem(path), before)
    if mask is None:
        return None
    says = read_json(sidecar(out.session_volume(session, stem, "anomaly_map")))
    scans = [s for s in scans_to_fuse(session, out) if s.sequence in says["Sequences"]]
    used = [read_own(scan, session, out) for scan in scans]
    reference = next((own for own in used if own.bids.stem == stem), None)
    to_reference = {
        sequence: np.array(affine, dtype=np.float64)
        for sequence, affine in says["RigidToReference"].items()
    }
    if reference is None or len(used) != len(to_reference) + 1:
        raise ScanError(
            f"{path}: is of {', '.join(says['Sequences'])}, whose results are not all there; run "
            "the participant level with --redo"
        )
    written = needed_volume(out.session_volume(session, stem, "anomaly_map"))
    score, sign = join(reference, used, to_reference)
    score = score.with_data(written.data)
    nothing = sign.with_data(np.zeros(sign.shape, np.float32))
    tissue_map = reference.tissue_map
    lesions = count_lesions(score, mask, sign, nothing, reference.run, tissue_map)
    edit = compare(before, mask, lesions)
    run = with_edit({"corrected_by_hand": says.get("CorrectedByHand")}, edit)
    fused = Fused(
        reference,
        tuple(used),
        score,
        mask,
        lesions,
        to_reference,
        says.get("BrainOverlap", {}),
        tuple(says.get("Warnings", ())),
        tuple(run["corrected_by_hand"]),
    )
    considered = set(says.get("Considered", ()))
    write_session(fused, [s for s in session.scans if out.uri(s.path) in considered], session, out)
    return edit


def _write_figures(
    folder: Path, own: OwnResult, mask: Volume, run: dict[str, Any], edit: Edit
) -> None:
    """Write page, picture, table and manifest of a scan again, whole or not at all."""
    older = folder / PAGE_FILE
    title = f"{folder.name} · {own.bids.sequence}"
    with output_folder(folder) as new:
        write_lesions_tsv(new / "lesions.tsv", edit.lesions)
        write_labels(new, len(edit.lesions), tissues=True)
        write_overview(
            new / "overview.png",
            own.scan.volume,
            own.pseudo_healthy,
            own.anomaly_map,
            mask,
            own.brain_mask,
            title,
            own.threshold,
            run["warnings"],
            by_hand=bool(edits_of(run)),
        )
        write_manifest(new / "run.json", run)
        if older.is_file():
            (new / PAGE_FILE).write_bytes(older.read_bytes())
        rebuild_page(new, folder.name, mask, own.brain_bytes)


def _tissues(path: Path, figures: Path, mask: Volume) -> Volume:
    """Return the tissues with the lesions of the corrected mask on top.

    What lies under a lesion that is gone is in the older page; without one it is taken from the
    nearest voxel outside it.
    """
    layers = OlderPage.read(figures / PAGE_FILE).layers
    if "tissue_map" in layers:
        return standard_tissues(layer_on(*layers["tissue_map"], mask), mask)
    tissues = needed_volume(path).data.astype(np.uint8)
    under = tissues == LESION_LABEL
    nearest = ndimage.distance_transform_edt(under, return_distances=False, return_indices=True)
    return mask.with_data(np.where(mask.data > 0, LESION_LABEL, tissues[tuple(nearest)]))


def _stem(mask: Path) -> Path:
    """Return the path of a mask without its ending."""
    return mask.with_name(mask.name.removesuffix(".nii.gz"))


def _called(path: Path, out: Derivatives) -> str:
    """Return a path as it stands below the derivatives."""
    return path.relative_to(out.root).as_posix()
