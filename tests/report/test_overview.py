"""The overview picture, read back pixel by pixel: which slices, which side, which proportions."""

import time

import numpy as np
import pytest
from matplotlib.image import imread

from anatomaly.errors import GeometryError
from anatomaly.report import overview
from anatomaly.report.overview import write_overview
from anatomaly.volume import Volume

SHAPE = (52, 70, 17)  # stored as L, P, S with thick slices
AFFINE = np.array([[-2.6, 0.2, 0, 65], [0.1, -2.3, 0.3, 80], [0, 0.2, 6.5, -50], [0, 0, 0, 1.0]])
CYAN = (0x35 / 255, 0xE0 / 255, 1.0)


def head() -> dict[str, Volume]:
    rng = np.random.default_rng(11)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.8
    scan = (brain * 300 + rng.normal(0, 20, SHAPE)).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[12:19, 40:48, 11:13] = 1  # low i of an L axis: the patient's right; back; above
    arrays = {
        "scan": scan,
        "pseudo_healthy": (brain * 300).astype(np.float32),
        "anomaly_map": (mask * 0.7).astype(np.float32),
        "anomaly_mask": mask,
        "brain_mask": brain,
    }
    return {name: Volume(data, AFFINE) for name, data in arrays.items()}


@pytest.fixture(name="cut_panels")
def fixture_cut_panels():
    volumes = head()
    names = ("scan", "pseudo_healthy", "anomaly_map", "anomaly_mask", "brain_mask")
    return overview._cut_out(*(volumes[name] for name in names))


def test_panels_are_in_ras_order_with_their_physical_size(cut_panels):
    np.testing.assert_allclose(cut_panels.spacing_mm, (2.602, 2.317, 6.507), atol=1e-3)
    x, y, _ = np.argwhere(cut_panels.mask).mean(0) / cut_panels.mask.shape
    assert x > 0.6  # right of the middle
    assert y < 0.45  # behind the middle
    for grey in cut_panels.grey:
        assert 0 <= grey.min() < grey.max() <= 1


def test_cuts_pass_through_the_largest_lesion(cut_panels):
    cuts = overview._choose_cuts(cut_panels)
    assert [cut.axis for cut in cuts[-2:]] == [1, 0]
    assert len(cuts) == overview.AXIAL_SLICES + 2
    for axis in range(3):
        hit = [np.take(cut_panels.mask, cut.index, axis).any() for cut in cuts if cut.axis == axis]
        assert any(hit)
    indices = [cut.index for cut in cuts if cut.axis == 2]
    assert indices == sorted(set(indices))


def pixels_near(picture: np.ndarray, colour: tuple) -> np.ndarray:
    return np.argwhere(np.abs(picture[..., :3] - colour).max(-1) < 0.2)


def test_picture_shows_the_lesion_in_the_bottom_row_on_the_right_side(tmp_path):
    started = time.perf_counter()
    write_overview(tmp_path / "o.png", **head(), title="sub-01, T1w", threshold=0.4)
    seconds = time.perf_counter() - started
    picture = imread(tmp_path / "o.png")
    assert (tmp_path / "o.png").stat().st_size < 1_000_000
    assert seconds < 20  # 1 to 2 s on an idle machine
    height, width = picture.shape[:2]
    contour = pixels_near(picture, CYAN)
    contour = contour[contour[:, 1] < 0.95 * width]  # leaves out the line of the colour bar
    assert len(contour) > 30
    assert contour[:, 0].min() > 0.6 * height  # only the third row is outlined


def test_empty_mask_and_warnings(tmp_path):
    volumes = head()
    volumes["anomaly_mask"] = volumes["anomaly_mask"].with_data(np.zeros(SHAPE, np.uint8))
    amber = (1.0, 0xB3 / 255, 0x47 / 255)
    counts = []
    for warnings in ((), ("registration is poor", "b", "c", "d")):
        path = tmp_path / f"{len(warnings)}.png"
        write_overview(path, **volumes, title="x", threshold=0.4, warnings=warnings)
        picture = imread(path)
        below = picture[int(0.94 * len(picture)) :]
        counts.append(len(pixels_near(below, amber)))
        contour = pixels_near(picture, CYAN)
        assert (contour[:, 1] > 0.95 * picture.shape[1]).all()
    assert counts[0] == 0
    assert counts[1] > 50


def test_few_slices_and_an_empty_brain_still_make_a_picture(tmp_path):
    volumes = {name: Volume(v.data[:, :, 7:10], AFFINE) for name, v in head().items()}
    volumes["brain_mask"] = volumes["brain_mask"].with_data(np.zeros((52, 70, 3), bool))
    write_overview(tmp_path / "o.png", **volumes, title="slab", threshold=0.4)
    assert imread(tmp_path / "o.png").shape[1] == overview.WIDTH_INCHES * overview.DPI


def test_other_grids_are_refused(tmp_path):
    volumes = head()
    volumes["anomaly_map"] = Volume(volumes["anomaly_map"].data[1:], AFFINE)
    with pytest.raises(GeometryError, match="one grid"):
        write_overview(tmp_path / "o.png", **volumes, title="x", threshold=0.4)
    assert not list(tmp_path.iterdir())
