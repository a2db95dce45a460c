"""Volumes, centres and scores as a DICOM structured report: PS3.16 TID 1500 Measurement Report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from anatomaly.anomaly.lesions import Lesion
from anatomaly.dicom_results.description import (
    NAME,
    RESEARCH_ONLY,
    Description,
    own_code,
    tracking_id,
)
from anatomaly.dicom_results.source import SourceFrames
from anatomaly.geometry import flip_lps_ras

_AXES = (
    ("CENTRE_X", "Centre x, patient coordinates, + to the left"),
    ("CENTRE_Y", "Centre y, patient coordinates, + to the back"),
    ("CENTRE_Z", "Centre z, patient coordinates, + to the head"),
)


def make_measurement_report(
    source: SourceFrames,
    lesions: Sequence[Lesion],
    segmentation: Segmentation | None,
    tracking_uids: Sequence[str],
    description: Description,
) -> ComprehensiveSR:
    """Return the report: one group over all lesions, then one a lesion that names its segment.

    Args:
        source: the instances.
        lesions: may be empty: the report then says 0 lesions, 0 mm³.
        segmentation: that the lesions are segments of; None without lesions.
        tracking_uids: of the segments.
        description: what made it.
    """
    groups = [_all_lesions(lesions, description)]
    if segmentation is not None:
        groups += [
            _one_lesion(lesion, segmentation, uid, description)
            for lesion, uid in zip(lesions, tracking_uids, strict=True)
        ]
    report = MeasurementReport(
        observation_context=_observer(description),
        procedure_reported=codes.LN.BrainMRI,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    common = description.common(source.images[0], "SR", "measurements")
    return ComprehensiveSR(
        evidence=[*source.images, *([] if segmentation is None else [segmentation])],
        content=report,
        is_complete=True,
        is_final=False,
        is_verified=False,
        **common,
    )


def _observer(description: Description) -> ObservationContext:
    """Say that a program observed, not a person."""
    device = DeviceObserverIdentifyingAttributes(
        uid=UID(),
        name=NAME,
        manufacturer_name=f"{NAME} developers",
        model_name=f"{NAME} {description.version}",
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


def _finding(description: Description) -> dict[str, Any]:
    """Return what all groups say: a lesion, in the brain, found by this program and weights."""
    parameters = [f"{name}={value}" for name, value in description.parameters.items()]
    return {
        "finding_type": codes.SCT.Lesion,
        "finding_sites": [FindingSite(codes.SCT.Brain)],
        "algorithm_id": AlgorithmIdentification(NAME, description.version, parameters),
    }


def _all_lesions(lesions: Sequence[Lesion], description: Description) -> Any:
    """Return the group over all lesions, with the statement of what the report is for."""
    volume = sum(lesion.volume_mm3 for lesion in lesions)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(UID(), "all lesions"),
        **_finding(description),
        measurements=[
            _number(own_code("LESION_COUNT", "Number of lesions"), len(lesions), None),
            _number(own_code("TOTAL_VOLUME", "Total volume of lesions"), volume, "mm3"),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(
                own_code("INTENDED_USE", "Intended use"), own_code("RESEARCH", RESEARCH_ONLY)
            )
        ],
    )


def _one_lesion(
    lesion: Lesion, segmentation: Segmentation, tracking_uid: str, description: Description
) -> Any:
    """Return the group of one lesion (TID 1411), which names its segment."""
    centre = flip_lps_ras(np.array(lesion.centre_scanner_mm)).tolist()
    polarity = own_code(lesion.polarity.upper(), f"{lesion.polarity.capitalize()} than expected")
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, tracking_id(lesion.number)),
        referenced_segment=ReferencedSegment.from_segmentation(segmentation, lesion.number),
        **_finding(description),
        measurements=[
            _number(codes.SCT.Volume, lesion.volume_mm3, "mm3"),
            *(
                _number(own_code(*axis), value, "mm")
                for axis, value in zip(_AXES, centre, strict=True)
            ),
            _number(own_code("MEAN_SCORE", "Mean anomaly score"), lesion.mean_score, None),
            _number(own_code("PEAK_SCORE", "Peak anomaly score"), lesion.peak_score, None),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(own_code("POLARITY", "Intensity against expectation"), polarity)
        ],
    )


def _number(name: Code, value: float, unit: str | None) -> Measurement:
    """Return a measurement in mm, mm3 or without a unit."""
    units = {
        "mm": codes.UCUM.Millimeter,
        "mm3": codes.UCUM.CubicMillimeter,
        None: codes.UCUM.NoUnits,
    }
    return Measurement(name=name, value=round(float(value), 4), unit=units[unit])
