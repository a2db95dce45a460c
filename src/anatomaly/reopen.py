"""Read a result folder back and build its page again, from what is written there."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from anatomaly.config import edits_of, grow_share_of
from anatomaly.errors import AnatomalyError, ScanError
from anatomaly.geometry import affine_in_mm
from anatomaly.names import path_of
from anatomaly.native import template_tissue_native
from anatomaly.report.index import read_rows
from anatomaly.report.layers import (
    Layers,
    PageVolumes,
    UInt8,
    layer_on,
    make_layers,
    read_layers,
)
from anatomaly.report.page import PageContent, page_name, write_page
from anatomaly.report.spots import Spot, find_spots
from anatomaly.scan.edited_mask import read_edited_mask
from anatomaly.scan.read import read_scan
from anatomaly.types import Affine
from anatomaly.volume import Scan, Volume

PAGE_FILE = "report.html"
VOLUME_NAMES = ("pseudo_healthy", "tissue_map", "anomaly_map")
HARD_TO_MAKE_AGAIN = ("scan", "pseudo_healthy", "structure", "edges", "template")
"""Taken from the older page where there is one: not all of them are in the result folder."""


def rebuild_page(
    folder: Path,
    name: str | None = None,
    mask: Volume | None = None,
    brain_mask: Volume | None = None,
) -> Path:
    """Write `report.html` of a result folder again.

    The score, the masks and the table come from the files; scan, structural term and edges, which
    no file holds, from the older page. Without one, the scan is read again where it still lies.
    What cannot be had is left out, and the page says so.

    Args:
        folder: the result.
        name: of the scan; None takes it from the folder.
        mask: that the table was made of, numbered or not; None reads the folder's.
        brain_mask: of the same grid; None reads the folder's.

    Raises:
        ScanError: the folder holds no result, or a file in it cannot be read.
        OutputError: the page cannot be written.
    """
    run = read_run(folder)
    page = OlderPage.read(folder / PAGE_FILE)
    mask = mask or read_volume(folder / "lesions.nii.gz")
    left_out = _say_what_was_edited(folder, mask)
    mask = mask or read_volume(folder / "anomaly_mask.nii.gz")
    brain_mask = brain_mask or read_volume(folder / "brain_mask.nii.gz")
    layers = _with_hand_mask(_build_layers(folder, run, page), mask, bool(edits_of(run)))
    overview = folder / "overview.png"
    lesions = read_rows(folder / "lesions.tsv")
    content = PageContent(
        name=name or page_name(folder.resolve().name, str(run["scan"]["name"])),
        run=run,
        lesions=lesions,
        spots=find_spots(mask, brain_mask) if mask else page.spots,
        layers=layers,
        overview=overview.read_bytes() if overview.is_file() else None,
        left_out=[*left_out, *_say_what_is_missing(layers)],
    )
    write_page(folder / PAGE_FILE, content)
    return folder / PAGE_FILE


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `run.json` of a result folder holds.

    Raises:
        ScanError: it is not there or cannot be understood.
    """
    path = folder / "run.json"
    try:
        run = json.loads(path.read_text("utf-8"))
        known = {"scan", "sequence", "weights", "config", "seconds", "versions", "preparation"}
        if missing := known - set(run):
            raise ScanError(f"{path}: lacks {', '.join(sorted(missing))}; run detect again")
    except (OSError, ValueError, TypeError) as error:
        raise ScanError(
            f"{path}: cannot be read ({error}); give a folder that `anatomaly detect` wrote"
        ) from error
    return dict(run)


