"""How networks run: device, threads and precision."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anatomaly import networks
from anatomaly.errors import ConfigError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.method import PAPER, REFINED, usual_method
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import (
    as_tensor,
    choose_device,
    half_precision,
    limit_threads,
    load_networks,
    running,
)
from anatomaly.score import lesion_logit, rebuild
from anatomaly.weights_card import WeightsCard

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "cpu"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_that_was_tried(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"{wanted} is not available"):
        choose_device(wanted)


def test_threads_are_put_back_also_after_an_error():
    before = torch.get_num_threads()
    with limit_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), limit_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
    with limit_threads(0):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, None)])
def test_half_precision_only_where_the_processor_has_it(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    assert half_precision(CPU) is expected
    assert half_precision(torch.device("mps")) is None


@pytest.mark.parametrize("half", [torch.bfloat16, None])
def test_networks_run_in_the_precision_of_the_processor_and_without_gradients(monkeypatch, half):
    monkeypatch.setattr(networks, "half_precision", lambda _: half)
    with running():
        assert torch.is_autocast_enabled("cpu") == (half is not None)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_any_array_becomes_a_tensor():
    image = np.random.default_rng(0).random((4, 6, 5)).astype(np.float64).T  # not contiguous
    tensor = as_tensor(image)
    assert tensor.shape == (1, 1, 5, 6, 4) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor[0, 0].numpy(), image.astype(np.float32))


def test_only_what_the_methods_need_is_loaded(monkeypatch):
    loaded = []
    card = WeightsCard(
        "fake", "2026-01-02", "ab" * 32, "p", {}, {"FLAIR": REFINED.to_json()}, "", "cd" * 32
    )
    monkeypatch.setattr(networks, "load_model", lambda name, edges: (PseudoHealthyModel(), card))
    monkeypatch.setattr(networks, "load_scorer", lambda *a: loaded.append(a) or LesionScorer())
    monkeypatch.setattr(networks, "load_healthy_residual", lambda *a: {"T1w.darker": np.ones(1)})
    assert load_networks("mine", [PAPER]).scorer is None and loaded == []
    assert load_networks("mine").scorer is not None and loaded == [(card, "mine")]
    assert load_networks("mine", [usual_method("normalised")]).healthy_residual
    with_scorer = load_networks("mine", [REFINED])
    assert with_scorer.parameters_count > load_networks("mine", [PAPER]).parameters_count
    assert with_scorer.device == torch.device("cpu")


class Doubles(TorchDispatchMode):
    """Notes what computes in 64 bits."""

    def __init__(self):
        super().__init__()
        self.operations, self.found = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.float64, torch.complex128):
                self.found.add(str(func))
        return out


def test_the_watch_on_64_bits_sees_some():
    with Doubles() as watch:
        torch.zeros(2).double()
    assert watch.found


@pytest.mark.slow
def test_networks_and_score_stay_in_32_bits():
    """Apple's GPU has no others: there one operation in 64 bits ends the program."""
    networks = load_networks("default")
    image, mask = torch.rand(1, 1, *TEMPLATE_SHAPE), torch.zeros(1, 1, *TEMPLATE_SHAPE)
    mask[..., 30:130, 30:160, 30:130] = 1
    image *= mask
    with Doubles() as watch:
        scans = rebuild(networks.model, image, mask, [PAPER, REFINED])
        lesion_logit(networks, scans[REFINED.route, REFINED.reuse], "T1w")
    assert watch.operations > 1000
    assert watch.found == set()
