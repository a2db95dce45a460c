"""The bundled weights find the phantom's lesion at its place, with its volume."""

from __future__ import annotations

import numpy as np
import pytest

from anatomaly.evaluation.phantom import make_phantom
from anatomaly.evaluation.recovery import measure_recovery
from anatomaly.pipeline import Detector
from anatomaly.types import SEQUENCES, MrSequence


@pytest.fixture(scope="module", name="detector")
def fixture_detector() -> Detector:
    """Weights are loaded once."""
    return Detector()


@pytest.mark.slow
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_phantom_lesion_is_found(detector: Detector, sequence: MrSequence):
    """Within 3 mm of its centre, on the phantom's oblique grid, and not twice as large.

    Findings grow down to half the threshold into the phantom's borders, which are softer than those
    of lesions of people (decision 0020): 145 to 163 % of the volume with the weights that ship.
    """
    phantom = make_phantom(sequence, 0)
    detection = detector.detect(phantom.scan)
    assert np.allclose(detection.anomaly_map.affine, phantom.scan.affine, atol=1e-4)
    recovery = measure_recovery(phantom.lesion_mask, detection.anomaly_mask)
    assert recovery is not None
    assert recovery.distance_mm < 3
    assert 0.7 < recovery.volume_ratio < 1.8
