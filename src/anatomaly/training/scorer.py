"""`anatomaly train scorer`: evidence drawn once, then the network of the refined score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.lesion_scorer import LesionScorer, brain_of
from anatomaly.model.template_context import TemplateContext
from anatomaly.score import scorer_evidence
from anatomaly.training.cohort import load_cohort
from anatomaly.training.evidence import EvidenceDraws, EvidencePatch, EvidencePatches, draw_evidence
from anatomaly.training.loop import LoopConfig, Progress, train_stage
from anatomaly.training.losses import lesion_loss
from anatomaly.training.run import Say, ignore
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.synthetic import LABEL_MAP_REPEATS
from anatomaly.weights import SCORER_FILE, find_weights, load_model, load_scorer, write_tensors
from anatomaly.weights_card import read_card, update_card

EVIDENCE_SEED = 11
PATCH_SEED = 12
SCORER_RATE = 2e-3
"""Peak learning rate."""


@dataclass(frozen=True)
class ScorerConfig:
    """What `train scorer` is told.

    Attributes:
        weights: folder, which receives the scorer and whose card is updated.
        run: folder of a training, for its cached people; evidence and checkpoint go there.
        lesions: folder with lesion shapes in `stroke/` and `ms/`.
        pairs: pairs of brains to draw.
        seed: another one draws further brains beside those of the run.
        patch: side lengths of a sample.
        loop: length and speed.
    """

    weights: Path
    run: Path
    lesions: Path
    pairs: int = 150
    seed: int = 0
    patch: tuple[int, int, int] = (64, 64, 64)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=6000, learning_rate=SCORER_RATE)
    )


class ScorerStage(nn.Module):
    """The scorer alone, on evidence.

    Args:
        scorer: what is trained.
        context: of the weights that the evidence was rebuilt with.
    """

    def __init__(self, scorer: LesionScorer, context: TemplateContext) -> None:
        super().__init__()
        self.trained = scorer
        self.context = context

    def step(self, batch: EvidencePatch, step: int = 0) -> dict[str, Tensor]:
        """Loss of one batch; `step` is not used."""
        del step
        image = batch["image"]
        grid = (image.shape[2], image.shape[3], image.shape[4])
        evidence = scorer_evidence(
            image, batch["mirrored"], batch["from_edges"], batch["from_tissue"], batch["tissue"]
        )
        context = self.context(batch["start"], grid)
        logits = self.trained(evidence, context, batch["sequence"])
        return lesion_loss(logits, batch["lesion"], brain_of(evidence).float())


def train_scorer(
    config: ScorerConfig, say: Say = ignore, report: Callable[[Progress], None] = ignore
) -> None:
    """Draw evidence, train the scorer on it, and write it beside the weights.

    Raises:
        TrainingError: the run has no cached people, its checkpoint cannot be used, or the patch
            does not fit the network.
        WeightsError: the weights cannot be used.
    """
    multiple = LesionScorer().unet.multiple
    if any(n % multiple for n in config.patch):
        raise TrainingError(f"patch {config.patch}: sides must be multiples of {multiple}")
    torch.set_num_threads(config.loop.threads)
    folder = config.weights.resolve()
    model, card = load_model(str(folder))
    evidence = config.run / f"evidence-{card.sha256[:8]}-{config.seed}"
    pairs = brain_pairs(config.run / "cache", config.lesions, config.seed)
    draw_evidence(EvidenceDraws(model, pairs, evidence, config.pairs), config.loop.workers, say)
    paths = sorted(config.run.glob(f"evidence-{card.sha256[:8]}-*/[0-9]*.npy"))
    patches = EvidencePatches(paths, config.patch, PATCH_SEED + 1000 * config.seed)
    scorer = starting_scorer(str(folder))
    stage = ScorerStage(scorer, model.context)
    train_stage(stage, patches, config.run / "scorer", config.loop, report)
    write_scorer(folder, scorer, {"scorer": config.loop.steps})


def starting_scorer(weights: str | None) -> LesionScorer:
    """Return the scorer of weights, or an untrained one if they have none, in training mode."""
    card = read_card(find_weights(weights)) if weights else None
    if weights and card and card.scorer_sha256:
        return load_scorer(card, weights).train()
    return LesionScorer()


def brain_pairs(
    cache: Path, lesions: Path, seed: int, device: torch.device | str = "cpu"
) -> PairGenerator:
    """Whole brains of all cached training people; label maps are drawn more often than scans.

    Raises:
        TrainingError: no people are cached.
    """
    people = []
    for name, repeats in (("labels", LABEL_MAP_REPEATS), ("train", 1)):
        if (cache / name).is_dir():
            people += repeats * load_cohort(cache / name)
    if not people:
        raise TrainingError(f"{cache}: no prepared people; --run names the folder of a training")
    settings = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=EVIDENCE_SEED + 1000 * seed,
        sequence_shares=(1 / 3, 1 / 3, 1 / 3, 0.0),
        most_lesions=3,
    )
    return PairGenerator(people, load_shapes(lesions, cache), settings, device=device)


def write_scorer(folder: Path, scorer: LesionScorer, steps: Mapping[str, int]) -> None:
    """Write the scorer and the steps of its stages in this run; a file is whole at any time."""
    digest = write_tensors(folder / SCORER_FILE, scorer.state_dict())
    update_card(folder, {"scorer_sha256": digest, "steps": read_card(folder).steps | dict(steps)})
