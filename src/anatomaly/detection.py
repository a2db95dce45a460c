"""What was found in one scan, and how it goes to disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from anatomaly.anomaly.hybrid_score import structural_difference
from anatomaly.anomaly.lesions import Lesion, lesion_rows, write_lesions_tsv
from anatomaly.components import as_label_volume, number_lesions
from anatomaly.config import ASKED_OUTPUTS, OUTPUTS, edits_of, grow_share_of
from anatomaly.dicom_results.write import write_dicom_results
from anatomaly.errors import ConfigError
from anatomaly.native import template_tissue_native, to_native
from anatomaly.preprocess.trace import Trace
from anatomaly.report.label_tables import (
    ANOMALY,
    LABELS_FOLDER,
    TISSUES,
    lesion_labels,
    write_label_tables,
)
from anatomaly.report.layers import PageVolumes, make_layers
from anatomaly.report.manifest import plain, write_manifest
from anatomaly.report.overview import write_overview
from anatomaly.report.page import PageContent, page_name, write_page
from anatomaly.report.spots import find_spots
from anatomaly.scan.write import output_folder, write_volume
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import Scan, Volume

VOLUMES = frozenset({"anomaly_map", "anomaly_mask", "pseudo_healthy", "tissue_map", "brain_mask"})
"""Outputs that are an attribute of `Detection`, and a file of the same name."""


@dataclass(frozen=True)
class Steps:
    """Steps of the method that are no output of `save`: brought to the scan's grid for a page.

    Attributes:
        image: (1, 1, 160, 192, 160) in [0, 1], working grid.
        pseudo_healthy: the same.
        edges: (160, 192, 160) bool.
        trace: of the preparation.
        ssim_sigma_mm: window of the structural term.
        anomaly_map: (160, 192, 160) in [0, 1], working grid: the map before its way back.
    """

    image: Tensor
    pseudo_healthy: Tensor
    edges: BoolArray
    trace: Trace
    ssim_sigma_mm: float
    anomaly_map: FloatArray

    def add_to(self, volumes: PageVolumes) -> PageVolumes:
        """Return the volumes with structural term, edges and template on the scan's grid."""
        structure = structural_difference(
            self.image, self.pseudo_healthy, data_range=1.0, sigma=self.ssim_sigma_mm
        )
        affine = self.trace.registration.scanner_to_template
        return replace(
            volumes,
            structure=to_native(structure[0, 0].cpu().numpy(), self.trace),
            edges=to_native(self.edges.astype(np.uint8), self.trace, order=0),
            template=template_tissue_native(volumes.brain_mask, affine),
        )


