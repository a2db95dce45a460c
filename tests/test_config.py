"""Values out of their range are refused where they are told."""

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
        {"grow_share": 0},
        {"grow_share": 1.1},
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
