"""Healthy people on a grid that is thin enough for seconds."""

import numpy as np
import pytest

from anatomaly.volume import PreparedImage

SHAPE = (160, 192, 16)


def draw_image(seed, sequence="FLAIR", shape=SHAPE):
    """An ellipsoid of two tissues whose border moves, with a dark ventricle and noise."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt((axes[0] / 0.8) ** 2 + (axes[1] / 0.9) ** 2 + (0.3 * axes[2]) ** 2)
    wave = 0.05 * np.sin(8 * np.arctan2(axes[1], axes[0]) + rng.uniform(0, 6))
    image = np.where(radius < 0.7 + wave, 0.45, 0.6)
    image = np.where(radius < 0.2 + rng.uniform(-0.05, 0.05), 0.15, image)
    image = image + rng.normal(0, 0.02, shape)
    brain = radius < 1
    return PreparedImage((np.clip(image, 0, 1) * brain).astype(np.float32), brain, sequence)


def plant(prepared, value=0.95):
    """Put a bright block into the white matter; returns image and block."""
    lesion = np.zeros(prepared.image.shape, bool)
    middle = [n // 2 for n in lesion.shape]
    i, j = middle[0] + lesion.shape[0] // 8, middle[1] - lesion.shape[1] // 16
    lesion[i : i + lesion.shape[0] // 10, j : j + lesion.shape[1] // 10, 4:12] = True
    image = np.where(lesion, value, prepared.image).astype(np.float32)
    return PreparedImage(image, prepared.brain_mask, prepared.sequence), lesion


@pytest.fixture(name="draw_healthy", scope="session")
def fixture_draw_healthy():
    """The function itself: seed, and sequence or shape, to a `PreparedImage`."""
    return draw_image


@pytest.fixture(name="plant_block", scope="session")
def fixture_plant_block():
    """The function itself: a `PreparedImage` to one with a lesion, and the lesion."""
    return plant


@pytest.fixture(name="healthy", scope="session")
def fixture_healthy():
    """Three healthy people."""
    return [draw_image(seed) for seed in range(3)]


@pytest.fixture(name="small_healthy", scope="session")
def fixture_small_healthy():
    """Three healthy people on a grid for networks that take any."""
    return [draw_image(seed, shape=(64, 64, 16)) for seed in range(3)]
