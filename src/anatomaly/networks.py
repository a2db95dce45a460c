"""Loaded networks, and how they run: device, threads, half precision where it is fast."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from anatomaly.config import DeviceOption
from anatomaly.errors import ConfigError, WeightsError
from anatomaly.method import Method
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.types import SEQUENCES, BoolArray, EdgeOption, FloatArray
from anatomaly.weights import load_healthy_residual, load_model, load_scorer
from anatomaly.weights_card import WeightsCard


def choose_device(wanted: DeviceOption) -> torch.device:
    """Return the device; `auto` takes CUDA, else the CPU; nobody has tried MPS, so it is asked for.

    Raises:
        ConfigError: the wanted device is not there.
    """
    have = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device("cuda" if have["cuda"] else "cpu")
    if not have[wanted]:
        raise ConfigError(f"device {wanted} is not available here; use --device cpu")
    return torch.device(wanted)


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Use so many CPU threads inside the block; 0 leaves torch's choice."""
    before = torch.get_num_threads()
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks: fresh ones cost a third of the time in page faults.

    It holds for the whole process, so only commands call it, not the library.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((-3, 2_000_000_000), (-1, 2_000_000_000)):  # mmap and trim thresholds
            libc.mallopt(option, value)


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return the half type that is fast on the device, None where there is none.

    CUDA: bfloat16 or float16; CPUs: bfloat16 where the instruction set has it.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return None


@contextmanager
def running(device: torch.device | str = "cpu") -> Iterator[None]:
    """Run networks inside the block without gradients, in half precision where it is fast."""
    kind = torch.device(device).type
    half = half_precision(torch.device(device))
    with (
        torch.inference_mode(),
        torch.autocast(kind, dtype=half or torch.bfloat16, enabled=half is not None),
    ):
        yield


def as_tensor(volume: FloatArray | BoolArray, device: torch.device | str = "cpu") -> Tensor:
    """Turn (I, J, K) into a float32 tensor (1, 1, I, J, K) on the device."""
    contiguous = np.ascontiguousarray(volume, dtype=np.float32)
    return torch.from_numpy(contiguous)[None, None].to(device)


@dataclass(frozen=True)
class Networks:
    """Loaded weights, in evaluation mode, on one device.

    Attributes:
        model: that rebuilds.
        card: of the weights.
        scorer: of the refined score; None if no method needs it.
        healthy_residual: by `weights.healthy_key`, for the normalised score; empty if no method
            needs it.
    """

    model: PseudoHealthyModel
    card: WeightsCard
    scorer: LesionScorer | None = None
    healthy_residual: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the networks lie."""
        return next(self.model.parameters()).device

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""
        networks = [self.model] if self.scorer is None else [self.model, self.scorer]
        return sum(p.numel() for network in networks for p in network.parameters())

    def check(self, method: Method) -> None:
        """Refuse a method that these networks were not loaded for or not trained on.

        Raises:
            ConfigError: the refined score with edges that its network never saw.
            WeightsError: the method needs a network or maps that were not loaded.
        """
        kinds = list(self.model.anatomy_restorers)
        if method.score == "refined" and self.model.edges != kinds[0]:
            raise ConfigError(
                f"the refined score was not trained on {self.model.edges} edges: leave --edges at "
                "auto, or choose another score"
            )
        if method.score == "refined" and self.scorer is None:
            raise WeightsError(f"{self.card.name}: the network of the refined score is not loaded")
        if method.score == "normalised" and not self.healthy_residual:
            raise WeightsError(f"{self.card.name}: what healthy people score is not loaded")


def load_networks(
    weights: str,
    methods: Sequence[Method] | None = None,
    *,
    edges: EdgeOption = "auto",
    device: torch.device | str = "cpu",
) -> Networks:
    """Load weights and what some methods need of them.

    Args:
        weights: `default`, a bundled name, or a folder.
        methods: that will be used; None are those of the weights' card.
        edges: kind that the anatomy is restored from.
        device: for all networks.

    Raises:
        WeightsError: the weights cannot be used, or lack what a method needs.
    """
    model, card = load_model(weights, edges)
    if methods is None:
        methods = [card.method_for(sequence) for sequence in SEQUENCES]
    scores = {method.score for method in methods}
    return Networks(
        model.to(device),
        card,
        load_scorer(card, weights).to(device) if "refined" in scores else None,
        load_healthy_residual(card, weights) if "normalised" in scores else {},
    )
