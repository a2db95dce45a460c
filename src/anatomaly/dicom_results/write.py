"""The DICOM files of a result folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

from pydicom import Dataset

from anatomaly.anomaly.lesions import Lesion, lesion_rows
from anatomaly.components import number_lesions
from anatomaly.dicom_results.source import check_pixels, source_frames
from anatomaly.errors import DicomError
from anatomaly.report.summary_pdf import make_summary_pdf
from anatomaly.volume import Scan, Volume
from anatomaly.whole_file import whole_file

SEGMENTATION_FILE = "lesions_seg.dcm"
MAP_FILE = "anomaly_map_pm.dcm"
REPORT_FILE = "report_sr.dcm"
PDF_FILE = "report_pdf.dcm"
OVERLAY_FOLDER = "overlay_sc"


def require_highdicom() -> None:
    """Refuse early where the libraries for DICOM results are not installed.

    Raises:
        DicomError: they are not.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise DicomError(
            "DICOM results need highdicom: pip install 'anatomaly[dicom]', or leave dicom out of "
            "the outputs"
        ) from error


@contextmanager
def _names_as_they_are() -> Iterator[None]:
    """Pass over that highdicom doubts the scanner's spelling of names, once for each object."""
    with catch_warnings():
        filterwarnings("ignore", message=".*unlikely to represent the intended person name")
        yield


@_names_as_they_are()
def write_dicom_results(
    folder: Path,
    scan: Scan,
    anomaly_map: Volume,
    anomaly_mask: Volume,
    lesions: Sequence[Lesion],
    run: Mapping[str, Any],
) -> None:
    """Write segmentation, parametric map, report, pictures and sheet of one scan.

    Without lesions no segmentation is written. The sheet shows `overview.png` of the folder, where
    there is one.

    Args:
        folder: exists; each file appears whole or not at all.
        scan: of a DICOM folder that still lies where it was read.
        anomaly_map: (I, J, K) float32 in [0, 1], on the scan's grid.
        anomaly_mask: (I, J, K), above zero where abnormal; same grid.
        lesions: of that mask.
        run: manifest, for version, weights and threshold.

    Raises:
        DicomError: highdicom is not installed, the scan is no DICOM series, or its grid is not that
            of the instances.
    """
    require_highdicom()
    from highdicom import UID

    from anatomaly.dicom_results.description import Description
    from anatomaly.dicom_results.encapsulated_pdf import make_encapsulated_pdf
    from anatomaly.dicom_results.images import make_parametric_map, make_segmentation
    from anatomaly.dicom_results.measurement_report import make_measurement_report
    from anatomaly.dicom_results.overlay import make_overlay_images

    _check_count(scan, lesions)
    source = source_frames(scan)
    check_pixels(source, scan)
    description = Description.of_run(run)
    uids = [UID() for _ in lesions]
    segmentation = None
    try:
        score = make_parametric_map(source, anomaly_map.data, description)
        _save(score, folder / MAP_FILE)
        if lesions:
            numbered = number_lesions(anomaly_mask.data)
            segmentation = make_segmentation(source, numbered, uids, description)
            _save(segmentation, folder / SEGMENTATION_FILE)
        report = make_measurement_report(source, lesions, segmentation, uids, description)
        _save(report, folder / REPORT_FILE)
        pictures = make_overlay_images(source, scan.volume, anomaly_map, anomaly_mask, description)
        _save_pictures(pictures, folder / OVERLAY_FOLDER)
        pdf = _make_pdf(folder, scan, lesions, run)
        _save(make_encapsulated_pdf(source, pdf, description), folder / PDF_FILE)
    except ValueError as error:  # a date that is none, a name too long ...
        raise DicomError(
            f"{scan.source}: the header of its instances cannot be carried over ({error}); correct "
            "that field, or leave dicom out of the outputs"
        ) from error


def _check_count(scan: Scan, lesions: Sequence[Lesion]) -> None:
    """Refuse more lesions than a segmentation has numbers for."""
    from anatomaly.dicom_results.images import MAX_SEGMENTS

    if len(lesions) > MAX_SEGMENTS:
        raise DicomError(
            f"{scan.name}: {len(lesions):,} lesions, a DICOM segmentation holds {MAX_SEGMENTS:,}; "
            "raise --threshold or --min-lesion-mm3"
        )


def _save_pictures(pictures: Iterable[Dataset], folder: Path) -> None:
    """Write one file a picture."""
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        _save(picture, folder / f"{picture.InstanceNumber:04d}.dcm")


def _make_pdf(folder: Path, scan: Scan, lesions: Sequence[Lesion], run: Mapping[str, Any]) -> bytes:
    """Return the sheet, with the overview that lies in the folder."""
    overview = folder / "overview.png"
    picture = overview.read_bytes() if overview.is_file() else None
    return make_summary_pdf(scan.name, run, lesion_rows(tuple(lesions)), picture)


def _save(dataset: Dataset, path: Path) -> None:
    """Write one DICOM file, whole or not at all."""
    with whole_file(path) as temporary:
        dataset.save_as(temporary)
