"""How the networks run: device, threads, half precision where the processor has it, no gradient."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.anomaly.hybrid_score import (
    AUTO_POLARITY,
    signed_residual,
    structural_difference,
)
from anatomaly.config import DeviceOption
from anatomaly.errors import ConfigError
from anatomaly.gaussian import gaussian_blur
from anatomaly.geometry import mirror
from anatomaly.model.anatomy_edges import edge_mask
from anatomaly.model.intensity_agreement import fit_intensities
from anatomaly.model.lesion_scorer import LesionScorer, brain_of, stack_evidence
from anatomaly.model.pseudo_healthy import PseudoHealthyModel, Rebuilt
from anatomaly.model.template_context import TemplateContext
from anatomaly.types import SEQUENCES, BoolArray, FloatArray, Reuse, Route, SingleRoute
from anatomaly.types import Sequence as SequenceName

ROUTES_OF: dict[Route, tuple[SingleRoute, ...]] = {
    "edges": ("edges",),
    "tissue_map": ("tissue_map",),
    "both": ("edges", "tissue_map"),
}


REFINED: tuple[Route, Reuse] = ("both", "fitted")
"""Route and reuse that the refined score was trained on."""


GAP_SLOPE = 12.5
"""Weight of the residual, blurred by 1 mm, beside the network's logit; chosen on validation."""


class RebuiltScan(NamedTuple):
    """What the score needs of a rebuilt scan.

    Attributes:
        image: (1, 1, 160, 192, 160) in [0, 1], on the device.
        pseudo_healthy: the same.
        tissue_map: (160, 192, 160) uint8, 0 background, 1 CSF, 2 grey matter, 3 white matter.
        edges: (160, 192, 160) bool.
        expected: pseudo-healthy image of each route by itself, in the order of `ROUTES_OF`.
    """

    image: Tensor
    pseudo_healthy: Tensor
    tissue_map: NDArray[np.uint8]
    edges: BoolArray
    expected: tuple[Tensor, ...]


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


@torch.inference_mode()
def rebuild(
    model: PseudoHealthyModel,
    image: FloatArray,
    brain_mask: BoolArray,
    device: torch.device,
    route: Route = "edges",
    reuse: Reuse = "learned",
) -> RebuiltScan:
    """Run all networks on one prepared image.

    Args:
        model: in evaluation mode, on the device.
        image: (160, 192, 160) in [0, 1], 0 outside the brain.
        brain_mask: (160, 192, 160).
        device: of the model.
        route: `edges` (the method) or `tissue_map` (the ablation), see
            `PseudoHealthyModel.restore`; `both`: see `join_routes`.
        reuse: see `put_contrast_back`.
    """
    x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None].to(device)
    mask = torch.from_numpy(np.ascontiguousarray(brain_mask, dtype=np.float32))[None, None]
    mask = mask.to(device)
    found = run_networks(model, x, mask, ROUTES_OF[route], combine=reuse != "fitted")
    return assemble(x, mask, found, reuse)


@torch.inference_mode()
def assemble(image: Tensor, mask: Tensor, found: Sequence[Rebuilt], reuse: Reuse) -> RebuiltScan:
    """Put the contrast back on what the networks restored, and join the routes.

    Args:
        image: (1, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
        mask: the same shape, 1 inside the brain.
        found: of `run_networks`, one for each route.
        reuse: see `put_contrast_back`.
    """
    expected = tuple(put_contrast_back(image, rebuilt, mask, reuse) for rebuilt in found)
    tissue = found[0].tissue_map[0].argmax(0) * (mask[0, 0] > 0)
    return RebuiltScan(
        image,
        join_routes(image, expected),
        tissue.to(torch.uint8).cpu().numpy(),
        (edge_mask(found[0].edges)[0, 0] > 0).cpu().numpy(),
        expected,
    )


class LesionLogit(NamedTuple):
    """What the refined score adds up, each (1, 1, 160, 192, 160).

    The network alone is best on tumours, the residual alone on small and periventricular lesions;
    their sum is no worse than the better of the two on nearly every drawn scan.

    Attributes:
        network: logit of the network.
        residual: what neither route explains, of the sequence's sign, blurred by 1 mm.
        brain: bool.
        calibration: slope and offset that make the sum the logit of a probability; see
            `training.probability.fit_probability`.
    """

    network: Tensor
    residual: Tensor
    brain: Tensor
    calibration: tuple[float, float] = (1.0, 0.0)

    def total(self, slope: float = GAP_SLOPE) -> Tensor:
        """Network + slope · residual, before calibration."""
        return self.network + slope * self.residual

    def probability(self, slope: float = GAP_SLOPE) -> Tensor:
        """σ(a · total + b) with the calibration (a, b), in [0, 1], 0 outside the brain."""
        steepness, offset = self.calibration
        return torch.sigmoid(steepness * self.total(slope) + offset) * self.brain


