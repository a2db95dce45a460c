"""Processes that draw fresh evidence into a ring while others train on it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from anatomaly.errors import TrainingError
from anatomaly.networks import keep_freed_memory
from anatomaly.training.evidence import draw_brains
from anatomaly.training.evidence_ring import EvidenceRing
from anatomaly.training.scorer import brain_pairs
from anatomaly.training.synthetic import drawing_device
from anatomaly.weights import load_model

SECONDS_TO_LEAVE = 30.0
"""A producer looks whether it should stop after each pair; then it is ended."""


@dataclass(frozen=True)
class Production:
    """What one of several producers is told; small, because it goes to another process.

    Attributes:
        weights: folder of the networks that rebuild.
        cache: of the run, for its people and shapes.
        lesions: folder with lesion shapes.
        ring: folder of the ring.
        seed: as in `scorer.brain_pairs`.
        device: torch device.
        first: number of the first pair of all producers.
        number: of this producer, from 0.
        of: how many there are; producer n draws every `of`-th pair.
    """

    weights: Path
    cache: Path
    lesions: Path
    ring: Path
    seed: int
    device: str
    first: int = 0
    number: int = 0
    of: int = 1


def produce(production: Production, stopped: Callable[[], bool]) -> int:
    """Draw pair after pair until told to stop; returns how many."""
    model, _ = load_model(str(production.weights))
    model.to(production.device)
    drawn_on = drawing_device(production.device)
    pairs = brain_pairs(production.cache, production.lesions, production.seed, drawn_on)
    ring, drawn = EvidenceRing(production.ring), 0
    while not stopped():
        index = production.first + production.number + production.of * drawn
        for member, (volumes, sequence) in enumerate(draw_brains(model, pairs, index)):
            ring.put(2 * index + member, volumes, sequence)
        drawn += 1
    return drawn


def _work(production: Production, stop: Any) -> None:
    """Be a producer, as long as the process that wants its brains lives."""
    torch.set_num_threads(1)
    keep_freed_memory()
    parent = multiprocessing.parent_process()
    produce(production, lambda: stop.is_set() or parent is None or not parent.is_alive())


class Producers:
    """Running producers."""

    def __init__(self, processes: list[Any]) -> None:
        self.processes = processes

    def wait_for(self, ring: EvidenceRing, brains: int) -> None:
        """Wait until the ring holds so many brains.

        Raises:
            TrainingError: a producer has died.
        """
        while len(ring.ready()) < brains:
            self.check()
            time.sleep(0.05)

    def check(self) -> None:
        """Refuse to go on without producers.

        Raises:
            TrainingError: one has died.
        """
        for process in self.processes:
            if process.exitcode is not None:
                raise TrainingError(
                    f"a process that draws evidence ended with {process.exitcode}; its message "
                    "stands above"
                )


@contextmanager
def running_producers(production: Production, slots: int) -> Iterator[Producers]:
    """Start `production.of` producers and end them when the block is left.

    Args:
        production: of producer 0.
        slots: of the ring: a multiple of two brains for each producer, so that no two of them
            write to one slot.

    Raises:
        TrainingError: the slots cannot be shared.
    """
    if slots < 1 or slots % (2 * production.of):
        raise TrainingError(
            f"{slots} brains at hand: it must be a multiple of {2 * production.of}, two for each "
            "process that draws them"
        )
    # not forked: a process that has used a GPU or threads cannot be
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    processes = [
        context.Process(target=_work, args=(replace(production, number=n), stop), daemon=True)
        for n in range(production.of)
    ]
    for process in processes:
        process.start()
    try:
        yield Producers(processes)
    finally:
        stop.set()
        ends = time.monotonic() + SECONDS_TO_LEAVE
        for process in processes:
            process.join(max(0.0, ends - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join()
