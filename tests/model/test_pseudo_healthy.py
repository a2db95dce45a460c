"""The five parts joined, on a small template that the test puts in the place of the real one."""

import pytest
import torch

from anatomaly.model import pseudo_healthy, template_context
from anatomaly.model.anatomy_edges import anatomy_edges
from anatomaly.model.pseudo_healthy import PseudoHealthyModel

GRID = (32, 48, 32)


@pytest.fixture(name="model")
def fixture_model(monkeypatch):
    monkeypatch.setattr(template_context, "TEMPLATE_SHAPE", GRID)
    monkeypatch.setattr(pseudo_healthy, "TEMPLATE_SHAPE", GRID)
    torch.manual_seed(0)
    model = PseudoHealthyModel().eval()
    model.context.tissue_share.uniform_()
    return model


def scan():
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in GRID], indexing="ij"))
    mask = (grid.norm(dim=0) < 0.9).float()[None, None]
    image = mask * torch.rand(1, 1, *GRID, generator=torch.Generator().manual_seed(1))
    return image, mask


def test_every_intermediate_has_its_shape_and_range(model):
    image, mask = scan()
    with torch.no_grad():
        found = model(image, mask)
    assert found.anatomical_image.shape == (1, 1, *GRID)
    assert found.edges.shape == (1, 3, *GRID)
    assert found.tissue_map.shape == (1, 4, *GRID)
    assert found.anatomical_code.shape == (1, 8, *GRID)
    assert found.modality_code.shape == (1, 16)
    assert found.pseudo_healthy.shape == (1, 1, *GRID)
    assert found.edges.any()
    assert (found.pseudo_healthy[mask == 0] == 0).all()
    inside = found.pseudo_healthy[mask > 0]
    assert 0 <= inside.min() < inside.max() <= 1


def test_order_of_the_stages(model):
    image, mask = scan()
    with torch.no_grad():
        found = model(image, mask)
        context = model.context(size=GRID)
        healthy = model.anatomy_restorer(anatomy_edges(found.tissue_map, "oriented"), context)
        code = model.anatomy_encoder(healthy, context)
        modality = model.modality_extractor(image, found.tissue_map)
        expected = model.representation_combiner(code, modality) * mask
    assert torch.equal(found.edges, anatomy_edges(found.tissue_map, "oriented"))
    torch.testing.assert_close(found.pseudo_healthy, expected)


def test_half_precision_gives_a_float32_image_near_the_full_one(model):
    image, mask = scan()
    with torch.no_grad():
        full = model(image, mask).pseudo_healthy
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image, mask).pseudo_healthy
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().mean() < 0.02


def test_names_of_the_weights_are_a_contract(model):
    parts = {name.split(".")[0] for name in model.state_dict()}
    assert parts == {
        "context",
        "anatomy_extractor",
        "anatomy_encoder",
        "anatomy_restorers",
        "modality_extractor",
        "representation_combiner",
    }
    kinds = {name.split(".")[1] for name in model.state_dict() if "restorers" in name}
    assert kinds == {"oriented"}
    assert len(model.state_dict()) == 138


def test_edges_of_another_kind(model):
    image, mask = scan()
    with torch.no_grad():
        first = model(image, mask)
        model.use_edges("canny")
        second = model(image, mask)
    assert set(second.edges.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first.anatomical_code, second.anatomical_code)
    restorers = model.anatomy_restorers
    assert set(restorers) == {"oriented", "canny"} and model.anatomy_restorer is restorers["canny"]
    model.use_edges("oriented")
    with torch.no_grad():
        again = model(image, mask)
    assert torch.equal(first.anatomical_code, again.anatomical_code)


@pytest.mark.slow
def test_full_size():
    model = PseudoHealthyModel().eval()
    mask = torch.zeros(1, 1, 160, 192, 160)
    mask[..., 40:120, 50:150, 40:120] = 1
    image = mask * torch.rand(mask.shape)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(image, mask)
    assert found.pseudo_healthy.shape == (1, 1, 160, 192, 160)
    assert torch.isfinite(found.pseudo_healthy).all()
    with pytest.raises(ValueError, match="multiple of 16"):
        model(torch.zeros(1, 1, 161, 192, 160), mask)