def read_volume(path: Path) -> Volume | None:
    """Return a volume of a result folder, None where it was not written.

    Raises:
        ScanError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        image: Any = nib.load(path)
        return Volume(np.asanyarray(image.dataobj), affine_in_mm(image.affine, image.header))
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        raise ScanError(f"{path}: cannot be read ({error}); run detect again") from error


@dataclass(frozen=True)
class OlderPage:
    """What an older page holds; nothing without one."""

    layers: Mapping[str, tuple[UInt8, Affine]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> OlderPage:
        """Read a page; one that cannot be understood holds nothing."""
        try:
            page = path.read_text("utf-8")
            data = re.search(r'id="page-data">(.*?)</script>', page, flags=re.S)
            return cls(read_layers(page), json.loads(data[1]) if data else {})
        except (OSError, ValueError, EOFError, KeyError, zlib.error):
            return cls()

    @property
    def spots(self) -> list[Spot]:
        """Where the lesions are clicked to."""
        points, at_rim = self.data.get("spots", ()), self.data.get("at_rim", ())
        return [Spot((x, y, z), rim) for (x, y, z), rim in zip(points, at_rim, strict=False)]

    def whole(self) -> Layers | None:
        """Return all layers as they are, None without a viewer in the older page."""
        if "brain_mask" not in self.layers:
            return None
        arrays = {name: array for name, (array, _) in self.layers.items()}
        affine = self.layers["brain_mask"][1]
        return Layers(
            arrays, affine, *(self.data[x] for x in ("map_step", "voxel_mm3", "is_exact"))
        )


def _build_layers(folder: Path, run: Mapping[str, Any], page: OlderPage) -> Layers | None:
    """Return the viewer's volumes: from the files, then from the older page, then from the scan."""
    brain = read_volume(folder / "brain_mask.nii.gz")
    if brain is None:
        return page.whole()
    threshold = float(run.get("threshold", 0.0))
    bare = make_layers(PageVolumes(brain_mask=brain), threshold)
    shape = bare.arrays["brain_mask"].shape
    older = {
        name: array
        for name, (array, affine) in page.layers.items()
        if name != "hand_mask"
        and array.shape == shape
        and np.allclose(affine, bare.affine, atol=1e-3)
    }
    reused = {name: older[name] for name in HARD_TO_MAKE_AGAIN if name in older and "scan" in older}
    volumes = {
        name: read_volume(folder / f"{name}.nii.gz") for name in VOLUME_NAMES if name not in reused
    }
    if "scan" not in reused:
        scan = find_scan(run, brain)
        volumes["scan"] = scan.volume if scan else None
        if volumes["scan"] is None:  # the grey window is the scan's
            volumes["pseudo_healthy"] = None
    if "template" not in reused:
        to_template = np.array(run["preparation"]["scanner_to_template"], dtype=np.float64)
        volumes["template"] = template_tissue_native(brain, to_template)
    made = make_layers(PageVolumes(brain, **volumes), threshold, grow_share_of(run))
    return replace(made, arrays={**older, **made.arrays, **reused})


def _with_hand_mask(layers: Layers | None, mask: Volume | None, is_edited: bool) -> Layers | None:
    """Return the viewer's volumes with the mask that a person corrected, where one did.

    A result whose files hold no mask keeps that of its older page.
    """
    if layers is None or (is_edited and mask is None):
        return layers
    arrays = {name: array for name, array in layers.arrays.items() if name != "hand_mask"}
    if mask is not None and is_edited:
        grid = Volume(arrays["brain_mask"], layers.affine)
        arrays["hand_mask"] = layer_on((mask.data > 0).astype(np.uint8), mask.affine, grid).data
    return replace(layers, arrays=arrays)


def _say_what_was_edited(folder: Path, tabulated: Volume | None) -> list[str]:
    """Say that the mask is not that of the table any more, where both can be read."""
    path = folder / "anomaly_mask.nii.gz"
    if tabulated is None or not path.is_file():
        return []
    try:
        edited = read_edited_mask(path, tabulated)
    except ScanError as error:
        return [f"The mask is not that of this page: {error}."]
    same = np.array_equal(edited.data > 0, tabulated.data > 0)
    return [] if same else ["The mask was edited since: `anatomaly tabulate` on this folder."]


def find_scan(run: Mapping[str, Any], grid: Volume) -> Scan | None:
    """Return the scan of a result where it still lies and is the same; None otherwise.

    Args:
        run: what `run.json` holds.
        grid: of the result.
    """
    source = run["scan"].get("source")
    if not source:
        return None
    try:
        scan = read_scan(path_of(source))
    except AnatomalyError:
        return None
    same = scan.metadata.get("sha256") == run["scan"].get("sha256")
    return scan if same and scan.volume.shape == grid.shape else None


def _say_what_is_missing(layers: Layers | None) -> list[str]:
    """Say what the page cannot show."""
    if layers is None:
        return ["The viewer is missing: neither the volumes nor an older page are in the folder."]
    names = {
        "scan": "the scan",
        "pseudo_healthy": "the pseudo-healthy image",
        "anomaly_map": "the anomaly map",
        "structure": "the structural term",
        "edges": "the edges",
    }
    missing = ", ".join(words for name, words in names.items() if name not in layers.arrays)
    return (
        [f"Built again from the result folder, which does not hold {missing}."] if missing else []
    )
