"""Validation: whole brains of held-out people with held-out lesion shapes, drawn once per seed.

Every choice (score, filter, threshold, checkpoint) is made here, never on the test cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.cohort import Subject
from anatomaly.training.held_out import single_thread
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import LesionShape
from anatomaly.types import BoolArray, MrSequence
from anatomaly.volume import PreparedImage
from anatomaly.whole_file import whole_file

VALIDATION_SEED = 990_101
LESION_SHARE = 0.3
"""Voxels with at least this share of lesion count as lesion."""
SMALLEST_LESION = 50
"""Voxels (.05 mL): where fewer count, no lesion was drawn."""


@dataclass(frozen=True)
class ValidationScan:
    """One prepared image with its truth.

    Attributes:
        prepared: (160, 192, 160).
        lesion: bool, same grid; empty for a healthy scan.
        kind: of the lesion, a word of `VALIDATION_KINDS`; empty for a healthy scan.
    """

    prepared: PreparedImage
    lesion: BoolArray
    kind: str = ""


VALIDATION_KINDS = (
    "stroke", "ms", "tumour", "haemorrhage", "spots", "periventricular", "hole",
)  # fmt: skip
"""Kinds of lesion, in turn: validation is balanced over them."""
HEALTHY: tuple[str, ...] = ()
"""In their place: scans without a lesion."""


def draw_validation(
    subjects: list[Subject],
    shapes: list[LesionShape],
    sequence: MrSequence,
    count: int,
    *,
    seed: int = VALIDATION_SEED,
    kinds: tuple[str, ...] = VALIDATION_KINDS,
) -> Iterator[ValidationScan]:
    """Draw whole brains, one after the other, each of a random person.

    Healthy ones keep the person's own anatomy and texture: bent brains look less healthy than
    people are, and a threshold from them is too strict.

    Args:
        subjects: for validation, held out from training.
        shapes: for validation, held out from training.
        sequence: of all scans.
        count: how many.
        seed: of the draws.
        kinds: of lesion, in turn, as of `synthesis.lesions.draw_lesion`; `HEALTHY` for none.
    """
    healthy = not kinds
    shares = tuple(float(name == sequence) for name in CONTRASTS)
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=seed + CONTRASTS.index(sequence),
        sequence_shares=(shares[0], shares[1], shares[2], shares[3]),
        lesions=not healthy,
        deform=not healthy,
        real_share=1.0 if healthy else GeneratorConfig.real_share,
        kinds=kinds,
    )
    drawn = 0
    pairs = DataLoader(
        PairGenerator(subjects, shapes, config),
        batch_size=None,
        num_workers=1,
        prefetch_factor=1,
        worker_init_fn=single_thread,
    )
    for index, pair in enumerate(pairs):
        lesion = pair["lesion"][0].numpy() >= LESION_SHARE
        if not healthy and lesion.sum() < SMALLEST_LESION:
            continue
        drawn += 1
        brain_mask = pair["brain"][0].numpy() > 0
        kind = "" if healthy else kinds[index % len(kinds)]
        image = PreparedImage(pair["image"][0, 0].numpy(), brain_mask, sequence)
        yield ValidationScan(image, lesion, kind)
        if drawn == count:
            return


def cached_validation(
    folder: Path, draw: Iterator[ValidationScan], sequence: MrSequence, count: int, kind: str
) -> Iterator[ValidationScan]:
    """Yield drawn scans, from disk where they were drawn before.

    Args:
        folder: of the cache.
        draw: of `draw_validation`; consumed only if a scan is missing.
        sequence: of all scans.
        count: how many.
        kind: names the files, for example healthy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{sequence}_{kind}_{n:02d}.npz" for n in range(count)]
    if not all(path.is_file() for path in paths):
        for path, scan in zip(paths, draw, strict=True):
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(
                    stream,
                    image=scan.prepared.image.astype(np.float16),
                    brain_mask=scan.prepared.brain_mask,
                    lesion=scan.lesion,
                    kind=scan.kind,
                )
    for path in paths:
        with np.load(path) as file:
            image = file["image"].astype(np.float32)
            prepared = PreparedImage(image, file["brain_mask"], sequence)
            yield ValidationScan(prepared, file["lesion"], str(file["kind"]))
