"""A made-up result for the page: an oblique scan with two lesions of known volume."""

from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.anomaly.lesions import lesion_rows, tabulate_lesions
from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.healthy_volume import HealthyVolume
from anatomaly.report.layers import PageVolumes, make_layers
from anatomaly.report.page import PageContent
from anatomaly.report.spots import find_spots
from anatomaly.volume import Volume

SHAPE = (46, 52, 39)
THRESHOLD, MIN_MM3 = 0.4, 60.0


def oblique_affine():
    """Left-posterior-superior axes, unequal spacing, turned by 0.3 rad, origin off zero."""
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    affine = turn @ np.diag([-3.0, -2.8, 3.4, 1.0])
    affine[:3, 3] = (61.0, 70.0, -48.0)
    return affine


def made_volumes():
    places = np.stack(np.indices(SHAPE), axis=-1)
    away = np.linalg.norm((places - (23, 26, 19)) / (18, 21, 15), axis=-1)
    brain = away < 1
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    scan = np.where(brain, 300 + 60 * np.sin(places[..., 0] / 3), 320) + noise
    score = np.where(brain, 0.15 + 0.02 * np.sin(places[..., 1]), 0)
    for centre, radius, peak in (((30, 26, 19), 4.2, 0.93), ((15, 20, 22), 3.1, 0.71)):
        ball = np.linalg.norm(places - centre, axis=-1) < radius
        scan[ball], score[ball] = 560, peak
    score[23, 40, 19] = 0.9  # one voxel, 28.6 mm³: below the least size
    affine = oblique_affine()

    def volume(data, dtype=np.float32):
        return Volume(data.astype(dtype), affine)

    return SimpleNamespace(
        scan=volume(scan),
        pseudo_healthy=volume(np.where(brain, 300 + 60 * np.sin(places[..., 0] / 3), scan)),
        anomaly_map=volume(score),
        brain_mask=volume(brain, np.uint8),
        tissue_map=volume(np.where(brain, 1 + (away * 3).astype(int).clip(0, 2), 0), np.uint8),
        edges=volume(brain & (np.abs(away - 0.6) < 0.04), np.uint8),
        structure=volume(np.where(score > 0.5, 0.8, 0.1)),
        template=volume(np.where(away < 0.97, 3, 0), np.uint8),
    )


def made_run(name="sub-01_FLAIR", warnings=()):
    return {
        "scan": {"name": name, "file": f"{name}.nii.gz", "source": f"/secret/place/{name}.nii.gz",
                 "sha256": "ab" * 32, "shape": list(SHAPE), "spacing_mm": [3.0, 2.8, 3.4]},
        "sequence": "FLAIR", "polarity": "brighter",
        "weights": {"name": "made-up", "date": "2026-01-02", "sha256": "cd" * 32},
        "config": {"anomaly": {"score": "hybrid", "threshold": None, "min_lesion_mm3": MIN_MM3}},
        "device": "cpu", "seconds": {"read": 0.5, "prepare": 11.25},
        "preparation": {
            "steps": [{"name": "brain extraction", "seconds": 1.0, "method": "deepbet"}],
            "scanner_to_template": np.eye(4).tolist(),
            "quality": {"brain_ml": 1400.0, "dice": 0.95, "correlation": 0.5, "margin": 2.0},
        },
        "warnings": list(warnings), "versions": {"anatomaly": "0.1.0", "numpy": "2"},
        "threshold": THRESHOLD, "lesions": 2,
    }  # fmt: skip


@pytest.fixture(name="made", scope="session")
def fixture_made():
    """Volumes, mask, lesions and layers of the made-up result."""
    made = made_volumes()
    made.mask = threshold_map(made.anomaly_map, made.brain_mask, THRESHOLD, MIN_MM3)
    residual = made.scan.with_data(made.scan.data - made.pseudo_healthy.data)
    made.lesions = tabulate_lesions(made.anomaly_map, made.mask, residual, np.eye(4))
    made.rows = lesion_rows(made.lesions)
    made.spots = find_spots(made.mask, made.brain_mask)
    shown = {name: volume for name, volume in vars(made).items() if name in PAGE_NAMES}
    made.volumes = PageVolumes(**shown)
    made.layers = make_layers(made.volumes, THRESHOLD)
    return made


PAGE_NAMES = {
    "brain_mask", "scan", "pseudo_healthy", "tissue_map", "edges", "structure", "anomaly_map",
    "template",
}  # fmt: skip


@pytest.fixture(name="content")
def fixture_content(made):
    """A function that makes the content of a page."""

    def make(name="sub-01_FLAIR", warnings=(), **changes):
        given = {"lesions": made.rows, "spots": made.spots, "layers": made.layers} | changes
        return PageContent(name=name, run=made_run(name, warnings), **given)

    return make


@pytest.fixture(name="curve")
def fixture_curve():
    """What healthy brains show, made up."""
    return HealthyVolume((0.05, 0.3, 0.6), (20.0, 2.0, 0.0), (45.0, 8.0, 0.03))


@pytest.fixture(name="healthy_content")
def fixture_healthy_content(content, curve):
    """Content of a page of weights that know what healthy brains show; the threshold is .4."""
    made = content()
    made.run["healthy_ml"] = {**curve.to_json(), "default": THRESHOLD}
    return made
