"""How networks run: device, threads and precision."""

import numpy as np
import pytest
import torch

from anatomaly import networks
from anatomaly.errors import ConfigError
from anatomaly.networks import as_tensor, choose_device, half_precision, limit_threads, running

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest(monkeypatch, cuda, mps, expected):
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