@torch.inference_mode()
def lesion_logit(
    scorer: LesionScorer,
    context: TemplateContext,
    rebuilt: RebuiltScan,
    sequence: SequenceName,
    calibration: tuple[float, float] = (1.0, 0.0),
) -> LesionLogit:
    """Score a rebuilt scan.

    Args:
        scorer: in evaluation mode, on the device.
        context: of the weights that rebuilt the scan.
        rebuilt: of `rebuild` with `REFINED`'s route and reuse.
        sequence: of the scan.
        calibration: of `LesionLogit`.
    """
    image, (from_edges, from_tissue) = rebuilt.image, rebuilt.expected
    tissue = torch.from_numpy(rebuilt.tissue_map)[None].to(image.device)
    evidence = scorer_evidence(image, mirror(image), from_edges, from_tissue, tissue)
    known = torch.tensor([SEQUENCES.index(sequence)], device=image.device)
    kind, half = image.device.type, half_precision(image.device)
    with torch.autocast(kind, dtype=half or torch.bfloat16, enabled=half is not None):
        logits = scorer(evidence, context(), known)
    gap = signed_residual(image, rebuilt.pseudo_healthy, AUTO_POLARITY[sequence])
    residual = gaussian_blur(gap, [1.0] * 3, [4] * 3)
    return LesionLogit(logits, residual, brain_of(evidence), calibration)


def scorer_evidence(
    image: Tensor, mirrored: Tensor, from_edges: Tensor, from_tissue: Tensor, tissue: Tensor
) -> Tensor:
    """Return what the scorer reads, (B, 9, I, J, K); arguments as of `stack_evidence`."""
    structure = structural_difference(image, from_edges, data_range=1.0)
    return stack_evidence(image, mirrored, from_edges, from_tissue, structure, tissue)


@torch.inference_mode()
def run_networks(
    model: PseudoHealthyModel,
    image: Tensor,
    mask: Tensor,
    routes: Iterable[SingleRoute],
    combine: bool = True,
) -> list[Rebuilt]:
    """Run the networks in half precision where the device has it.

    Args:
        model: in evaluation mode, on the device of image and mask.
        image: (1, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
        mask: the same shape, 1 inside the brain.
        routes: see `PseudoHealthyModel.restore`; what they share is computed once.
        combine: see there; the contrast `fitted` does not need it.
    """
    kind, half = image.device.type, half_precision(image.device)
    with torch.autocast(kind, dtype=half or torch.bfloat16, enabled=half is not None):
        seen = model.extract(image)
        return [model.restore(seen, mask, route, combine) for route in routes]


def join_routes(image: Tensor, pseudo_healthy: Sequence[Tensor]) -> Tensor:
    """Take the scan's own value where it lies between what the routes expect, else the nearer one.

    An anomaly is then what neither route can explain: a residual of one route alone (a sulcus
    that the tissue map misses by a voxel, cortex that the edges blur) is gone.

    Args:
        image: (1, 1, I, J, K).
        pseudo_healthy: the same shape, of one route or more.
    """
    stack = torch.stack(list(pseudo_healthy))
    return image.clamp(stack.amin(0), stack.amax(0))


@torch.inference_mode()
def put_contrast_back(image: Tensor, rebuilt: Rebuilt, mask: Tensor, reuse: Reuse) -> Tensor:
    """Give the restored anatomy the contrast of the scan.

    Args:
        image: (1, 1, I, J, K) in [0, 1].
        rebuilt: of the networks.
        mask: (1, 1, I, J, K), 1 inside the brain.
        reuse: `learned` by the combiner (the method), `refined` by the combiner and then a robust
            fit to the scan, `fitted` by that fit alone.

    Returns:
        The pseudo-healthy image, (1, 1, I, J, K) in [0, 1].
    """
    learned = rebuilt.pseudo_healthy
    if reuse == "learned":
        return learned
    start = learned if reuse == "refined" else torch.zeros_like(learned)
    return fit_intensities(image, start, rebuilt.anatomical_code, mask)
