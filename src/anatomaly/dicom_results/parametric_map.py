"""The anomaly map as a DICOM Parametric Map (PS3.3 A.75): float32, the values as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.sr.codedict import codes

from anatomaly.dicom_results.description import RESEARCH_ONLY, Description, own_code
from anatomaly.dicom_results.source import SourceFrames


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
