"""The scorer learns on a made-up pool of evidence, goes on after a kill, and is found again."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError, WeightsError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.template_context import TemplateContext
from anatomaly.score import scorer_evidence
from anatomaly.training import evidence, scorer
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.evidence import EvidencePatches
from anatomaly.training.export import export_weights
from anatomaly.training.loop import LoopConfig
from anatomaly.training.losses import lesion_loss
from anatomaly.training.scorer import ScorerConfig, ScorerStage, train_scorer
from anatomaly.weights import SCORER_FILE, load_scorer, load_weights

WHOLE = (64, 48, 64)
PATCH = (48, 48, 48)
STEPS = 10


def brain_with_a_lesion(seed):
    """Evidence of an even brain as expected but for a bright box, (5, 64, 48, 64)."""
    rng = np.random.default_rng(seed)
    volumes = np.zeros((5, *WHOLE), np.uint8)
    volumes[:3, 4:-4, 4:-4, 4:-4] = 130
    volumes[3, 4:-4, 4:-4, 4:-4] = 3
    i, j, k = (8 + int(n) for n in rng.integers(0, 16, 3))
    box = (slice(i, i + 20), slice(j, j + 16), slice(k, k + 20))
    volumes[(0, *box)], volumes[(4, *box)] = 220, 255
    return volumes


@pytest.fixture(name="run")
def fixture_run(tmp_path, monkeypatch):
    """A run with people and shapes in its cache, whose brains are drawn from nothing."""
    for group, name in (("labels", "head"), ("train", "IXI1"), ("train", "IXI2")):
        folder = tmp_path / "run" / "cache" / group / name
        folder.mkdir(parents=True)
        np.save(folder / "labels.npy", np.zeros((2, 2, 2), np.uint8))
    boxes = {f"ms:{n:04d}:mask": np.ones((3, 3, 3), np.uint8) for n in range(6)}
    boxes |= {f"ms:{n:04d}:start": np.array([9, 9, 9]) for n in range(6)}
    np.savez(tmp_path / "run" / "cache" / "lesion_shapes.npz", **boxes)
    asked = []

    def draw(draws, workers, say):
        asked.append(draws)
        draws.folder.mkdir(parents=True, exist_ok=True)
        for n in range(draws.count):
            np.save(draws.folder / f"{n:05d}a_FLAIR.npy", brain_with_a_lesion(n))
            np.save(draws.folder / f"{n:05d}b_T1w.npy", brain_with_a_lesion(100 + n))
        say("0: drawn")

    monkeypatch.setattr(scorer, "draw_evidence", draw)
    monkeypatch.setattr(evidence, "TEMPLATE_SHAPE", WHOLE)
    monkeypatch.setattr(evidence, "mirrored_index", lambda index: WHOLE[0] - 1 - index)
    return tmp_path / "run", asked


@pytest.fixture(name="config")
def fixture_config(run, tmp_path):
    torch.manual_seed(0)
    thresholds = dict.fromkeys(("T1w", "T2w", "FLAIR"), 0.2)
    weights = export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds, limits=["few"])
    loop = LoopConfig(STEPS, learning_rate=2e-2, workers=0, precision="fp32")
    loop = replace(loop, checkpoint_seconds=0.0)
    return ScorerConfig(weights, run[0], tmp_path / "lesions", 2, patch=PATCH, loop=loop)


class KilledError(Exception):
    pass


def test_it_learns_and_is_found_again(run, config):
    reports, said = [], []
    before = load_weights(str(config.weights))[1]
    train_scorer(config, said.append, reports.append)
    assert said == ["0: drawn"] and [r.step for r in reports] == [10]

    _, card = load_weights(str(config.weights))
    assert card.scorer_sha256 != "" and card.steps == {"scorer": STEPS}
    file = config.weights / SCORER_FILE
    assert card.scorer_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert replace(card, scorer_sha256="", steps={}) == before  # nothing else of the card changed
    found, trained = load_scorer(card, str(config.weights)), read_checkpoint(run[0] / "scorer")[0]
    assert not found.training
    assert found.state_dict().keys() == trained.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, trained[name].half().float()), name
    numbers = sum(t.numel() for t in trained.values())
    assert 2 * numbers < file.stat().st_size < 2 * numbers + 20_000  # half precision

    # on a patch that it saw, against a network that never learnt: the lesion stands out more
    patches = EvidencePatches(sorted(run[1][0].folder.glob("*.npy")), PATCH, seed=scorer.PATCH_SEED)
    patch = next(patches[n] for n in range(STEPS) if 2000 < patches[n]["lesion"].sum() < 20_000)
    batch = {name: tensor[None] for name, tensor in patch.items()}
    loss = {}
    for name, network in (("before", LesionScorer()), ("after", found)):
        with torch.no_grad():
            loss[name] = sum(ScorerStage(network, TemplateContext()).step(batch).values())
    assert loss["after"] < 0.9 * loss["before"]


def test_what_is_drawn(run, config):
    """Whole brains of all people, label maps three times as often; no random contrast."""
    train_scorer(replace(config, seed=3, pairs=1, loop=replace(config.loop, steps=1)))
    draws = run[1][0]
    _, card = load_weights(str(config.weights))
    assert draws.folder == run[0] / f"evidence-{card.sha256[:8]}-3"
    assert draws.count == 1 and not draws.model.training
    assert sorted(s.name for s in draws.pairs.subjects) == ["IXI1", "IXI2", "head", "head", "head"]
    assert len(draws.pairs.shapes) == 5  # every fifth is held out for validation
    settings = draws.pairs.config
    assert settings.patch == TEMPLATE_SHAPE and settings.most_lesions == 3
    assert settings.sequence_shares == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0.0))
    train_scorer(replace(config, pairs=1, loop=replace(config.loop, steps=1)))
    assert run[1][1].pairs.config.seed != settings.seed
    assert run[1][1].folder.name.endswith("-0")


def test_a_killed_run_ends_with_the_same_weights(run, config, monkeypatch):
    short = replace(config, loop=replace(config.loop, steps=4))
    card = (config.weights / "card.json").read_bytes()
    torch.manual_seed(5)
    train_scorer(short)
    straight = (config.weights / SCORER_FILE).read_bytes()
    (config.weights / SCORER_FILE).unlink()
    (config.weights / "card.json").write_bytes(card)
    (run[0] / "scorer").rename(run[0] / "straight")

    step, seen = ScorerStage.step, []

    def killed(stage, batch, number):
        seen.append(number)
        if number == 2 and seen.count(2) == 1:
            raise KilledError
        return step(stage, batch, number)

    monkeypatch.setattr(ScorerStage, "step", killed)
    torch.manual_seed(5)
    with pytest.raises(KilledError):
        train_scorer(short)
    assert not (config.weights / SCORER_FILE).exists()
    assert (config.weights / "card.json").read_bytes() == card
    torch.manual_seed(6)  # the network is made anew, and then is the one of the checkpoint
    train_scorer(short)
    assert seen == [0, 1, 2, 2, 3]
    assert (config.weights / SCORER_FILE).read_bytes() == straight
    assert load_weights(str(config.weights))[1].steps == {"scorer": 4}


def test_another_run_goes_on_from_the_scorer_of_the_weights(run, config, tmp_path):
    one_step = replace(config, loop=replace(config.loop, steps=1))
    train_scorer(config)
    first = load_scorer(load_weights(str(config.weights))[1], str(config.weights)).state_dict()
    (run[0] / "scorer").rename(tmp_path / "old")
    train_scorer(one_step)
    _, card = load_weights(str(config.weights))
    assert card.steps == {"scorer": 1}  # those of the run that wrote it
    second = load_scorer(card, str(config.weights)).state_dict()
    name = "unet.head.weight"
    assert not torch.equal(first[name], second[name])
    # one step of the warm-up: rate 2e-2 / 100, and Adam's first step is at most about that
    assert (first[name] - second[name]).abs().max() < 4e-4


def test_what_a_kill_left_half_written_is_no_evidence(run, config):
    folder = run[0] / f"evidence-{load_weights(str(config.weights))[1].sha256[:8]}-0"
    folder.mkdir()
    for name in (".00099a_T2w.npy.part", ".00099a_T2w.part.npy"):  # the second of old versions
        (folder / name).write_bytes(b"half")
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scorer, "EvidencePatches", lambda paths, *_: seen.extend(paths))
        patched.setattr(scorer, "train_stage", lambda *_: None)
        train_scorer(config)
    assert [path.name for path in seen] == [
        "00000a_FLAIR.npy",
        "00000b_T1w.npy",
        "00001a_FLAIR.npy",
        "00001b_T1w.npy",
    ]


def test_another_seed_adds_to_the_pool(run, config, monkeypatch):
    seen = []
    monkeypatch.setattr(scorer, "train_stage", lambda *_: None)
    monkeypatch.setattr(
        scorer, "EvidencePatches", lambda paths, *_: seen.append([p.name[:6] for p in paths])
    )
    train_scorer(replace(config, pairs=2))
    train_scorer(replace(config, pairs=1, seed=1))
    assert seen[0] == ["00000a", "00000b", "00001a", "00001b"]
    assert seen[1] == ["00000a", "00000b", "00001a", "00001b", "00000a", "00000b"]


def test_refusals(run, config, tmp_path):
    with pytest.raises(TrainingError, match=r"patch \(48, 50, 48\): .* multiples of 16"):
        train_scorer(replace(config, patch=(48, 50, 48)))
    with pytest.raises(TrainingError, match="no prepared people"):
        train_scorer(replace(config, run=tmp_path / "empty"))
    with pytest.raises(WeightsError, match="no weights called"):
        train_scorer(replace(config, weights=tmp_path / "none"))
    assert run[1] == []  # before hours of drawing


def test_the_step_is_the_loss_of_the_network_on_its_evidence():
    """Written out; the mask is where the image is not 0, the context that of the place."""
    torch.manual_seed(0)
    network = LesionScorer((8, 8, 8, 8)).eval()
    context = TemplateContext()
    context.tissue_share += torch.rand(context.tissue_share.shape)
    rng = torch.Generator().manual_seed(2)
    image, mirrored, edges, by_tissue, lesion = torch.rand(5, 2, 1, 16, 32, 16, generator=rng)
    image[:, :, :4] = edges[:, :, :3] = by_tissue[:, :, :3] = 0  # layer 3 is black, but brain
    tissue = torch.randint(4, (2, 16, 32, 16), generator=rng)
    start, sequence = torch.tensor([[0, 20, 40], [60, 100, 8]]), torch.tensor([2, 0])
    batch = {
        "image": image,
        "mirrored": mirrored,
        "from_edges": edges,
        "from_tissue": by_tissue,
        "tissue": tissue,
        "lesion": lesion,
        "start": start,
        "sequence": sequence,
    }
    found = ScorerStage(network, context).step(batch, 7)
    evidence = scorer_evidence(image, mirrored, edges, by_tissue, tissue)
    logits = network(evidence, context(start, (16, 32, 16)), sequence)
    brain = ((image > 0) | (torch.minimum(edges, by_tissue) > 0)).float()
    assert brain[:, :, 3].all() and not brain[:, :, :3].any()
    expected = lesion_loss(logits, lesion, brain)
    assert found.keys() == expected.keys() == {"entropy", "dice"}
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])
    everywhere = lesion_loss(logits, lesion, torch.ones_like(image))
    assert (found["entropy"] - everywhere["entropy"]).abs().item() > 1e-4


def test_only_the_scorer_is_trained():
    stage = ScorerStage(LesionScorer((8, 8, 8, 8)), TemplateContext())
    assert isinstance(stage.trained, LesionScorer)
    assert not any(name.startswith("context") for name, _ in stage.named_parameters())
