"""The lesions and the anomaly map as DICOM images.

Lesions are a Segmentation (PS3.3 A.51), binary, one segment each; the map is a Parametric Map
(PS3.3 A.75), float32, the values as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence, VOILUTTransformation
from highdicom.color import CIELabColor
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.sr.codedict import codes

from anatomaly.dicom_results.description import (
    NAME,
    RESEARCH_ONLY,
    Description,
    own_code,
    tracking_id,
)
from anatomaly.dicom_results.source import SourceFrames

MAX_SEGMENTS = 65_535
_RED_LAB = (53.2, 80.1, 67.2)
"""CIELab of pure red, D65."""


def make_segmentation(
    source: SourceFrames,
    numbered: np.ndarray[Any, Any],
    tracking_uids: Sequence[str],
    description: Description,
) -> Segmentation:
    """Return a segmentation whose frames have the positions of the scan's instances.

    Only slices with a lesion become frames: a viewer lays them over the instances they name.

    Args:
        source: the instances.
        numbered: (I, J, K) lesion number of each voxel, 0 outside, on the scan's grid.
        tracking_uids: of lesion 1, 2, ...; at least one.
        description: what made it.
    """
    return Segmentation(
        source_images=source.images,
        pixel_array=source.stack(numbered).astype(np.uint16),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(number, uid, description) for number, uid in enumerate(tracking_uids, start=1)
        ],
        content_label="ANOMALIES",
        content_description=RESEARCH_ONLY,
        **description.common(source.images[0], "SEG", "lesions"),
    )


def _segment(number: int, tracking_uid: str, description: Description) -> SegmentDescription:
    """Describe one lesion: what it is, where, and what found it."""
    return SegmentDescription(
        segment_number=number,
        segment_label=tracking_id(number),
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        if description.is_by_hand
        else SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=NAME,
            family=codes.DCM.ArtificialIntelligence,
            version=description.version,
            source=f"{NAME} developers",
            parameters=description.parameters,
        ),
        tracking_uid=tracking_uid,
        tracking_id=tracking_id(number),
        anatomic_regions=[codes.SCT.Brain],
        display_color=CIELabColor(*_RED_LAB),
    )


def make_parametric_map(
    source: SourceFrames, anomaly_map: np.ndarray[Any, Any], description: Description
) -> ParametricMap:
    """Return a map with one frame for each instance of the scan.

    Args:
        source: the instances.
        anomaly_map: (I, J, K) score in [0, 1], on the scan's grid; written bit for bit.
        description: what made it.
    """
    score = RealWorldValueMapping(
        lut_label="SCORE",
        lut_explanation="Anomaly score, higher is more abnormal; not a probability",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=own_code("ANOMALY_SCORE", "Anomaly score"),
    )
    made = ParametricMap(
        source_images=source.images,
        pixel_array=source.stack(anomaly_map).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[score],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="ANOMALY_MAP",
        content_description=RESEARCH_ONLY,
        **description.common(source.images[0], "PM", "anomaly map"),
    )
    made.BodyPartExamined = "BRAIN"  # without it a side (Laterality) is asked for
    return made
