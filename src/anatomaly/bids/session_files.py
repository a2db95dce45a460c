"""Write the map of a session: its volumes under BIDS names, and its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.anomaly.fusion import FUSED_THRESHOLD
from anatomaly.anomaly.lesions import lesion_rows, write_lesions_tsv
from anatomaly.bids.dataset import VOLUME_NAMES, Derivatives, read_json, sidecar
from anatomaly.bids.derivatives import (
    Output,
    brain_says,
    edits_say,
    lesions_output,
    mask_says,
    write_labels,
    write_lesion_table,
    write_outputs,
)
from anatomaly.bids.session import Fused
from anatomaly.config import edits_of, grow_share_of
from anatomaly.errors import BidsError
from anatomaly.native import template_tissue_native
from anatomaly.preprocess.resample import resample_to_template
from anatomaly.report.layers import PageVolumes, make_layers
from anatomaly.report.manifest import plain, write_manifest
from anatomaly.report.overview import write_overview
from anatomaly.report.page import PageContent, write_page
from anatomaly.report.spots import find_spots
from anatomaly.scan.bids import BidsScan, BidsSession
from anatomaly.scan.write import RESULT_FOLDERS, output_folder, result_files

_MAP_END = "_label-L_probseg.json"


def is_fused(scans: list[BidsScan], session: BidsSession, out: Derivatives) -> bool:
    """Return whether the session has a whole map that was made of exactly these scans."""
    wanted = {out.uri(scan.path) for scan in scans}
    for marker in _markers(session, out):
        try:
            if set(read_json(marker).get("Considered", ())) == wanted:
                return True
        except (BidsError, TypeError):
            continue  # a damaged marker marks nothing: the session is fused again
    return False


def withdraw_session(session: BidsSession, out: Derivatives) -> None:
    """Say that the map of a session is not whole, before a scan of it is computed again."""
    for marker in _markers(session, out):
        marker.unlink(missing_ok=True)  # another process may do another scan of the session


def write_session(
    fused: Fused, scans: list[BidsScan], session: BidsSession, out: Derivatives
) -> None:
    """Write what was fused; files of another reference are removed.

    A session that was corrected by hand counts as whole all the while, else the next run would fuse
    it again and lose the correction. Then the numbered pieces are written last: they say which mask
    was tabulated, so that a correction that was cut short is found, and done again.

    Args:
        fused: of `session.fuse`.
        scans: that it was made of, those left out included.
        session: of the scans.
        out: the data set to write to.

    Raises:
        OutputError: the place cannot be written.
    """
    stem = fused.reference.bids.stem
    if not fused.edits:
        _remove_others(stem, session, out)
        withdraw_session(session, out)
    paths = {kind: out.session_volume(session, stem, kind) for kind in VOLUME_NAMES}
    reference = out.uri(fused.reference.bids.path)
    own = [out.uri(out.own_volume(session, o.bids, "anomaly_map")) for o in fused.used]
    brain = out.uri(out.own_volume(session, fused.reference.bids, "brain_mask"))
    here, mask = out.uri(paths["anomaly_map"]), out.uri(paths["anomaly_mask"])
    scan = fused.reference.scan
    native = [
        Output(paths["brain_mask"], fused.reference.brain_bytes, brain_says([brain])),
        Output(paths["anomaly_mask"], fused.anomaly_mask, mask_says([here], fused.edits)),
    ]
    write_outputs(native, scan, reference)
    write_lesion_table(paths["lesions"], fused.lesions)
    affine = fused.reference.to_template
    map_template = resample_to_template(fused.anomaly_map, affine)
    weight = fused.anomaly_mask.with_data(fused.anomaly_mask.data.astype(np.float32))
    mask_template = resample_to_template(weight, affine)
    mask_template = mask_template.with_data((mask_template.data > 0.5).astype(np.uint8))
    says = _says(fused)
    template = [
        Output(paths["anomaly_map_template"], map_template, says | {"Sources": [here]}),
        Output(paths["anomaly_mask_template"], mask_template, mask_says([mask], fused.edits)),
    ]
    write_outputs(template, scan, None)
    if len(fused.used) > 1:
        _write_page(fused, out.figures(session, f"{stem}_session"))
    says |= {"Sources": own, "Considered": [out.uri(scan.path) for scan in scans]}
    pieces = lesions_output(paths["lesions"], fused.anomaly_mask, [mask])
    last = [Output(paths["anomaly_map"], fused.anomaly_map, says), pieces]
    write_outputs(last if fused.edits else last[::-1], scan, reference)


def session_stem(session: BidsSession, out: Derivatives) -> str | None:
    """Return the stem of the reference scan of a session's map, None without a whole map."""
    markers = _markers(session, out)
    return markers[0].name.removesuffix(_MAP_END) if markers else None


