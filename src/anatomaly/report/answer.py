"""The answer in words: how much, how sure, and what speaks against it.

What a healthy brain shows by mistake is said in plain words here; `healthy.js` says the same live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomaly.config import GOOD_CONTROLS, MOST_HEALTHY_ML, USUAL_HEALTHY_ML, edits_of
from anatomaly.healthy_volume import FalseMl, HealthyVolume

Row = Mapping[str, str]
"""A line of `lesions.tsv`: column to text."""

QUALITY = {
    "brain_ml": ("brain volume", "mL", "healthy adults: 1000 to 1900 mL"),
    "dice": ("overlap with the template", "", "good scans: 0.90 and more"),
    "outline_margin": ("outline against the wrong way round", "", "good scans: 0.03 and more"),
    "correlation": ("tissue agreement with the template", "", "good scans: 0.06 and more"),
    "margin": ("tissues against the wrong way round", "times", "good scans: 1.3 and more"),
    "shift_mm": ("a better place of the outline", "mm away", "good scans: 4 and less"),
    "stretch": ("largest by smallest scale", "", "good scans: 1.45 and less"),
    "missing": ("share of the brain outside the scan", "", "whole scans: 0.03 and less"),
}
"""Figures of the preparation: name, unit, what is usual (docs/decisions/0002)."""

_GOOD = {
    "brain_ml": (1000.0, 1900.0),
    "dice": (0.9, 1.0),
    "outline_margin": (0.03, 1.0),
    "correlation": (0.06, 1.0),
    "margin": (1.3, float("inf")),
    "shift_mm": (0.0, 6.0),
    "stretch": (1.0, 1.45),
    "missing": (0.0, 0.03),
}

ORIGIN = "Measured on drawn scans of healthy people; a real scanner may show more."


@dataclass(frozen=True)
class QualityLine:
    """One measured figure of the preparation, in words."""

    name: str
    value: str
    usual: str
    is_usual: bool


@dataclass(frozen=True)
class Answer:
    """What stands at the top of the page.

    Attributes:
        headline: how much.
        comparison: how that compares with healthy scans; empty where nothing is known.
        limit: which lesions are found on the user's scanner; empty where it was not measured.
        volume_ml: sum of the table.
        count: lines of the table.
        warnings: doubts, in plain sentences.
        quality: figures of the preparation.
    """

    headline: str
    comparison: str
    limit: str
    volume_ml: float
    count: int
    warnings: tuple[str, ...]
    quality: tuple[QualityLine, ...]

    @property
    def is_doubtful(self) -> bool:
        """True where something speaks against the result."""
        return bool(self.warnings) or not all(line.is_usual for line in self.quality)


def total_ml(lesions: Sequence[Row]) -> float:
    """Return the volume of all lines of the table in mL.

    >>> total_ml([{"volume_mm3": "1500.0"}, {"volume_mm3": "250.0"}])
    1.75
    """
    return sum(float(row["volume_mm3"]) for row in lesions) / 1000


def answer(run: Mapping[str, Any], lesions: Sequence[Row] | None) -> Answer:
    """Put the answer together.

    Args:
        run: what `run.json` holds.
        lesions: of `lesions.tsv`; None where it was not written.

    Raises:
        WeightsError: what `run.json` tells of healthy brains cannot be.
    """
    rows = lesions or ()
    count = len(rows) if lesions is not None else int(run.get("lesions", 0))
    volume = total_ml(rows)
    quality = run.get("preparation", {}).get("quality", {})
    places = "1 place" if count == 1 else f"{count} places"
    headline = f"{say_ml(volume)} in {places}"
    if lesions is None:
        headline = f"{places} above the threshold"
    return Answer(
        headline=headline if count else _nothing(run),
        comparison=_comparison(run, volume) if lesions is not None else "",
        limit=say_limit(run.get("controls", {})),
        volume_ml=volume,
        count=count,
        warnings=tuple(str(warning) for warning in run.get("warnings", ())),
        quality=tuple(_quality_line(name, quality[name]) for name in QUALITY if name in quality),
    )


def _comparison(run: Mapping[str, Any], volume_ml: float) -> str:
    """Say what healthy brains show at this threshold, or what the threshold aims at."""
    if edits_of(run):
        return "What healthy brains show by mistake holds for masks of the program alone."
    if run.get("fused"):
        return "Joined from several sequences: the false alarms of each add up."
    if false_ml := false_ml_of(run):
        verdict = _verdict(volume_ml, false_ml)
        return f"{verdict} {say_false_findings(false_ml)} {say_origin(run)}"
    if run.get("config", {}).get("anomaly", {}).get("threshold") is not None:
        return "The threshold was given by hand; what healthy scans have above it is not known."
    verdict = _verdict(volume_ml, FalseMl(USUAL_HEALTHY_ML, MOST_HEALTHY_ML))
    return (
        f"{verdict} The threshold aims at less than {USUAL_HEALTHY_ML:.0f} mL in half of "
        f"healthy scans and less than {MOST_HEALTHY_ML:.0f} mL in nearly all."
    )


def _nothing(run: Mapping[str, Any]) -> str:
    """Say that there is no lesion, and whose word that is."""
    return "Nothing left in the mask" if edits_of(run) else "Nothing passes the threshold"


def say_edits(run: Mapping[str, Any]) -> str:
    """Say that a person corrected the mask, and by how much; empty where nobody did.

    >>> edit = {"at": "2026-11-02T10:00:00+00:00", "added_ml": 0.25, "removed_ml": 1.5}
    >>> say_edits({"corrected_by_hand": [{**edit, "sha256_before": "a", "sha256_after": "b"}]})
    'Mask corrected by hand on 2026-11-02: 0.2 mL added, 1.5 mL removed'
    """
    edits = edits_of(run)
    if not edits:
        return ""
    last = edits[-1]
    said = f"{say_ml(last['added_ml'])} added, {say_ml(last['removed_ml'])} removed"
    before = f" (and {len(edits) - 1} times before)" if len(edits) > 1 else ""
    return f"Mask corrected by hand on {last['at'][:10]}: {said}{before}"


def _verdict(volume_ml: float, false_ml: FalseMl) -> str:
    """Compare a volume with what healthy brains show."""
    if volume_ml <= false_ml.half:
        return (
            "As little as many healthy scans have; lesions are missed too: move the threshold "
            "below to see what lies just under it."
        )
    if volume_ml <= false_ml.most:
        return "Some healthy scans have as much: this may be a false alarm."
    if volume_ml < MOST_HEALTHY_ML:
        return "More than drawn healthy scans have, but so little may still be a false alarm."
    return "More than healthy scans usually have."


def say_origin(run: Mapping[str, Any]) -> str:
    """Say whom the figures about healthy brains were measured on."""
    own = run.get("controls", {}).get("controls")
    if not own:
        return ORIGIN
    few = f" With so few, 19 of 20 means all {own} of them." if own < GOOD_CONTROLS else ""
    return f"Measured on {own} healthy controls of your own scanner.{few}"


def say_limit(controls: Mapping[str, Any]) -> str:
    """Say which planted lesions were found in the controls of the user's scanner.

    Of each contrast the smallest size of which 8 in 10 were found, and of every larger one too;
    where there is none, how many of the largest.

    >>> contrasts = {"faint": [[1, 10], [6, 10]], "strong": [[5, 10], [9, 10]]}
    >>> said = say_limit({"controls": 9, "limit": {"sizes_ml": [0.1, 1.0], "contrasts": contrasts}})
    >>> said.split(": ")[1].split("; ")
    ['faint lesions are missed often, of 1 mL too (6 of 10 found)', 'strong ones are found from \
1 mL (9 of 10).']
    """
    limit = controls.get("limit") or {}
    said: list[str] = []
    for word, counts in limit.get("contrasts", {}).items():
        known = [(s, *c) for s, c in zip(limit["sizes_ml"], counts, strict=True) if c[1]]
        if not known:
            continue
        enough = [n for n in range(len(known)) if all(f >= 0.8 * p for _, f, p in known[n:])]
        size, found, planted = known[enough[0] if enough else -1]
        what = f"{word} ones" if said else f"{word} lesions"
        if enough:
            said.append(f"{what} are found from {size:g} mL ({found} of {planted})")
        else:
            said.append(f"{what} are missed often, of {size:g} mL too ({found} of {planted} found)")
    if not said:
        return ""
    return (
        f"Planted into {controls['controls']} healthy controls of your scanner: {'; '.join(said)}."
    )


def _quality_line(name: str, value: float) -> QualityLine:
    """Return one figure in words, and whether it is what good scans have."""
    label, unit, usual = QUALITY[name]
    shown = f"{value:.0f}" if name == "brain_ml" else f"{value:.2f}"
    low, high = _GOOD[name]
    return QualityLine(label, f"{shown} {unit}".strip(), usual, low <= value <= high)


def healthy_volume_of(run: Mapping[str, Any]) -> HealthyVolume | None:
    """Return what `run.json` tells of healthy brains; None where they were not measured so.

    Raises:
        WeightsError: it tells it in a form that cannot be.
    """
    content = run.get("healthy_ml")
    return HealthyVolume.from_json(content) if content else None


def false_ml_of(run: Mapping[str, Any]) -> FalseMl | None:
    """Return what healthy brains show at the threshold of a result; None where nobody knows.

    Raises:
        WeightsError: as `healthy_volume_of`.
    """
    curve = healthy_volume_of(run)
    return curve.at(float(run.get("threshold", 0.0))) if curve else None


def say_ml(volume_ml: float) -> str:
    """Return a volume in words, so exact that no piece becomes 0.0 mL.

    >>> say_ml(18.84), say_ml(0.031), say_ml(0.0)
    ('18.8 mL', '0.03 mL', '0.0 mL')
    """
    return f"{volume_ml:.2f} mL" if 0 < volume_ml < 0.095 else f"{volume_ml:.1f} mL"


def say_false_findings(false_ml: FalseMl | None) -> str:
    """Return the sentence that stands beside the slider; what is below .005 mL is nothing.

    >>> say_false_findings(FalseMl(0.0, 4.02))
    'At this threshold half of healthy brains show no false findings, 19 of 20 up to 4.0 mL.'
    """
    if false_ml is None:
        return "How much healthy brains show at so low a threshold was not measured."
    half, most = ("" if ml < 0.005 else f"up to {say_ml(ml)}" for ml in false_ml)
    amount = f"{half} of" if half else "no"
    return (
        f"At this threshold half of healthy brains show {amount} false findings, "
        f"19 of 20 {most or 'none'}."
    )
