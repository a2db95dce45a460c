"""Evidence for the scorer: whole synthetic brains, rebuilt once by the trained networks and kept.

Rebuilding a brain takes seconds, a training step of the scorer a fraction of one, so brains are
rebuilt first and patches are cut from them again and again. A brain is one `.npy` of five uint8
volumes on the template grid: image, expectation from edges, expectation from the tissue map (255
is 1), tissue (0 to 3) and share of lesion (255 is 1); its name ends with the sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anatomaly.geometry import TEMPLATE_SHAPE, mirrored_index
from anatomaly.method import REFINED
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.score import rebuild
from anatomaly.training.held_out import single_thread
from anatomaly.training.synthesis.generator import PairGenerator
from anatomaly.training.synthesis.random_draws import chance, integer, normal, uniform
from anatomaly.types import SEQUENCES, MrSequence
from anatomaly.whole_file import whole_file

CHANNELS = 5


class EvidencePatch(TypedDict):
    """One sample of the scorer; P is the patch size.

    Attributes:
        image: (1, P, P, P) in [0, 1], 0 outside the brain; so are the next three.
        mirrored: (1, P, P, P), the other hemisphere, mirrored.
        from_edges: (1, P, P, P).
        from_tissue: (1, P, P, P).
        tissue: (P, P, P) int64, 0 to 3.
        lesion: (1, P, P, P) in [0, 1].
        start: (3,) first template voxel.
        sequence: () int64, index into `types.SEQUENCES`.
    """

    image: Tensor
    mirrored: Tensor
    from_edges: Tensor
    from_tissue: Tensor
    tissue: Tensor
    lesion: Tensor
    start: Tensor
    sequence: Tensor


def gather_evidence(model: PseudoHealthyModel, image: Tensor, brain: Tensor) -> NDArray[np.uint8]:
    """Rebuild one prepared image by both routes, contrast fitted.

    Args:
        model: in evaluation mode.
        image: (1, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
        brain: the same shape, 1 inside the brain.

    Returns:
        (4, 160, 192, 160): image, from edges, from the tissue map, tissue.
    """
    (rebuilt,) = rebuild(model, image, brain, [REFINED]).values()
    grey = torch.cat([image, *rebuilt.expected], dim=1)[0]
    volumes = (255 * grey).round().to(torch.uint8).cpu().numpy()
    return np.concatenate([volumes, rebuilt.tissue_map[None]])


def draw_brains(
    model: PseudoHealthyModel, pairs: PairGenerator, index: int
) -> list[tuple[NDArray[np.uint8], MrSequence]]:
    """Draw a pair of whole brains and rebuild both, on the device of model and pairs.

    Returns:
        Evidence (5, 160, 192, 160) and sequence of each member.
    """
    pair, device = pairs[index], next(model.parameters()).device
    brain = pair["brain"][None].to(device)
    lesion = (255 * pair["lesion"]).round().to(torch.uint8).cpu().numpy()
    out = []
    for member, image in enumerate(pair["image"]):
        evidence = gather_evidence(model, image[None].to(device), brain)
        sequence = SEQUENCES[int(pair["sequence"][member])]  # the first of CONTRASTS
        out.append((np.concatenate([evidence, lesion]), sequence))
    return out


class EvidenceDraws(Dataset[str]):
    """Draws pair after pair, rebuilds both members, and writes what is not there yet."""

    def __init__(
        self, model: PseudoHealthyModel, pairs: PairGenerator, folder: Path, count: int
    ) -> None:
        self.model, self.pairs, self.folder, self.count = model, pairs, folder, count

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.count

    def __getitem__(self, index: int) -> str:
        """Draw pair number `index`; returns a line for the log."""
        if len(list(self.folder.glob(f"{index:05d}?_*.npy"))) == 2:
            return f"{index}: cached"
        for member, (volumes, sequence) in enumerate(draw_brains(self.model, self.pairs, index)):
            path = self.folder / f"{index:05d}{'ab'[member]}_{sequence}.npy"
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, volumes)
        return f"{index}: drawn"


def draw_evidence(
    draws: EvidenceDraws, workers: int, say: Callable[[str], None] = lambda _: None
) -> None:
    """Draw and rebuild every pair; goes on where a killed run stopped.

    Each of the `workers` is a process, holds a copy of the networks and takes about 3 GB.
    """
    draws.folder.mkdir(parents=True, exist_ok=True)
    loader = DataLoader(
        draws,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=1 if workers else None,
        worker_init_fn=single_thread,
    )
    for line in loader:
        if not line.endswith("cached"):
            say(line)


class EvidencePatches(Dataset[EvidencePatch]):
    """Cuts patches: half of them around a voxel of a lesion; index i always gives the same.

    Patches are mirrored left to right in half of the cases; grey values are bent by one power
    (.8 to 1.25) for scan and expectations alike, and noise of up to .02 is added to the scan.
    """

    def __init__(self, paths: list[Path], patch: tuple[int, int, int], seed: int) -> None:
        self.paths, self.patch, self.seed = paths, patch, seed

    def __len__(self) -> int:
        """Return a nominal number of samples."""
        return 10**9

    def draws(self, index: int) -> torch.Generator:
        """Return what a patch draws from."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + index)

    def __getitem__(self, index: int) -> EvidencePatch:
        """Cut patch number `index`."""
        rng = self.draws(index)
        path = self.paths[integer(rng, len(self.paths))]
        sequence: MrSequence = path.stem.rsplit("_", 1)[1]  # type: ignore[assignment]
        return self._sample(rng, np.load(path, mmap_mode="r"), sequence)

    def _sample(
        self, rng: torch.Generator, volumes: NDArray[np.uint8], sequence: MrSequence
    ) -> EvidencePatch:
        """Cut a patch of one brain."""
        start = self._draw_start(rng, volumes)
        first, *others = (slice(a, a + n) for a, n in zip(start, self.patch, strict=True))
        cut = torch.from_numpy(np.ascontiguousarray(volumes[(slice(None), first, *others)]))
        across = mirrored_index(np.arange(first.start, first.stop))  # as `geometry.mirror` does
        mirrored = torch.from_numpy(volumes[0][across, others[0], others[1]][None])
        if chance(rng, 0.5):
            cut, mirrored = cut.flip(1), mirrored.flip(1)
            start[0] = TEMPLATE_SHAPE[0] - start[0] - self.patch[0]  # 1 mm off, but even
        grey, tissue, lesion = cut[:3].float() / 255, cut[3].long(), cut[4:].float() / 255
        grey = torch.cat([grey, mirrored.float() / 255]) ** uniform(rng, 0.8, 1.25)
        noise = uniform(rng, 0, 0.02) * normal(rng, self.patch)
        image = (grey[:1] + noise * (grey[:1] > 0)).clamp(0, 1)
        return EvidencePatch(
            image=image,
            mirrored=grey[3:],
            from_edges=grey[1:2],
            from_tissue=grey[2:3],
            tissue=tissue,
            lesion=lesion,
            start=torch.tensor(start),
            sequence=torch.tensor(SEQUENCES.index(sequence)),
        )

    def _draw_start(self, rng: torch.Generator, volumes: NDArray[np.uint8]) -> list[int]:
        """First voxel, even numbers: around a voxel of a lesion, or one of the brain."""
        step = 4
        tissue, lesion = volumes[3:, ::step, ::step, ::step]
        places = np.argwhere(lesion > 127 if chance(rng, 0.5) else tissue > 0)
        if not len(places):
            places = np.argwhere(tissue > 0)
        centre = step * places[integer(rng, len(places))]
        shift = [integer(rng, n // 2) - n // 4 for n in self.patch]
        first = [int(c) + s - n // 2 for c, s, n in zip(centre, shift, self.patch, strict=True)]
        return [
            2 * (min(max(f, 0), whole - n) // 2)
            for f, n, whole in zip(first, self.patch, TEMPLATE_SHAPE, strict=True)
        ]
