"""Intensity agreement: the scan's tissue intensities, but not its lesion's."""

import pytest
import torch

from anatomaly.model.intensity_agreement import fit_intensities

SHAPE = (48, 48, 48)


def brain(lesion_value=None):
    """A three-tissue brain of smoothly varying intensities; image, truth, code, mask, lesion."""
    rng = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 8, 8, 8, generator=rng)
    tissue = torch.nn.functional.interpolate(coarse, size=SHAPE, mode="trilinear").argmax(1)
    code = torch.nn.functional.one_hot(tissue, 8).permute(0, 4, 1, 2, 3).float()
    slope = torch.linspace(-0.06, 0.06, SHAPE[0]).view(1, 1, -1, 1, 1)
    truth = (code[:, :3] * torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1, 1)).sum(1, keepdim=True)
    truth = truth + slope
    mask = torch.zeros(1, 1, *SHAPE)
    mask[..., 2:46, 2:46, 2:46] = 1
    lesion = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    lesion[..., 10:24, 10:24, 10:24] = True
    image = truth + 0.01 * torch.randn(truth.shape, generator=rng)
    if lesion_value is not None:
        image = torch.where(lesion, lesion_value, image)
    return image * mask, truth * mask, code, mask, lesion


@pytest.mark.parametrize("guess", [(0.2, 0.5, 0.8), (0.35, 0.4, 0.8), (0.0, 0.0, 0.0)])
def test_tissue_intensities_and_their_slope_are_found(guess):
    image, truth, code, mask, _ = brain()
    guessed = (code[:, :3] * torch.tensor(guess).view(1, 3, 1, 1, 1)).sum(1, keepdim=True) * mask
    found = fit_intensities(image, guessed, code, mask)
    assert found.shape == image.shape
    assert bool((found[mask == 0] == 0).all())
    error = (found - truth).abs()[mask > 0]
    assert float(error.mean()) < 0.02  # the slope alone makes .03
    assert float(error.mean()) < 0.75 * float((guessed - truth).abs()[mask > 0].mean())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_lesion_has_no_say(value):
    """The healthy intensity is rebuilt below a lesion, as if there were none."""
    image, truth, code, mask, lesion = brain(value)
    found = fit_intensities(image, 0.9 * truth, code, mask)
    assert float((found - truth).abs()[lesion].mean()) < 0.03
    assert float((image - found).abs()[lesion].mean()) > 0.3


def test_an_empty_mask_gives_an_empty_image():
    image, truth, code, mask, _ = brain()
    assert not bool(fit_intensities(image, truth, code, 0 * mask).any())
