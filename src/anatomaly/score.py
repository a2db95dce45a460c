"""How a prepared image is rebuilt and scored: one path for detection, calibration, benchmarks.

`score_prepared` is all of it; the functions below it are its steps, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.anomaly.hybrid_score import signed_residual, structural_difference
from anatomaly.anomaly.score import anomaly_map, raw_score
from anatomaly.gaussian import gaussian_blur
from anatomaly.geometry import mirror
from anatomaly.method import LESION_SIGN, REFINED, Method
from anatomaly.model.anatomy_edges import edge_mask
from anatomaly.model.intensity_agreement import fit_intensities
from anatomaly.model.lesion_scorer import brain_of, stack_evidence
from anatomaly.model.one_hot import largest_channel
from anatomaly.model.pseudo_healthy import PatientAnatomy, PseudoHealthyModel
from anatomaly.networks import Networks, as_tensor, running
from anatomaly.types import SEQUENCES, BoolArray, FloatArray, MrSequence, Reuse, Route, SingleRoute
from anatomaly.volume import PreparedImage
from anatomaly.weights import healthy_residual_of

Stage = Callable[[str], AbstractContextManager[None]]
"""Given a stage's name, a context that times it."""


class RebuiltScan(NamedTuple):
    """What the score needs of a rebuilt scan.

    Attributes:
        image: (1, 1, 160, 192, 160) in [0, 1], on the device.
        pseudo_healthy: the same.
        tissue_map: (160, 192, 160) uint8, 0 background, 1 CSF, 2 grey matter, 3 white matter.
        edges: (160, 192, 160) bool.
        expected: pseudo-healthy image of each route by itself, in the order of `Method.routes`.
    """

    image: Tensor
    pseudo_healthy: Tensor
    tissue_map: NDArray[np.uint8]
    edges: BoolArray
    expected: tuple[Tensor, ...]


class ScoredScan(NamedTuple):
    """A rebuilt scan and its anomaly map, (160, 192, 160) float32 in [0, 1], 0 outside."""

    rebuilt: RebuiltScan
    anomaly_map: FloatArray


def score_prepared(
    networks: Networks,
    prepared: PreparedImage,
    method: Method,
    stage: Stage = lambda name: nullcontext(),
) -> ScoredScan:
    """Rebuild a prepared image as if it were healthy, and score how it differs.

    Args:
        networks: loaded for this method.
        prepared: on the working grid.
        method: how.
        stage: times the stages `rebuild` and `score`.

    Raises:
        ConfigError, WeightsError: see `Networks.check`.
    """
    return next(score_methods(networks, prepared, [method], stage))


def score_methods(
    networks: Networks,
    prepared: PreparedImage,
    methods: Sequence[Method],
    stage: Stage = lambda name: nullcontext(),
) -> Iterator[ScoredScan]:
    """Score by one method after the other; what they share is computed once."""
    for method in methods:
        networks.check(method)
    with stage("rebuild"):
        rebuilt = _rebuild_prepared(networks, prepared, methods)
    logit: LesionLogit | None = None
    for method in methods:
        scan = rebuilt[method.route, method.reuse]
        with stage("score"):
            if method.score != "refined":
                raw = raw_score(scan.image, scan.pseudo_healthy, prepared.sequence, method)
            else:
                logit = logit or lesion_logit(networks, scan, prepared.sequence)
                raw = logit.probability(method.gap_weight)
            healthy = None
            if method.score == "normalised":
                sign = method.sign_in(prepared.sequence)
                healthy = healthy_residual_of(networks.healthy_residual, prepared.sequence, sign)
            anomaly = anomaly_map(raw, prepared.brain_mask, method, healthy)
        yield ScoredScan(scan, anomaly)


def _rebuild_prepared(
    networks: Networks, prepared: PreparedImage, methods: Sequence[Method]
) -> dict[tuple[Route, Reuse], RebuiltScan]:
    """Rebuild a prepared image where the networks lie, see `rebuild`."""
    image = as_tensor(prepared.image, networks.device)
    mask = as_tensor(prepared.brain_mask, networks.device)
    return rebuild(networks.model, image, mask, methods)


@torch.inference_mode()
def rebuild(
    model: PseudoHealthyModel, image: Tensor, mask: Tensor, methods: Sequence[Method]
) -> dict[tuple[Route, Reuse], RebuiltScan]:
    """Rebuild one image for every route and reuse that the methods name.

    The modality extractor and the combiner run only where a method asks for the learned contrast;
    the default fits the contrast to the scan.

    Args:
        model: in evaluation mode, on the device of image and mask.
        image: (1, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
        mask: the same shape, 1 inside the brain.
        methods: of which route and reuse are read.
    """
    wanted = {(m.route, m.reuse): m.routes for m in methods}
    routes = sorted({route for each in wanted.values() for route in each})
    learned = dict[SingleRoute, Tensor]()
    anatomy = extract_anatomy(model, image)
    codes = {route: restore_code(model, anatomy, route) for route in routes}
    if any(reuse != "fitted" for _, reuse in wanted):
        modality_code = extract_modality(model, image, anatomy)
        learned = {r: decode_image(model, c, modality_code, mask) for r, c in codes.items()}
    tissue_map, edges = _describe_anatomy(anatomy, mask)
    scans = {}
    for (route, reuse), single in wanted.items():
        expected = tuple(
            put_contrast_back(image, codes[r], learned.get(r), mask, reuse) for r in single
        )
        pseudo_healthy = join_routes(image, expected)
        scans[route, reuse] = RebuiltScan(image, pseudo_healthy, tissue_map, edges, expected)
    return scans


