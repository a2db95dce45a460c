"""Fuse the scans of one session into one map on the grid of one of them, the reference.

Everything is read from what `derivatives.write_scan` left: a run that was killed goes on here, and
jobs that each did one sequence are joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from anatomaly.anomaly.atlas import Atlas
from anatomaly.anomaly.fusion import FUSED_THRESHOLD, fuse_scores, relative_score
from anatomaly.anomaly.lesions import Lesion, tabulate_lesions
from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.bids.dataset import Derivatives
from anatomaly.bids.derivatives import is_finished, own_tissues
from anatomaly.config import grow_share_of
from anatomaly.errors import ScanError
from anatomaly.geometry import apply_affine
from anatomaly.preprocess.checks import USUAL_MISSING
from anatomaly.preprocess.register_rigid import nearest_rigid, register_rigid
from anatomaly.preprocess.resample import resample
from anatomaly.reopen import read_run, read_volume
from anatomaly.scan.bids import BidsScan, BidsSession
from anatomaly.scan.read import read_scan
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Scan, Volume


@dataclass(frozen=True)
class OwnResult:
    """What is on disk of one scan; volumes on its grid but for one.

    Attributes:
        bids: its name.
        scan: as it was read.
        anomaly_map: score in [0, 1].
        anomaly_map_template: the same on the working grid, before its way back.
        brain_mask: bool.
        pseudo_healthy: units of the scan.
        tissue_map: 0 background or lesion, 1 CSF, 2 grey, 3 white matter.
        run: its `run.json`.
    """

    bids: BidsScan
    scan: Scan
    anomaly_map: Volume
    anomaly_map_template: Volume
    brain_mask: Volume
    pseudo_healthy: Volume
    tissue_map: Volume
    run: Mapping[str, Any]

    @property
    def to_template(self) -> Affine:
        """(4, 4), scanner mm to template mm."""
        return np.array(self.run["preparation"]["scanner_to_template"], dtype=np.float64)

    @property
    def brain_bytes(self) -> Volume:
        """The brain mask as files hold it, uint8."""
        return self.brain_mask.with_data(self.brain_mask.data.astype(np.uint8))

    @property
    def threshold(self) -> float:
        """That its mask was cut at."""
        return float(self.run["threshold"])


@dataclass(frozen=True)
class Fused:
    """The session in one map, on the grid of the reference.

    Attributes:
        reference: whose grid it is.
        used: the scans that are in it.
        anomaly_map: float32 in [0, 1]; 0 outside the reference's brain.
        anomaly_mask: uint8, 1 where the map is above `FUSED_THRESHOLD` (small pieces dropped).
        lesions: pieces of the mask, largest first.
        to_reference: rigid transform of each other sequence, mm to mm.
        overlap: of its brain mask with the reference's, 0 to 1.
        warnings: in plain sentences.
        edits: what persons changed in the mask, as `run.json` keeps it.
    """

    reference: OwnResult
    used: tuple[OwnResult, ...]
    anomaly_map: Volume
    anomaly_mask: Volume
    lesions: tuple[Lesion, ...]
    to_reference: Mapping[str, Affine]
    overlap: Mapping[str, float]
    warnings: tuple[str, ...]
    edits: tuple[Mapping[str, Any], ...] = ()

    @property
    def sequences(self) -> list[str]:
        """T1w before T2w before FLAIR."""
        return [own.bids.sequence for own in self.used]


def scans_to_fuse(session: BidsSession, out: Derivatives) -> list[BidsScan]:
    """Return the scans that have a result, one a sequence: that with the shortest name."""
    chosen: dict[str, BidsScan] = {}
    for scan in session.scans:
        if is_finished(out.own_volume(session, scan, "anomaly_map")):
            chosen.setdefault(scan.sequence, scan)
    return list(chosen.values())


def read_own(scan: BidsScan, session: BidsSession, out: Derivatives) -> OwnResult:
    """Read the scan and what was found in it.

    Raises:
        ScanError: one of its files is missing, cannot be read, or has another shape.
    """
    read = read_scan(scan.path)
    volumes = {}
    for kind in ("anomaly_map", "brain_mask", "pseudo_healthy", "tissues"):
        path = out.own_volume(session, scan, kind)
        volume = read_volume(path)
        if volume is None or volume.shape != read.volume.shape:
            raise ScanError(f"{path}: missing, or not of the shape of {scan.path}; use --redo")
        volumes[kind] = read.volume.with_data(volume.data)
    path = out.own_volume(session, scan, "anomaly_map_template")
    laid = read_volume(path)
    if laid is None:
        raise ScanError(f"{path}: missing; use --redo")
    volumes["anomaly_map_template"] = laid
    volumes["tissue_map"] = own_tissues(volumes.pop("tissues"))
    brain_mask = volumes["brain_mask"]
    volumes["brain_mask"] = brain_mask.with_data(brain_mask.data > 0)
    run = read_run(out.figures(session, scan.name))
    return OwnResult(bids=scan, scan=read, run=run, **volumes)


def choose_reference(owns: list[OwnResult]) -> OwnResult:
    """Return the T1w scan, else the one whose longest voxel side is the shortest.

    A scan that lacks part of the brain is taken only where every other one lacks as much: outside
    the reference the session's map holds nothing.
    """
    whole = [own for own in owns if _missing(own) <= USUAL_MISSING]
    owns = whole or [min(owns, key=_missing)]
    t1w = [own for own in owns if own.bids.sequence == "T1w"]
    return t1w[0] if t1w else min(owns, key=lambda own: float(own.scan.volume.spacing_mm.max()))


def _missing(own: OwnResult) -> float:
    """Return which share of the brain lies outside a scan, as its preparation found."""
    quality = own.run.get("preparation", {}).get("quality", {})
    return float(quality.get("missing", 0.0))


def fuse(owns: list[OwnResult], min_lesion_mm3: float, atlas: Atlas | None = None) -> Fused:
    """Register every scan to the reference once, and fuse their maps.

    A scan that does not fit the reference is left out, with a warning.

    Args:
        owns: one a sequence, one at least.
        min_lesion_mm3: smaller pieces of the mask are dropped.
        atlas: names regions.

    Raises:
        PreparationError: niimath failed.
        ConfigError: a map has no threshold between 0 and 1.
    """
    reference = choose_reference(owns)
    used, warnings = [], []
    to_reference: dict[str, Affine] = {}
    overlap: dict[str, float] = {}
    for own in owns:
        sequence = own.bids.sequence
        if own is not reference:
            found = register_rigid(
                own.scan.volume,
                own.brain_mask,
                reference.scan.volume,
                reference.brain_mask,
                _start(own, reference),
            )
            overlap[sequence] = round(found.dice, 4)
            if not found.is_good:
                warnings.append(
                    f"{sequence} is not in the session map: its brain does not fit that of the "
                    f"{reference.bids.sequence} scan (overlap {found.dice:.2f}); the same person?"
                )
                continue
            to_reference[sequence] = found.moving_to_fixed
        warnings += [f"{sequence}: {warning}" for warning in own.run.get("warnings", ())]
        used.append(own)
    fused, sign = join(reference, used, to_reference)
    mask = threshold_map(
        fused, reference.brain_mask, FUSED_THRESHOLD, min_lesion_mm3, grow_share_of(reference.run)
    )
    lesions = tabulate_lesions(
        fused, mask, sign, reference.to_template, atlas, reference.tissue_map
    )
    return Fused(
        reference, tuple(used), fused, mask, lesions, to_reference, overlap, tuple(warnings)
    )


def join(
    reference: OwnResult, used: list[OwnResult], to_reference: Mapping[str, Affine]
) -> tuple[Volume, Volume]:
    """Join the maps of registered scans.

    Args:
        reference: whose grid it is.
        used: all that take part, the reference among them.
        to_reference: rigid transform of each other sequence, mm to mm.

    Returns:
        The session's map, float32 in [0, 1], 0 outside the reference's brain; and whether the scan
        that a voxel's score is of is brighter (above 0) or darker (below) there than expected.
    """
    scores, signs = [], []
    for own in used:
        score: FloatArray = own.anomaly_map.data
        sign = own.scan.volume.with_data(_residual_sign(own))
        if own is not reference:
            moving_to_fixed = to_reference[own.bids.sequence]
            score = _lay_over(own, reference, moving_to_fixed)
            sign = resample(sign, reference.brain_mask, moving_to_fixed)
        scores.append(relative_score(score, own.threshold))
        signs.append(sign.data)
    inside = reference.brain_mask.data
    fused = reference.anomaly_map.with_data(np.where(inside, fuse_scores(scores), np.float32(0)))
    leading = np.stack(scores).argmax(0)  # which sequence a voxel's score is of
    sign_of_leading = np.take_along_axis(np.stack(signs), leading[None], 0)[0]
    return fused, fused.with_data(sign_of_leading)


def _residual_sign(own: OwnResult) -> FloatArray:
    """Return 1 where a scan is brighter than expected, −1 where it is darker, on its own grid."""
    sign: FloatArray = np.sign(own.scan.volume.data - own.pseudo_healthy.data).astype(np.float32)
    return sign


def _lay_over(own: OwnResult, reference: OwnResult, to_reference: Affine) -> FloatArray:
    """Bring the map of a scan from the working grid onto the reference's, in one interpolation.

    From the scan's own grid it would be the second: between thick slices that blurs small peaks
    below the threshold.
    """
    world = to_reference @ np.linalg.inv(own.to_template)
    score: FloatArray = resample(own.anomaly_map_template, reference.brain_mask, world).data
    return score


def _start(own: OwnResult, reference: OwnResult) -> Affine:
    """Return where the template says that a scan lies in the reference, as a rigid transform."""
    affine = np.linalg.inv(reference.to_template) @ own.to_template
    places = np.argwhere(own.brain_mask.data)[::100].astype(np.float64)
    return nearest_rigid(affine, apply_affine(own.scan.volume.affine, places))