def _markers(session: BidsSession, out: Derivatives) -> list[Path]:
    """Return the sidecars of whole session maps: one, unless the reference has changed."""
    found = out.anat(session).glob(f"sub-*{_MAP_END}")
    return sorted(path for path in found if "_space-" not in path.name)


def _remove_others(stem: str, session: BidsSession, out: Derivatives) -> None:
    """Remove the session's files that carry the name of another reference, and their page."""
    for marker in _markers(session, out):
        other = marker.name.removesuffix(_MAP_END)
        if other == stem:
            continue
        page = out.figures(session, f"{other}_session")
        volumes = [out.session_volume(session, other, kind) for kind in VOLUME_NAMES]
        besides = [sidecar(volume, ending) for volume in volumes for ending in (".json", ".tsv")]
        for file in (*besides, *volumes, *result_files(page)):
            file.unlink(missing_ok=True)
        for place in (*(page / name for name in RESULT_FOLDERS), page):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def _says(fused: Fused) -> dict[str, Any]:
    """Return what the sidecar of the map says beside its sources."""
    quality = fused.reference.run.get("preparation", {}).get("quality", {})
    return {
        "Description": "Largest of the sequences' scores, each bent so that its own threshold is "
        "0.5; not a probability.",
        "Sequences": fused.sequences,
        "Threshold": FUSED_THRESHOLD,
        "OwnThresholds": {own.bids.sequence: own.threshold for own in fused.used},
        "RigidToReference": fused.to_reference,
        "BrainOverlap": fused.overlap,
        "BrainVolumeMl": quality.get("brain_ml"),
        "Warnings": fused.warnings,
        **edits_say(fused.edits),
    }


def _write_page(fused: Fused, folder: Path) -> None:
    """Write a result folder without volumes: page, picture, table and manifest."""
    own = fused.reference
    run = _run(fused)
    volumes = PageVolumes(
        brain_mask=own.brain_bytes,
        scan=own.scan.volume,
        pseudo_healthy=own.pseudo_healthy,
        anomaly_map=fused.anomaly_map,
        template=template_tissue_native(own.brain_bytes, own.to_template),
        hand_mask=fused.anomaly_mask if edits_of(run) else None,
    )
    title = f"{folder.name} · {run['sequence']}"
    with output_folder(folder) as temporary:
        write_lesions_tsv(temporary / "lesions.tsv", fused.lesions)
        write_overview(
            temporary / "overview.png",
            own.scan.volume,
            own.pseudo_healthy,
            fused.anomaly_map,
            fused.anomaly_mask,
            own.brain_mask,
            title,
            FUSED_THRESHOLD,
            fused.warnings,
            by_hand=bool(edits_of(run)),
        )
        content = PageContent(
            name=folder.name,
            run=plain(run),
            lesions=lesion_rows(fused.lesions),
            spots=find_spots(fused.anomaly_mask, own.brain_mask),
            layers=make_layers(volumes, FUSED_THRESHOLD, grow_share_of(run)),
            overview=(temporary / "overview.png").read_bytes(),
        )
        write_page(temporary / "report.html", content)
        write_labels(temporary, len(fused.lesions), tissues=False)
        write_manifest(temporary / "run.json", run)


def _run(fused: Fused) -> Mapping[str, Any]:
    """Return the manifest: that of the reference, and what was fused."""
    return {
        **fused.reference.run,
        "sequence": "+".join(fused.sequences),
        "threshold": FUSED_THRESHOLD,
        "lesions": len(fused.lesions),
        "warnings": fused.warnings,
        "healthy_ml": {},  # of one sequence alone
        "controls": {},
        "corrected_by_hand": list(fused.edits),
        "fused": {
            "thresholds": {own.bids.sequence: own.threshold for own in fused.used},
            "reference": fused.reference.bids.sequence,
            "rigid_to_reference": fused.to_reference,
            "brain_overlap": fused.overlap,
        },
    }
