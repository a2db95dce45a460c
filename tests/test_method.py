"""What is done where nothing, something, or something impossible is asked for."""

from dataclasses import replace

import pytest

from anatomaly.config import AnomalyConfig, DetectConfig
from anatomaly.errors import ConfigError
from anatomaly.method import (
    PAPER,
    PAPER_NO_EDGES,
    REFINED,
    Method,
    resolve,
    settle,
    usual_method,
)

FITTED = Method("tissue_map", "fitted", "residual", "auto")


def ask(best, *, anomaly=None, **options):
    return resolve(DetectConfig(anomaly=AnomalyConfig(**anomaly or {}), **options), best)


def test_the_paper_is_what_its_equation_says():
    assert (PAPER.route, PAPER.reuse, PAPER.score, PAPER.polarity) == (
        "edges", "learned", "hybrid", "both",
    )  # fmt: skip
    assert replace(PAPER_NO_EDGES, route="edges") == PAPER
    assert {PAPER.sign_in(sequence) for sequence in ("T1w", "T2w", "FLAIR")} == {"both"}


@pytest.mark.parametrize(
    ("score", "rim_mm", "smoothing_mm", "grow_share"),
    [
        ("hybrid", 3.0, 1.0, 1.0),
        ("structure", 3.0, 1.0, 1.0),
        ("residual", 3.0, 1.0, 1.0),
        ("normalised", 3.0, 1.0, 1.0),
        ("refined", 0.0, 0.5, 0.5),
    ],
)
def test_rim_smoothing_and_growth_are_those_of_the_score(score, rim_mm, smoothing_mm, grow_share):
    method = usual_method(score)
    assert (method.rim_mm, method.smoothing_mm, method.grow_share) == (
        rim_mm, smoothing_mm, grow_share,
    )  # fmt: skip
    told = ask(PAPER, anomaly={"score": score, "erosion_mm": 0.0, "smooth_sigma_mm": 2.5})
    assert (told.rim_mm, told.smoothing_mm, told.grow_share) == (0.0, 2.5, grow_share)


def test_where_nothing_is_asked_for_the_weights_decide():
    for best in (PAPER, FITTED, REFINED, replace(REFINED, gap_weight=3.0, smoothing_mm=0.7)):
        assert ask(best) == best


def test_each_option_changes_its_own_field():
    assert ask(FITTED, route="both") == replace(FITTED, route="both")
    assert ask(FITTED, reuse="adjusted") == replace(FITTED, reuse="adjusted")
    anomaly = {"polarity": "darker", "ssim_sigma_mm": 2.0, "grow_share": 0.4}
    changed = replace(FITTED, polarity="darker", ssim_sigma_mm=2.0, grow_share=0.4)
    assert ask(FITTED, anomaly=anomaly) == changed


def test_another_score_keeps_route_and_reuse_but_for_the_refined_one():
    hybrid = ask(FITTED, anomaly={"score": "hybrid"})
    assert hybrid == Method("tissue_map", "fitted", "hybrid", "auto")
    assert ask(FITTED, anomaly={"score": "refined"}) == REFINED
    away = ask(REFINED, anomaly={"score": "hybrid"}, route="edges", reuse="learned")
    assert away == replace(PAPER, polarity="auto")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"route": "edges"}, "got edges and fitted"),
        ({"reuse": "learned"}, "got both and learned"),
        ({"route": "tissue_map", "reuse": "adjusted"}, "got tissue_map and adjusted"),
    ],
)
def test_what_the_refined_score_cannot_read_is_refused(options, named):
    with pytest.raises(ConfigError, match=f"reads route and reuse both and fitted, {named}"):
        ask(REFINED, **options)
    with pytest.raises(ConfigError, match="no effect on the refined score"):
        ask(REFINED, anomaly={"polarity": "both"})


def test_the_settled_configuration_says_what_was_done():
    asked = DetectConfig(anomaly=AnomalyConfig(erosion_mm=2.0, threshold=0.4))
    settled = settle(asked, resolve(asked, REFINED), "oriented")
    assert (settled.route, settled.reuse, settled.edges) == ("both", "fitted", "oriented")
    anomaly = settled.anomaly
    assert (anomaly.score, anomaly.threshold, anomaly.erosion_mm) == ("refined", 0.4, 2.0)
    assert (anomaly.smooth_sigma_mm, anomaly.ssim_sigma_mm, anomaly.grow_share) == (0.5, 1.5, 0.5)
    assert resolve(settled, PAPER) == resolve(asked, REFINED)  # asked for again, it is the same
    assert settle(DetectConfig(), PAPER, "canny").anomaly.polarity == "both"


def test_a_card_holds_a_method_and_gives_it_back():
    for method in (PAPER, REFINED, replace(FITTED, smoothing_mm=0.3)):
        assert Method.from_json(method.to_json()) == method
    assert Method.from_json({}) == replace(PAPER, polarity="auto")
    assert Method.from_json({"score": "refined"}) == REFINED


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"score": "hybrids"}, "score must be hybrid, .* refined, got hybrids"),
        ({"reuse": "refined"}, "reuse must be .* fitted, got refined"),
        ({"rim": 3.0}, "rim is not one of route, reuse"),
        ({"rim_mm": "thick"}, r"rim_mm must lie in \[0, 50\], got thick"),
        ({"rim_mm": None}, "rim_mm must lie in .* got None"),
        ({"smoothing_mm": -1.0}, "smoothing_mm must lie in .* got -1.0"),
        ({"grow_share": 0.0}, "grow_share must lie in .* got 0.0"),
        (
            {"score": "refined", "route": "edges"},
            "reads route and reuse both and fitted, got edges",
        ),
        ({"score": "refined", "polarity": "both"}, "no effect on the refined score"),
    ],
)
def test_a_card_that_means_no_method_is_refused(wrong, named):
    with pytest.raises(ConfigError, match=named):
        Method.from_json(wrong)


def test_auto_polarity_follows_the_sequence_and_a_choice_is_kept():
    signs = [REFINED.sign_in(sequence) for sequence in ("T1w", "T2w", "FLAIR")]
    assert signs == ["darker", "brighter", "brighter"]
    for polarity in ("both", "brighter", "darker"):
        assert replace(PAPER, polarity=polarity).sign_in("T1w") == polarity