def extract_anatomy(model: PseudoHealthyModel, image: Tensor) -> PatientAnatomy:
    """See the tissue map of an image (1, 1, I, J, K) in [0, 1], and its edges."""
    with running(image.device):
        return model.extract(image)


def restore_code(model: PseudoHealthyModel, anatomy: PatientAnatomy, route: SingleRoute) -> Tensor:
    """Return the code of the healthy anatomy, (1, 8, I, J, K)."""
    with running(anatomy.tissue_map.device):
        return model.restore(anatomy, route)


def extract_modality(model: PseudoHealthyModel, image: Tensor, anatomy: PatientAnatomy) -> Tensor:
    """Return the code of the scan's contrast, (1, 16)."""
    with running(image.device):
        code: Tensor = model.modality_extractor(image, anatomy.tissue_map)
        return code


def decode_image(
    model: PseudoHealthyModel, anatomical_code: Tensor, modality_code: Tensor, mask: Tensor
) -> Tensor:
    """Return the image of an anatomy in a contrast, (1, 1, I, J, K) in [0, 1], 0 outside."""
    with running(mask.device):
        return model.combine(anatomical_code, modality_code, mask)


def _describe_anatomy(anatomy: PatientAnatomy, mask: Tensor) -> tuple[NDArray[np.uint8], BoolArray]:
    """Return tissue map and edges as `RebuiltScan` holds them."""
    tissue = largest_channel(anatomy.tissue_map)[0] * (mask[0, 0] > 0)
    edges: BoolArray = (edge_mask(anatomy.edges)[0, 0] > 0).cpu().numpy()
    return tissue.cpu().numpy(), edges


@torch.inference_mode()
def put_contrast_back(
    image: Tensor, anatomical_code: Tensor, learned: Tensor | None, mask: Tensor, reuse: Reuse
) -> Tensor:
    """Give the restored anatomy the contrast of the scan.

    Args:
        image: (1, 1, I, J, K) in [0, 1].
        anatomical_code: (1, 8, I, J, K) of the healthy anatomy.
        learned: what the combiner made of it, as the image; not read if `reuse` is `fitted`.
        mask: (1, 1, I, J, K), 1 inside the brain.
        reuse: see `Method`.

    Returns:
        The pseudo-healthy image, (1, 1, I, J, K) in [0, 1].

    Raises:
        ValueError: `learned` is missing where it is read.
    """
    if reuse == "fitted":
        return fit_intensities(image, torch.zeros_like(image), anatomical_code, mask)
    if learned is None:
        raise ValueError(f"the contrast {reuse} needs the image of the combiner")
    if reuse == "learned":
        return learned
    return fit_intensities(image, learned, anatomical_code, mask)


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

    def total(self, gap_weight: float = REFINED.gap_weight) -> Tensor:
        """Network + gap_weight · residual, before calibration."""
        return self.network + gap_weight * self.residual

    def probability(self, gap_weight: float = REFINED.gap_weight) -> Tensor:
        """σ(a · total + b) with the calibration (a, b), in [0, 1], 0 outside the brain."""
        steepness, offset = self.calibration
        return torch.sigmoid(steepness * self.total(gap_weight) + offset) * self.brain


def prepared_logit(networks: Networks, prepared: PreparedImage) -> LesionLogit:
    """Rebuild a prepared image as the refined score does, and return what it adds up."""
    (rebuilt,) = _rebuild_prepared(networks, prepared, [REFINED]).values()
    return lesion_logit(networks, rebuilt, prepared.sequence)


@torch.inference_mode()
def lesion_logit(networks: Networks, rebuilt: RebuiltScan, sequence: MrSequence) -> LesionLogit:
    """Score a rebuilt scan by the network of the refined score.

    Args:
        networks: with the scorer; their card brings the calibration.
        rebuilt: of `rebuild` with `REFINED`'s route and reuse.
        sequence: of the scan.

    Raises:
        WeightsError: the scorer is not loaded.
    """
    networks.check(REFINED)
    assert networks.scorer is not None
    image, (from_edges, from_tissue) = rebuilt.image, rebuilt.expected
    tissue = torch.from_numpy(rebuilt.tissue_map)[None].to(image.device)
    known = torch.tensor([SEQUENCES.index(sequence)], device=image.device)
    evidence = scorer_evidence(image, mirror(image), from_edges, from_tissue, tissue)
    with running(image.device):
        logits = networks.scorer(evidence, networks.model.context(), known)
    gap = signed_residual(image, rebuilt.pseudo_healthy, LESION_SIGN[sequence])
    residual = gaussian_blur(gap, [1.0] * 3, [4] * 3)
    calibration = networks.card.probability_of(sequence)
    return LesionLogit(logits, residual, brain_of(evidence), calibration)


def scorer_evidence(
    image: Tensor, mirrored: Tensor, from_edges: Tensor, from_tissue: Tensor, tissue: Tensor
) -> Tensor:
    """Return what the scorer reads, (B, 9, I, J, K); arguments as of `stack_evidence`."""
    structure = structural_difference(image, from_edges, data_range=1.0)
    return stack_evidence(image, mirrored, from_edges, from_tissue, structure, tissue)
