"""Fresh evidence in a ring of slots: some processes write brains while others read patches.

All processes map the same files. A brain takes the slot of the oldest. Each slot has a version,
odd while it is written; a reader looks at the version before and after it copies, and takes
another brain if they differ, so nothing half-written is used.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.evidence import CHANNELS, EvidencePatch, EvidencePatches
from anatomaly.training.synthesis.random_draws import integer
from anatomaly.types import SEQUENCES, MrSequence

VOLUMES_FILE, STATE_FILE = "volumes.npy", "state.npy"
VERSION, BRAIN, SEQUENCE = range(3)
"""Columns of the state of a slot; version 0 is an empty slot."""


class Slot(NamedTuple):
    """A slot that was ready when it was looked at."""

    number: int
    version: int
    sequence: MrSequence


class EvidenceRing:
    """The newest brains, (slots, 5, I, J, K) uint8, as of `evidence`.

    Args:
        folder: of the two files; `create` makes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volumes: NDArray[np.uint8] = np.load(folder / VOLUMES_FILE, mmap_mode="r+")
        self.state: NDArray[np.int64] = np.load(folder / STATE_FILE, mmap_mode="r+")

    def __reduce__(self) -> tuple[Any, ...]:
        """Map the files again in another process, instead of copying them there."""
        return EvidenceRing, (self.folder,)

    @classmethod
    def create(cls, folder: Path, slots: int) -> EvidenceRing:
        """Make an empty ring, or open one of as many slots that is there already.

        Raises:
            TrainingError: the ring that is there has another number of slots.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / STATE_FILE).is_file():
            for name, dtype, shape in (
                (VOLUMES_FILE, np.uint8, (slots, CHANNELS, *TEMPLATE_SHAPE)),
                (STATE_FILE, np.int64, (slots, 3)),  # last: with it the ring is whole
            ):
                np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
        ring = cls(folder)
        if len(ring.state) != slots:
            raise TrainingError(
                f"{folder} holds {len(ring.state)} brains, not {slots}: keep --brains, or remove it"
            )
        ring.state[ring.state[:, VERSION] % 2 == 1, VERSION] = 0  # a kill left them half-written
        return ring

    def put(self, brain: int, volumes: NDArray[np.uint8], sequence: MrSequence) -> None:
        """Write a brain over the oldest.

        Args:
            brain: its number; those of one slot must come from one process.
            volumes: (5, I, J, K).
            sequence: of its image.
        """
        state = self.state[brain % len(self.state)]
        version = int(state[VERSION])
        state[VERSION] = version + 1
        self.volumes[brain % len(self.state)] = volumes
        state[BRAIN], state[SEQUENCE] = brain, SEQUENCES.index(sequence)
        state[VERSION] = version + 2

    def ready(self) -> list[Slot]:
        """Return the slots that hold a whole brain."""
        state = self.state.copy()
        return [
            Slot(number, int(row[VERSION]), SEQUENCES[row[SEQUENCE]])
            for number, row in enumerate(state)
            if row[VERSION] > 0 and row[VERSION] % 2 == 0
        ]

    def unchanged(self, slot: Slot) -> bool:
        """Whether nobody wrote to a slot since it was looked at."""
        return int(self.state[slot.number, VERSION]) == slot.version

    def next_brain(self) -> int:
        """Return the number after that of the newest brain."""
        whole = self.state[self.state[:, VERSION] > 0, BRAIN]
        return int(whole.max()) + 1 if len(whole) else 0


class RingPatches(EvidencePatches):
    """Cuts patches as `EvidencePatches` does, from whatever brains are in a ring at the time.

    Patch i of a seed takes the same draws always, but of other brains on a faster machine.
    """

    def __init__(self, ring: EvidenceRing, patch: tuple[int, int, int], seed: int) -> None:
        super().__init__([], patch, seed)
        self.ring = ring

    def __getitem__(self, index: int) -> EvidencePatch:
        """Cut patch number `index`.

        Raises:
            TrainingError: the ring is empty.
        """
        rng = self.draws(index)
        while True:
            slots = self.ring.ready()
            if not slots:
                raise TrainingError(f"{self.ring.folder}: no evidence yet")
            slot = slots[integer(rng, len(slots))]
            sample = self._sample(rng, self.ring.volumes[slot.number], slot.sequence)
            if self.ring.unchanged(slot):
                return sample
            time.sleep(0)  # let the writer finish
