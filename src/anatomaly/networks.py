"""How the networks run: device, threads, half precision where the processor has it, no gradient."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from anatomaly.config import DeviceOption
from anatomaly.errors import ConfigError
from anatomaly.types import BoolArray, FloatArray


def choose_device(wanted: DeviceOption) -> torch.device:
    """Return the device; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: the wanted device is not there.
    """
    have = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, there in have.items() if there))
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
