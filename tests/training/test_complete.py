"""One command from people to weights: tiny numbers, made-up people, evidence from nothing."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from anatomaly.errors import TrainingError
from anatomaly.method import REFINED
from anatomaly.training import complete, evidence, evidence_ring
from anatomaly.training import run as run_module
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.complete import CompleteConfig, train_complete
from anatomaly.training.evidence_ring import EvidenceRing
from anatomaly.training.loop import LoopConfig
from anatomaly.training.recipe import LINES
from anatomaly.training.restoration import RoutesStage
from anatomaly.training.run import RunConfig, StageData, plan_run
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.types import EDGE_KINDS
from anatomaly.weights import load_model, load_scorer

PATCH = (48, 48, 48)
STAGES = ("anatomy", "routes", "scorer", "whole")


class KilledError(Exception):
    pass


class Producers:
    def wait_for(self, ring, brains):
        assert len(ring.ready()) >= brains

    def check(self):
        pass


@pytest.fixture(name="told", autouse=True)
def fixture_told(monkeypatch, tmp_path, drawn, shapes):
    """Draw pairs of made-up people; producers are ready at once and draw nothing."""
    told = []

    def prepare(config, model, device, say):
        cache = config.output / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        np.save(cache / "tissue_share.npy", np.full((3, 40, 48, 40), 0.2, np.float32))
        return lambda plan: StageData(
            PairGenerator(
                [drawn], shapes, GeneratorConfig(patch=PATCH, seed=plan.seed, inside=True)
            )
        )

    @contextmanager
    def producers(production, slots):
        told.append(production)
        ring = EvidenceRing(production.ring)
        for number in range(slots):
            volumes = np.zeros((5, *PATCH), np.uint8)
            volumes[:4, 4:-4, 4:-4, 4:-4] = 3
            volumes[(0, 4), 20:28, 20:28, 20:28] = 255
            ring.put(number, volumes, "FLAIR")
        yield Producers()

    monkeypatch.setattr(complete, "prepare_draws", prepare)
    monkeypatch.setattr(complete, "running_producers", producers)
    for module in (evidence, evidence_ring):
        monkeypatch.setattr(module, "TEMPLATE_SHAPE", PATCH)
    monkeypatch.setattr(evidence, "mirrored_index", lambda index: PATCH[0] - 1 - index)
    return told


@pytest.fixture(name="config")
def fixture_config(tmp_path):
    return CompleteConfig(
        output=tmp_path / "run",
        label_maps=tmp_path / "maps",
        cohort=None,
        lesions=tmp_path / "lesions",
        export=tmp_path / "mine",
        patch=PATCH,
        scorer_patch=PATCH,
        whole=PATCH,
        brains=2,
        steps=dict.fromkeys(STAGES, 1),
        loop=LoopConfig(steps=0, workers=0, precision="fp32"),
    )


def test_by_steps_from_people_to_weights(config, told):
    said = []
    assert train_complete(config, said.append) == config.export
    model, card = load_model(str(config.export))
    assert card.steps == dict.fromkeys(STAGES, 1)
    assert card.method_for("FLAIR") == REFINED
    assert any("not calibrated" in line for line in card.limits)
    assert load_scorer(card, str(config.export)) is not None
    assert float(model.context.tissue_share.mean()) == pytest.approx(0.2, abs=1e-3)
    assert told[0].weights == config.export.resolve() and told[0].first == 0
    assert [line.split(":")[0] for line in said if "steps" in line] == list(STAGES)


def test_both_restorers_are_trained_and_exported(config, monkeypatch):
    found, step = {}, RoutesStage.step

    def watched(stage, batch, number):
        found.update(step(stage, batch, number))
        return found

    monkeypatch.setattr(RoutesStage, "step", watched)
    both = replace(config, edges="both", steps=dict.fromkeys(STAGES, 1), only=STAGES[:2])
    train_complete(both)
    for kind in EDGE_KINDS:
        assert {f"tissue_{kind}", f"restored_{kind}"} <= set(found)
        model, _ = load_model(str(config.export), kind)
        assert model.edges == kind
        last = model.anatomy_restorer.refinement[2].weight.detach()
        assert float(last.abs().max()) > 0  # untrained it is 0


def test_of_weights_with_both_only_the_kind_that_is_asked_for_goes_on(config):
    both = replace(config, edges="both", only=STAGES[:2])
    train_complete(both)
    one = replace(
        config,
        output=config.output.with_name("second"),
        export=config.export.with_name("second-weights"),
        start_from=str(config.export),
        edges="canny",
        only=STAGES[:2],
    )
    train_complete(one)
    model, _ = load_model(str(one.export))
    assert model.edges == "canny" and list(model.anatomy_restorers) == ["canny"]


def test_two_restorers_need_the_stage_that_trains_both(config):
    alone = {k: v for k, v in vars(config).items() if k in RunConfig.__dataclass_fields__}
    with pytest.raises(TrainingError, match="only the stage `routes` trains two restorers"):
        plan_run(RunConfig(**(alone | {"edges": "both", "steps": {}, "lines": LINES})))


@pytest.mark.parametrize("patch", [(176, 96, 96), (96, 96, 40), (50, 96, 96)])
def test_a_patch_that_does_not_fit_is_refused(config, patch):
    with pytest.raises(TrainingError, match="sides must be multiples of 16, 48 or more"):
        plan_run(replace(config, patch=patch))


def test_by_the_clock_it_ends_in_time_and_goes_on_with_the_stage_it_was_killed_in(
    config, monkeypatch, ticking
):
    clock = ticking(1.5)
    by_clock = CompleteConfig(**(vars(config) | {"minutes": 0.5, "steps": {}}))

    def killed(stage, batch, step):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(complete.ScorerStage, "step", killed)
        with pytest.raises(KilledError):
            train_complete(by_clock, clock=clock)
    before = {name: read_checkpoint(config.output / name) for name in STAGES[:2]}
    assert all(state["share"] == 1.0 for _, state in before.values())
    assert not (config.output / "scorer").joinpath("checkpoint.safetensors").exists()
    weights = (config.export / "model.safetensors").read_bytes()

    begun, trained = clock.now, []
    monkeypatch.setattr(
        run_module, "train_stage", lambda stage, data, folder, *_: trained.append(folder.name)
    )
    train_complete(by_clock, clock=clock)
    assert clock.now - begun <= 30
    assert trained == ["anatomy", "routes"]  # asked, but they have ended
    assert (config.export / "model.safetensors").read_bytes() == weights
    for name in STAGES[2:]:
        state = read_checkpoint(config.output / name)[1]
        assert state["share"] == 1.0 and state["step"] >= 1
    rows = (config.output / "scorer" / "loss.csv").read_text().splitlines()
    assert len(rows) >= 2  # a stage of a few steps writes its last


def test_no_time_is_refused(config):
    times = iter(range(0, 10**6, 40))
    by_clock = CompleteConfig(**(vars(config) | {"minutes": 0.5, "steps": {}}))
    with pytest.raises(TrainingError, match=r"anatomy: no time left of 0\.5 minutes"):
        train_complete(by_clock, clock=lambda: next(times))
