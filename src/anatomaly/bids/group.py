"""Tables of everything that a folder of derivatives holds, and the page over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.bids.dataset import Derivatives, read_json, write_table
from anatomaly.errors import BidsError
from anatomaly.report.index import read_rows, write_index
from anatomaly.scan.bids import select_sessions
from anatomaly.scan.bids_left_out import LeftOut

WHOSE = ("participant_id", "session_id", "map", "sequences")
VOLUME_COLUMNS = (*WHOSE, "lesions", "volume_ml", "brain_ml", "threshold", "warnings", "file")
LEFT_OUT_COLUMNS = ("participant_id", "session_id", "file", "reason")
LESION_TABLE_COLUMNS = (*WHOSE, *LESION_COLUMNS)


@dataclass(frozen=True)
class _Map:
    """One map: of a scan, or of a session."""

    path: Path
    says: Mapping[str, Any]
    lesions: list[dict[str, str]]

    @property
    def whose(self) -> dict[str, str]:
        """Whose map it is: the cells of `WHOSE`."""
        entities = dict(part.split("-", 1) for part in self.path.name.split("_") if "-" in part)
        return {
            "participant_id": f"sub-{entities['sub']}",
            "session_id": f"ses-{entities['ses']}" if "ses" in entities else "",
            "map": entities.get("desc", "session"),
            "sequences": "+".join(self.says.get("Sequences", ())),
        }


def write_group(out: Derivatives) -> list[Path]:
    """Write `group_*.tsv` (volumes, lesions, left_out), `failures.tsv` and `index.html`.

    A map is that of one scan (T1w, T2w, FLAIR) or of a session; a session of one sequence has
    both, so filter by the column `map` before you add up.

    Args:
        out: the data set; of the raw one the names alone are read, for what is left out of it.

    Returns:
        The files, of those there is something to say in.

    Raises:
        BidsError: there is no result yet.
        OutputError: the folder cannot be written.
    """
    maps = list(_maps(out.root))
    left_out = _left_out(out.source)
    refused = [left for left in left_out if left.refused]
    failures = out.read_logs() + [
        {"scan": out.uri(left.path), "error": "BidsError", "reason": left.reason}
        for left in refused
    ]
    if not maps and not failures:
        raise BidsError(f"{out.root}: no results in it; run the participant level first")
    volumes, lesions = out.root / "group_volumes.tsv", out.root / "group_lesions.tsv"
    write_table(volumes, VOLUME_COLUMNS, [_volume_row(found, out.root) for found in maps])
    rows = [
        {**row, **found.whose, "number": row["index"]} for found in maps for row in found.lesions
    ]
    write_table(lesions, LESION_TABLE_COLUMNS, rows)
    failed = out.root / "failures.tsv"
    failed.unlink(missing_ok=True)
    if failures:
        write_table(failed, ("scan", "error", "reason"), failures)
    omitted = out.root / "group_left_out.tsv"
    omitted.unlink(missing_ok=True)
    if left_out:
        write_table(
            omitted, LEFT_OUT_COLUMNS, [_left_out_row(left, out.source) for left in left_out]
        )
    written = [volumes, lesions, *(path for path in (failed, omitted) if path.is_file())]
    return [*written, write_index(out.root)]


def _left_out(source: Path) -> tuple[LeftOut, ...]:
    """Return what is left out of the raw data set; nothing where it is not here any more."""
    try:
        return select_sessions(source).left_out
    except (BidsError, OSError):
        return ()


def _left_out_row(left: LeftOut, source: Path) -> dict[str, str]:
    """Return a line of `group_left_out.tsv`: whose folder it lies in, not whose name it has."""
    relative = left.path.relative_to(source)
    visits = [part for part in relative.parts if part.startswith("ses-")]
    return {
        "participant_id": relative.parts[0],
        "session_id": visits[0] if len(relative.parts) > 1 and visits else "",
        "file": relative.as_posix(),
        "reason": left.reason,
    }


def _maps(root: Path) -> Iterator[_Map]:
    """Yield every whole map on its own grid, by name."""
    found = [*root.glob("sub-*/anat/*"), *root.glob("sub-*/ses-*/anat/*")]
    for marker in sorted(path for path in found if path.name.endswith("_probseg.json")):
        if "_label-L_" in marker.name and "_space-" not in marker.name:
            name = marker.name.replace("_label-L_", "_seg-lesions_")
            table = marker.with_name(name.replace("_probseg.json", "_dseg.tsv"))
            path = marker.with_name(marker.name.replace(".json", ".nii.gz"))
            yield _Map(path, read_json(marker), list(map(dict, read_rows(table) or [])))


def _volume_row(found: _Map, root: Path) -> dict[str, str]:
    """Return a line of `group_volumes.tsv`."""
    total = sum(float(row["volume_mm3"]) for row in found.lesions) / 1000
    brain_ml, threshold = found.says.get("BrainVolumeMl"), found.says.get("Threshold")
    return {
        **found.whose,
        "lesions": str(len(found.lesions)),
        "volume_ml": f"{total:.3f}",
        "brain_ml": "" if brain_ml is None else f"{brain_ml:.0f}",
        "threshold": "" if threshold is None else f"{threshold:.4f}",
        "warnings": " | ".join(found.says.get("Warnings", ())),
        "file": found.path.relative_to(root).as_posix(),
    }
