"""The folder that derivatives are written to: what describes it, and where files lie in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anatomaly import __version__
from anatomaly.errors import BidsError, OutputError
from anatomaly.geometry import TEMPLATE_SPACE
from anatomaly.report.manifest import plain, write_whole
from anatomaly.scan.bids import GENERATOR, BidsScan, BidsSession, generators_of

BIDS_VERSION = "1.10.0"
IGNORED = ("*.html", "**/figures", "logs/", "group_*.tsv", "failures.tsv", "failures.log")
"""What BIDS has no names for; `.bidsignore` takes it away from validators."""

VOLUME_NAMES = {
    "anomaly_map": "label-L{desc}_probseg",
    "anomaly_mask": "label-L{desc}_mask",
    "brain_mask": "desc-brain{sequence}_mask",
    "lesions": "seg-lesions{desc}_dseg",
    "anomaly_map_template": f"space-{TEMPLATE_SPACE}_label-L{{desc}}_probseg",
    "anomaly_mask_template": f"space-{TEMPLATE_SPACE}_label-L{{desc}}_mask",
    "pseudo_healthy": "desc-pseudohealthy_{sequence}",
    "tissues": "seg-tissues{desc}_dseg",
}
"""By kind, without the entities of the scan; the last two are of a scan, never of a session."""

_README = """\
Derivatives of the program anatomaly: what is abnormal in T1w, T2w and FLAIR scans of the brain.
Research software: not for diagnosis, treatment or triage.

sub-*/[ses-*/]anat holds, on the grid of the reference scan of each session:
  label-L_probseg    score of all sequences together; above 0.5 is abnormal. Not a probability
  label-L_mask       what is abnormal
  seg-lesions_dseg   its pieces, numbered by size; measured in the .tsv beside it
  desc-brain_mask    the brain
With desc-T1w, desc-T2w or desc-FLAIR: the same from that sequence alone, on its own grid.
With space-MNI152NLin2009aSym: the same in the space of the template.
figures/ beside anat holds a page for each scan (report.html); index.html all of them.
"""


@dataclass(frozen=True)
class Derivatives:
    """A folder of derivatives and the data set that they come from.

    Attributes:
        source: root of the raw data set.
        root: of the derivatives.
    """

    source: Path
    root: Path

    def prepare(self) -> None:
        """Write `dataset_description.json`, `.bidsignore` and `README`, unless they are there.

        Raises:
            OutputError: the folder is the raw data set, or holds another one, or cannot be written.
        """
        if self.root.resolve() == self.source.resolve():
            raise OutputError(
                f"{self.root} is the raw data set itself; choose another folder, for example "
                f"{self.source / 'derivatives' / GENERATOR}"
            )
        path = self.root / "dataset_description.json"
        if path.exists() and generators_of(self.root)[:1] != [GENERATOR]:
            raise OutputError(
                f"{path} belongs to another data set; choose another output folder, or an empty one"
            )
        raw = read_json(self.source / "dataset_description.json")
        made_by = {"Name": GENERATOR, "Version": __version__, "Description": "anomaly detection"}
        description: dict[str, Any] = {
            "Name": f"anatomaly of {raw.get('Name') or self.source.resolve().name}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [made_by],
            "DatasetLinks": {"raw": Path(os.path.relpath(self.source, self.root)).as_posix()},
        }
        if raw.get("License"):
            description["License"] = raw["License"]
        if raw.get("DatasetDOI"):
            description["SourceDatasets"] = [{"DOI": raw["DatasetDOI"]}]
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(path, description)
        for name, text in ((".bidsignore", "\n".join(IGNORED) + "\n"), ("README", _README)):
            if not (self.root / name).exists():
                write_whole(self.root / name, text)

    def anat(self, session: BidsSession) -> Path:
        """Where the volumes of a session lie."""
        return self.root / session.folder / "anat"

    def figures(self, session: BidsSession, name: str) -> Path:
        """Where page, table and manifest of a scan lie; with `run.json`, so a result folder."""
        return self.root / session.folder / "figures" / name

    def own_volume(self, session: BidsSession, scan: BidsScan, kind: str) -> Path:
        """Path of a volume of one scan; see `volume_name`."""
        return self.anat(session) / f"{volume_name(scan.stem, kind, scan.sequence)}.nii.gz"

    def session_volume(self, session: BidsSession, stem: str, kind: str) -> Path:
        """Path of a volume of the session; see `volume_name`."""
        return self.anat(session) / f"{volume_name(stem, kind)}.nii.gz"

    def uri(self, path: Path) -> str:
        """Return the BIDS URI of a file of the raw data set or of the derivatives."""
        for name, root in (("", self.root), ("raw", self.source)):
            if path.is_relative_to(root):
                return f"bids:{name}:{path.relative_to(root).as_posix()}"
        raise ValueError(f"{path} is in neither data set")

    def write_log(self, name: str, record: Mapping[str, Any] | None) -> None:
        """Keep why a scan failed, one file a scan so that jobs do not meet; None removes it."""
        path = self.root / "logs" / f"{name}.json"
        if record is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)

    def read_logs(self) -> list[dict[str, Any]]:
        """Return why scans failed, by name."""
        return [read_json(path) for path in sorted((self.root / "logs").glob("*.json"))]


def derivatives_at(root: Path) -> Derivatives | None:
    """Return the derivatives of ours that a folder is the root of; None where it is no such root.

    Raises:
        BidsError: its description cannot be read.
    """
    if generators_of(root)[:1] != [GENERATOR]:
        return None
    links = read_json(root / "dataset_description.json").get("DatasetLinks", {})
    source = os.path.normpath(root.resolve() / str(links.get("raw", "")))
    return Derivatives(Path(source), root.resolve())


def volume_name(stem: str, kind: str, sequence: str = "") -> str:
    """Return the name of a volume, without its ending.

    `desc-` carries the sequence, because a mask has its own suffix and would lose that of the
    scan: two sequences of a session would meet in one file.

    Args:
        stem: of the scan; of the reference scan for a volume of the session.
        kind: of `VOLUME_NAMES`.
        sequence: of the scan; empty for a volume of the session.

    >>> volume_name("sub-01", "anomaly_mask", "T1w"), volume_name("sub-01", "brain_mask", "T1w")
    ('sub-01_label-L_desc-T1w_mask', 'sub-01_desc-brainT1w_mask')
    >>> volume_name("sub-01_ses-a", "anomaly_map")
    'sub-01_ses-a_label-L_probseg'
    """
    desc = f"_desc-{sequence}" if sequence else ""
    return f"{stem}_{VOLUME_NAMES[kind].format(desc=desc, sequence=sequence)}"


def sidecar(volume: Path, ending: str = ".json") -> Path:
    """Path of the JSON, or the table, beside an image."""
    return volume.with_name(volume.name.removesuffix(".nii.gz") + ending)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, all of it or nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_whole(path, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds, nothing where there is none.

    Raises:
        BidsError: it holds no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BidsError(f"{path}: cannot be read ({error}); repair or remove it") from error
    if not isinstance(content, dict):
        raise BidsError(f"{path}: expected a JSON object; repair or remove it")
    return content
