"""The ring: the oldest is overwritten, nothing half-written is read, two processes at once."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError
from anatomaly.training import evidence, evidence_ring
from anatomaly.training.evidence_ring import VERSION, EvidenceRing, RingPatches

WHOLE = (32, 48, 16)
PATCH = (16, 16, 16)


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    monkeypatch.setattr(evidence, "TEMPLATE_SHAPE", WHOLE)
    monkeypatch.setattr(evidence_ring, "TEMPLATE_SHAPE", WHOLE)
    monkeypatch.setattr(evidence, "mirrored_index", lambda index: WHOLE[0] - 1 - index)


def brain(number):
    """All five volumes hold one value: a patch of two brains would have two."""
    return np.full((5, *WHOLE), 1 + number % 3, np.uint8)


def test_the_oldest_is_overwritten(tmp_path):
    ring = EvidenceRing.create(tmp_path, 4)
    assert ring.ready() == [] and ring.next_brain() == 0
    for number in range(6):
        ring.put(number, brain(number), "FLAIR" if number == 5 else "T1w")
    assert [slot.sequence for slot in ring.ready()] == ["T1w", "FLAIR", "T1w", "T1w"]
    values = [int(ring.volumes[slot.number].max()) for slot in ring.ready()]
    assert values == [1 + n % 3 for n in (4, 5, 2, 3)]
    assert ring.next_brain() == 6


def test_a_slot_that_is_being_written_is_not_ready_and_what_was_cut_from_it_is_dropped(tmp_path):
    ring = EvidenceRing.create(tmp_path, 2)
    ring.put(0, brain(0), "T1w")
    ring.put(1, brain(1), "T1w")
    (first, second) = ring.ready()
    assert ring.unchanged(first)
    ring.state[0, VERSION] += 1
    assert not ring.unchanged(first) and ring.ready() == [second]
    # a new writer begins by forgetting what a kill left half-written
    assert [slot.number for slot in EvidenceRing.create(tmp_path, 2).ready()] == [1]


def test_patches_are_cut_again_if_the_brain_changed_meanwhile(tmp_path, monkeypatch):
    ring = EvidenceRing.create(tmp_path, 1)
    ring.put(0, brain(0), "T1w")
    patches = RingPatches(ring, PATCH, seed=3)
    sample, seen = RingPatches._sample, []

    def interrupted(self, rng, volumes, sequence):
        found = sample(self, rng, volumes, sequence)
        seen.append(int(found["tissue"].max()))
        if len(seen) == 1:
            ring.put(1, brain(1), "T2w")
        return found

    monkeypatch.setattr(RingPatches, "_sample", interrupted)
    found = patches[0]
    assert seen == [1, 2]
    assert int(found["tissue"].min()) == 2 and int(found["sequence"]) == 1


def test_an_empty_ring_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no evidence yet"):
        RingPatches(EvidenceRing.create(tmp_path, 2), PATCH, seed=0)[0]


def test_another_number_of_slots_is_refused(tmp_path):
    EvidenceRing.create(tmp_path, 2)
    with pytest.raises(TrainingError, match="holds 2 brains, not 4: keep --brains"):
        EvidenceRing.create(tmp_path, 4)


def test_a_ring_that_is_sent_is_the_same_ring(tmp_path):
    ring = EvidenceRing.create(tmp_path, 2)
    sent = pickle.loads(pickle.dumps(ring))
    ring.put(0, brain(0), "T1w")
    assert len(sent.ready()) == 1 and len(pickle.dumps(ring)) < 1000


def write(folder, stop):
    ring, number = EvidenceRing(folder), 0
    while not stop.is_set():
        ring.put(number, brain(number), "T1w")
        number += 1


def test_a_reader_beside_a_writer_never_sees_two_brains_in_one(tmp_path):
    ring = EvidenceRing.create(tmp_path, 2)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    writer = context.Process(target=write, args=(tmp_path, stop))
    writer.start()
    try:
        while not ring.ready():
            assert writer.is_alive()
        patches, values = RingPatches(ring, PATCH, seed=3), set()
        for index in range(150):
            found = patches[index]["tissue"]
            assert found.min() == found.max()
            values.add(int(found.max()))
    finally:
        stop.set()
        writer.join()
    assert len(values) > 1  # it did write meanwhile
    assert torch.equal(found, torch.full(PATCH, int(found.max())))
