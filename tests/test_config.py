"""Values out of their range are refused where they are told; what is left out follows the score."""

import pytest

from anatomaly.config import AnomalyConfig, DetectConfig
from anatomaly.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"sequence": "PD"}, "T1w, T2w or FLAIR"),
        ({"sequence": "t1w"}, "got t1w"),
        ({"device": "gpu"}, "got gpu"),
        ({"threads": -1}, ">= 0"),
    ],
)
def test_detect_config(wrong, named):
    with pytest.raises(ConfigError, match=named):
        DetectConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"polarity": "up"},
        {"score": "normalized"},
        {"erosion_mm": -0.5, "score": "refined"},
        {"threshold": 1.1},
        {"threshold": -0.1},
        {"min_lesion_mm3": -1},
        {"erosion_mm": -1},
        {"ssim_sigma_mm": 0},
        {"ssim_sigma_mm": 11},
        {"smooth_sigma_mm": -1},
        {"smooth_sigma_mm": 11},
    ],
)
def test_anomaly_config(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong)))):
        AnomalyConfig(**wrong)


def test_ends_of_the_ranges_are_allowed():
    config = AnomalyConfig(threshold=0.0, min_lesion_mm3=0, erosion_mm=0, smooth_sigma_mm=0)
    assert (config.threshold, config.erosion_mm, config.smooth_sigma_mm) == (0, 0, 0)
    assert AnomalyConfig(threshold=1.0).threshold == 1
    assert DetectConfig(sequence="FLAIR", device="cpu", threads=0).threads == 0


@pytest.mark.parametrize(
    ("score", "rim_mm", "smoothing_mm"),
    [
        ("auto", 3.0, 1.0),
        ("hybrid", 3.0, 1.0),
        ("structure", 3.0, 1.0),
        ("residual", 3.0, 1.0),
        ("normalised", 3.0, 1.0),
        ("refined", 0.0, 0.5),
    ],
)
def test_rim_and_smoothing_are_those_of_the_score(score, rim_mm, smoothing_mm):
    config = AnomalyConfig(score=score)
    assert (config.rim_mm, config.smoothing_mm) == (rim_mm, smoothing_mm)
    told = AnomalyConfig(score=score, erosion_mm=0.0, smooth_sigma_mm=2.5)
    assert (told.rim_mm, told.smoothing_mm) == (0.0, 2.5)


def test_settling_writes_down_what_the_score_implies():
    settled = DetectConfig().settle("both", "fitted", "refined", "oriented")
    assert (settled.route, settled.reuse, settled.anomaly.score) == ("both", "fitted", "refined")
    assert settled.edges == "oriented"
    assert (settled.anomaly.erosion_mm, settled.anomaly.smooth_sigma_mm) == (0.0, 0.5)
    hybrid = DetectConfig().settle("edges", "learned", "hybrid", "canny").anomaly
    assert (hybrid.erosion_mm, hybrid.smooth_sigma_mm) == (3.0, 1.0)
    told = DetectConfig(anomaly=AnomalyConfig(erosion_mm=2.0, smooth_sigma_mm=0.0, threshold=0.4))
    kept = told.settle("both", "fitted", "refined", "oriented").anomaly
    assert (kept.erosion_mm, kept.smooth_sigma_mm, kept.threshold) == (2.0, 0.0, 0.4)
