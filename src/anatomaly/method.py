"""What a method is: how a scan's healthy counterpart is made, and how the two are compared.

The only place where a way to rebuild or to score is declared. The words are those of `types`;
command line, weights and documents read them from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from anatomaly.config import RANGES, DetectConfig, check_ranges, check_words
from anatomaly.errors import ConfigError
from anatomaly.types import (
    EdgeKind,
    MrSequence,
    Polarity,
    ResidualPolarity,
    Reuse,
    Route,
    ScoreName,
    Sign,
    SingleRoute,
)

LESION_SIGN: dict[MrSequence, Sign] = {"T1w": "darker", "T2w": "brighter", "FLAIR": "brighter"}
"""How most lesions differ from healthy tissue."""

WORDS: dict[str, tuple[str, ...]] = {
    "route": get_args(Route),
    "reuse": get_args(Reuse),
    "score": get_args(ScoreName),
    "polarity": get_args(Polarity),
}
"""What the fields of a method that are words may say."""


def _check_refined(method: Method) -> None:
    """Refuse what the network of the refined score was not trained on."""
    if (method.route, method.reuse) != ("both", "fitted"):
        raise ConfigError(
            f"the refined score reads route and reuse both and fitted, got {method.route} and "
            f"{method.reuse}: leave both at auto, or choose another score"
        )
    if method.polarity != "auto":
        raise ConfigError(
            f"polarity {method.polarity} has no effect on the refined score, whose network weighs "
            "both signs: leave it at auto, or choose another score"
        )


@dataclass(frozen=True)
class Method:
    """One way to rebuild a scan and to score it. The defaults are those of the paper.

    Attributes:
        route: `edges` restores the healthy anatomy from edges (the paper), `tissue_map` takes the
            tissue map itself (the paper's ablation), `both` expects what either route explains.
        reuse: how the scan's contrast is put back on the healthy anatomy: `learned` by the
            combiner (the paper), `adjusted` by the combiner and then a robust fit to the scan,
            `fitted` by that fit alone.
        score: `hybrid` is residual times structural difference (the paper), `residual` and
            `structure` are its factors alone, `normalised` weighs the residual by what healthy
            people have there, `refined` is a network trained on synthetic lesions.
        polarity: residuals that count; `auto` is `LESION_SIGN` of the sequence. The refined score
            weighs both signs by itself and takes `auto` only.
        rim_mm: rim of the brain that is not scored; residuals at the surface drown lesions.
        smoothing_mm: σ of the Gaussian that smooths the score.
        ssim_sigma_mm: σ of the window of the structural difference.
        gap_weight: of the residual beside the network's logit, in the refined score; chosen on
            validation.
        grow_share: a finding above the threshold grows over connected voxels down to this share of
            it, in (0, 1]; 1 for no growth.

    Raises:
        ConfigError: a word or a number that cannot be, or a refined score with a route, reuse or
            polarity that its network was not trained on.
    """

    route: Route = "edges"
    reuse: Reuse = "learned"
    score: ScoreName = "hybrid"
    polarity: Polarity = "both"
    rim_mm: float = 3.0
    smoothing_mm: float = 1.0
    ssim_sigma_mm: float = 1.5
    gap_weight: float = 12.5
    grow_share: float = 1.0

    def __post_init__(self) -> None:
        check_words(self, WORDS)
        check_ranges(self, RANGES)
        if self.score == "refined":
            _check_refined(self)

    @property
    def routes(self) -> tuple[SingleRoute, ...]:
        """The routes that are run, in the order of their expectations.

        >>> REFINED.routes
        ('edges', 'tissue_map')
        """
        return ("edges", "tissue_map") if self.route == "both" else (self.route,)

    def sign_in(self, sequence: MrSequence) -> ResidualPolarity:
        """Return which residuals count in a sequence.

        >>> PAPER.sign_in("T1w"), REFINED.sign_in("T1w")
        ('both', 'darker')
        """
        return LESION_SIGN[sequence] if self.polarity == "auto" else self.polarity

    def to_json(self) -> dict[str, str | float]:
        """Return what a weights card stores."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Method:
        """Read what a weights card stores; what it does not name is as in `usual_method`.

        Raises:
            ConfigError: a name that no method has, or see `Method`.
        """
        known = [field.name for field in fields(cls)]
        if strange := sorted(set(content).difference(known)):
            raise ConfigError(f"{', '.join(strange)} is not one of {', '.join(known)}")
        return replace(usual_method(content.get("score", "hybrid")), **content)


PAPER = Method()
"""Yang et al. 2026, doi:10.1016/j.media.2025.103922."""

PAPER_NO_EDGES = replace(PAPER, route="tissue_map")
"""Its ablation without edges."""

REFINED = Method("both", "fitted", "refined", "auto", rim_mm=0.0, smoothing_mm=0.5, grow_share=0.5)
"""What the weights that ship do by default: the network has learnt what the surface looks like."""


def usual_method(score: ScoreName) -> Method:
    """Return how a score is taken where nothing else is said.

    >>> usual_method("residual").polarity, usual_method("refined").route
    ('auto', 'both')
    """
    return REFINED if score == "refined" else replace(PAPER, score=score, polarity="auto")


def resolve(config: DetectConfig, best: Method) -> Method:
    """Put the method of the weights in the place of every `auto`.

    Args:
        config: of the user.
        best: of the weights for the sequence, `WeightsCard.method_for`.

    Returns:
        What is done. Another score than that of the weights keeps their route and reuse, but for
        the refined score, which brings its own.

    Raises:
        ConfigError: the refined score was asked for with a route or reuse that its network cannot
            read, or with a polarity: it weighs both signs.
    """
    anomaly = config.anomaly
    score = best.score if anomaly.score == "auto" else anomaly.score
    if score != best.score:
        other = usual_method(score)
        best = other if other == REFINED else replace(other, route=best.route, reuse=best.reuse)
    options: dict[str, Any] = {
        "route": config.route,
        "reuse": config.reuse,
        "polarity": anomaly.polarity,
        "rim_mm": anomaly.erosion_mm,
        "smoothing_mm": anomaly.smooth_sigma_mm,
        "ssim_sigma_mm": anomaly.ssim_sigma_mm,
        "grow_share": anomaly.grow_share,
    }
    chosen = {name: value for name, value in options.items() if value not in ("auto", None)}
    return replace(best, **chosen)


def settle(config: DetectConfig, method: Method, edges: EdgeKind) -> DetectConfig:
    """Return the configuration with what was done in the place of what was left open.

    Args:
        config: of the user.
        method: of `resolve`.
        edges: that the anatomy was restored from.
    """
    anomaly = replace(
        config.anomaly,
        score=method.score,
        polarity=method.polarity,
        erosion_mm=method.rim_mm,
        smooth_sigma_mm=method.smoothing_mm,
        ssim_sigma_mm=method.ssim_sigma_mm,
        grow_share=method.grow_share,
    )
    return replace(config, route=method.route, reuse=method.reuse, edges=edges, anomaly=anomaly)
