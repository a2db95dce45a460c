"""Producers: which pairs each draws, into which slots, what is refused, that a death is told."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import evidence_ring, producers
from anatomaly.training.evidence_ring import EvidenceRing
from anatomaly.training.export import export_weights
from anatomaly.training.producers import Production, produce, running_producers

GRID = (8, 6, 4)


@pytest.fixture(name="production")
def fixture_production(tmp_path, monkeypatch):
    thresholds = dict.fromkeys(("T1w", "T2w", "FLAIR"), 0.2)
    weights = export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds)
    monkeypatch.setattr(evidence_ring, "TEMPLATE_SHAPE", GRID)
    return Production(
        weights=weights,
        cache=tmp_path / "cache",
        lesions=tmp_path / "lesions",
        ring=tmp_path / "ring",
        seed=0,
        device="cpu",
    )


def after(looks):
    """Stop at the look after so many."""
    count = itertools.count()
    return lambda: next(count) >= looks


def test_each_draws_its_pairs_into_slots_of_its_own(production, monkeypatch):
    drawn = []

    def draw(model, pairs, index):
        assert not model.training
        drawn.append(index)
        return [(np.full((5, *GRID), 2 * index + n, np.uint8), "T1w") for n in (0, 1)]

    monkeypatch.setattr(producers, "draw_brains", draw)
    monkeypatch.setattr(producers, "brain_pairs", lambda *_: None)
    ring, slots = EvidenceRing.create(production.ring, 8), []
    for number in (0, 1):
        told = replace(production, first=3, number=number, of=2)
        before = ring.state[:, evidence_ring.VERSION].copy()
        assert produce(told, after(3)) == 3
        slots.append(set(np.flatnonzero(ring.state[:, evidence_ring.VERSION] != before)))
    assert drawn == [3, 5, 7, 4, 6, 8]
    assert not slots[0] & slots[1]
    for slot in ring.ready():
        number = int(ring.state[slot.number, evidence_ring.BRAIN])
        assert (ring.volumes[slot.number] == number).all() and number % 8 == slot.number


@pytest.mark.parametrize(("slots", "of"), [(6, 2), (0, 1), (3, 1)])
def test_slots_that_two_would_write_to(production, slots, of):
    with (
        pytest.raises(TrainingError, match="must be a multiple of"),
        running_producers(replace(production, of=of), slots),
    ):
        pass


def test_the_death_of_a_producer_is_told_instead_of_waiting_for_it(production):
    ring = EvidenceRing.create(production.ring, 2)  # nobody is cached: it must fail
    with running_producers(production, 2) as running:
        with pytest.raises(TrainingError, match="draws evidence ended with 1"):
            running.wait_for(ring, 1)
        (process,) = running.processes
    assert not process.is_alive()


@pytest.mark.slow
def test_a_producer_draws_whole_brains_until_it_is_stopped(tmp_path, monkeypatch, labels, shapes):
    folder = tmp_path / "cache" / "labels" / "drawn"
    folder.mkdir(parents=True)
    np.save(folder / "labels.npy", labels)
    boxes = {f"{s.kind}:0000:mask": s.mask.numpy() for s in shapes}
    boxes |= {f"{s.kind}:0000:start": np.array(s.start) for s in shapes}
    np.savez(tmp_path / "cache" / "lesion_shapes.npz", **boxes)
    thresholds = dict.fromkeys(("T1w", "T2w", "FLAIR"), 0.2)
    weights = export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds)
    production = Production(
        weights, tmp_path / "cache", tmp_path / "lesions", tmp_path / "ring", 0, "cpu"
    )
    ring = EvidenceRing.create(production.ring, 2)
    with running_producers(production, 2) as running:
        running.wait_for(ring, 2)
        (process,) = running.processes
        assert process.is_alive()
    assert not process.is_alive()
    image, edges, tissue_route, tissue, lesion = ring.volumes[0]
    assert image.max() > 150 and (image > 0).mean() > 0.1 and tissue.max() == 3
    assert ring.ready()[0].sequence in ("T1w", "T2w", "FLAIR")
    assert edges.any() and tissue_route.any() and lesion.shape == image.shape
