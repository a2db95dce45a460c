"""The engine of a training: devices, nodes, precision and strategy, all by Lightning Fabric."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from anatomaly.errors import TrainingError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = {"bf16": "bf16-mixed", "fp32": "32-true"}

LONGEST_WAIT = timedelta(days=2)
"""What the other processes give the first one to prepare a cohort."""


@lru_cache(maxsize=4)
def open_fabric(
    device: str, precision: str, devices: int = 1, nodes: int = 1, processes: int = 1
) -> Fabric:
    """Start the processes of a training, one a device; the same call gives the same engine.

    With several devices this process starts the others, which run the whole command again up to
    here; under torchrun or SLURM they are there already. On the CPU a device is a process (gloo).

    Args:
        device: torch device: cpu, cuda, cuda:1, mps.
        precision: `bf16` or `fp32`.
        devices: on each node.
        nodes: machines; all see the folder of the run.
        processes: that share each device; with several, gradients go through gloo, because NCCL
            takes one process a card.

    Raises:
        TrainingError: Lightning is not installed, or the device is not there.
    """
    try:
        from lightning.fabric import Fabric
        from lightning.fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise TrainingError(
            "training needs Lightning Fabric, which is not installed: "
            "pip install 'anatomaly[train]'"
        ) from error
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    try:
        kind, index = torch.device(device).type, torch.device(device).index
    except RuntimeError as error:
        raise TrainingError(f"device {device}: {error}") from error
    if processes > 1 and kind not in ("cpu", "cuda"):
        raise TrainingError(f"device {device} cannot be shared by {processes} processes")
    if index is not None and devices * nodes > 1:
        raise TrainingError(f"device {device} is one device, but {devices * nodes} are asked for")
    if precision not in PRECISIONS:
        raise TrainingError(f"precision must be one of {sorted(PRECISIONS)}, got {precision}")
    strategy: Any = DDPStrategy(timeout=LONGEST_WAIT) if devices * nodes > 1 else "auto"
    if processes > 1:
        strategy = DDPStrategy(
            timeout=LONGEST_WAIT,
            parallel_devices=share_devices(kind, index, devices, processes),
            process_group_backend="gloo",
        )
    try:
        fabric = Fabric(
            accelerator=kind,
            devices=devices if index is None else [index],
            num_nodes=nodes,
            strategy=strategy,
            precision=PRECISIONS[precision],  # type: ignore[arg-type]
        )
        fabric.launch()
        if kind == "cuda":
            _tune_cuda(precision)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"device {device} ({devices} on {nodes} nodes): {error}") from error
    return fabric


def _tune_cuda(precision: str) -> None:
    torch.backends.cudnn.benchmark = True  # a stage has few shapes, each used thousandfold
    torch.backends.cudnn.benchmark_limit = 4  # ten, the default, take 10 s a stage
    if precision == "bf16":
        torch.set_float32_matmul_precision("high")  # what autocast leaves in float32


def share_devices(kind: str, index: int | None, devices: int, processes: int) -> list[torch.device]:
    """Return the device of each process of a node.

    >>> [str(device) for device in share_devices("cuda", None, 2, 2)]
    ['cuda:0', 'cuda:0', 'cuda:1', 'cuda:1']
    >>> [str(device) for device in share_devices("cpu", None, 1, 2)]
    ['cpu', 'cpu']
    """
    numbers = range(devices) if index is None else [index]
    each = [torch.device(kind) if kind == "cpu" else torch.device(kind, n) for n in numbers]
    return [device for device in each for _ in range(processes)]