@dataclass(frozen=True)
class Detection:
    """What was found in one scan; every volume lies on the scan's own grid.

    Attributes:
        scan: as it was read.
        sequence: told, or recognised.
        anomaly_map: float32 in [0, 1], higher is more abnormal, 0 outside the scored brain.
        anomaly_mask: uint8, 1 where the map is above `threshold` (small components dropped).
        pseudo_healthy: float32, scanner units; the scan itself outside the brain.
        tissue_map: uint8, 0 background, 1 CSF, 2 grey matter, 3 white matter.
        brain_mask: uint8.
        lesions: one entry for each component of the mask, largest first.
        threshold: that the mask was cut at.
        seconds: wall time of each stage.
        warnings: doubts about this result, in plain sentences.
        run: what `run.json` holds.
        steps: what the page shows beside the results; None leaves that out.
    """

    scan: Scan
    sequence: MrSequence
    anomaly_map: Volume
    anomaly_mask: Volume
    pseudo_healthy: Volume
    tissue_map: Volume
    brain_mask: Volume
    lesions: tuple[Lesion, ...]
    threshold: float
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    run: dict[str, Any]
    steps: Steps | None = None

    def save(self, folder: str | Path, outputs: set[str] | None = None) -> Path:
        """Write the result folder, whole or not at all; `run.json` is always in it.

        Args:
            folder: replaced if it holds an older result.
            outputs: names of `config.OUTPUTS` and `config.ASKED_OUTPUTS`; None writes the former.

        Raises:
            ConfigError: an unknown name in outputs.
            DicomError: `dicom` is asked for, and the scan's instances cannot be referred to.
            OutputError: the place cannot be written.
        """
        wanted = set(OUTPUTS) if outputs is None else outputs
        if unknown := wanted.difference(OUTPUTS, ASKED_OUTPUTS):
            known = OUTPUTS + ASKED_OUTPUTS
            raise ConfigError(f"unknown outputs {sorted(unknown)}; choose among {known}")
        folder = Path(folder)
        title = page_name(folder.name, self.scan.name)
        with output_folder(folder) as temporary:
            self.write_files(temporary, wanted, title)
            if "report" in wanted:
                self._write_page(temporary, title)
            write_manifest(temporary / "run.json", self.run)
        return folder

    def write_files(self, folder: Path, wanted: set[str], title: str) -> None:
        """Write outputs into a folder that is there; all but the page, which shows some of them.

        Args:
            folder: receives them.
            wanted: names of `config.OUTPUTS` and `config.ASKED_OUTPUTS`.
            title: of the overview.

        Raises:
            DicomError: as `save`.
            OutputError: as `save`.
        """
        with ThreadPoolExecutor(1) as pool:  # packs the volumes while the rest is drawn
            packed = [pool.submit(self._pack, folder, n) for n in wanted.intersection(VOLUMES)]
            if "lesions" in wanted:
                write_lesions_tsv(folder / "lesions.tsv", self.lesions)
            if "labels" in wanted:
                self._write_labels(folder)
            if wanted & {"overview", "dicom"}:
                self._write_overview(folder / "overview.png", title)
            for each in packed:
                each.result()
        if "dicom" in wanted:
            write_dicom_results(
                folder, self.scan, self.anomaly_map, self.anomaly_mask, self.lesions, self.run
            )
        if "overview" not in wanted:  # it was drawn for the sheet of PDF
            (folder / "overview.png").unlink(missing_ok=True)

    def _pack(self, folder: Path, name: str) -> None:
        """Write one of `VOLUMES`."""
        volume: Volume = getattr(self, name)
        write_volume(folder / f"{name}.nii.gz", volume, self.scan, volume.data.dtype)

    def _write_labels(self, folder: Path) -> None:
        """Write the numbered lesions, and what the values of each label volume are called."""
        numbered = as_label_volume(number_lesions(self.anomaly_mask.data))
        volume = self.anomaly_mask.with_data(numbered)
        write_volume(folder / "lesions.nii.gz", volume, self.scan, numbered.dtype)
        named = {"lesions": lesion_labels(len(self.lesions)), "tissue_map": TISSUES}
        for stem, labels in {**named, "anomaly_mask": ANOMALY}.items():
            write_label_tables(folder / LABELS_FOLDER, stem, labels)

    def _write_overview(self, path: Path, title: str) -> None:
        write_overview(
            path,
            self.scan.volume,
            self.pseudo_healthy,
            self.anomaly_map,
            self.anomaly_mask,
            self.brain_mask,
            f"{title} · {self.sequence}",
            self.threshold,
            self.warnings,
            by_hand=bool(edits_of(self.run)),
        )

    def _write_page(self, folder: Path, title: str) -> None:
        overview = folder / "overview.png"
        content = PageContent(
            name=title,
            run=plain(self.run),
            lesions=lesion_rows(self.lesions),
            spots=find_spots(self.anomaly_mask, self.brain_mask),
            layers=make_layers(self._page_volumes(), self.threshold, grow_share_of(self.run)),
            overview=overview.read_bytes() if overview.is_file() else None,
        )
        write_page(folder / "report.html", content)

    def _page_volumes(self) -> PageVolumes:
        volumes = PageVolumes(
            brain_mask=self.brain_mask,
            scan=self.scan.volume,
            pseudo_healthy=self.pseudo_healthy,
            tissue_map=self.tissue_map,
            anomaly_map=self.anomaly_map,
        )
        return volumes if self.steps is None else self.steps.add_to(volumes)
