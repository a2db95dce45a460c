"""One self-contained page a scan: the answer, what speaks against it, and a viewer to judge by.

Nothing is fetched: style, scripts, pictures and volumes are inside the file, and its content
security policy forbids the rest.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from anatomaly.config import grow_share_of
from anatomaly.report.answer import (
    Row,
    answer,
    false_ml_of,
    healthy_volume_of,
    say_edits,
    say_false_findings,
    say_ml,
    say_origin,
)
from anatomaly.report.command import command_of
from anatomaly.report.layers import Layers, encode_layer, steps_up_to
from anatomaly.report.manifest import write_whole
from anatomaly.report.pictures import cut_mask, draw_finding, draw_preparation, to_jpeg
from anatomaly.report.spots import Point, Spot

ASSETS = Path(__file__).with_name("assets")
SHOWN_FINDINGS = 3
SLIDER = (1, 254)
"""Ends of the slider of the threshold, in steps of the quantised map."""

LAYER_NAMES = {
    "scan": "Scan",
    "pseudo_healthy": "Pseudo-healthy image",
    "intensity": "Intensity term (scan − pseudo-healthy)",
    "structure": "Structural term (1 − SSIM)",
    "anomaly_map": "Anomaly map",
    "tissue_map": "Tissue map",
    "edges": "Edges",
}
"""What the viewer offers, in this order; the intensity term is computed in the page."""


@dataclass(frozen=True)
class PageContent:
    """Everything that a page says and shows.

    Attributes:
        name: of the scan, see `page_name`.
        run: what `run.json` holds.
        lesions: lines of `lesions.tsv`; None where it was not written.
        spots: where each lesion is clicked to; as many as lesions, or none.
        layers: volumes of the viewer; None leaves the viewer out.
        overview: PNG of `overview.png`; None leaves it out.
        left_out: what is missing from the page and why, in plain sentences.
    """

    name: str
    run: Mapping[str, Any]
    lesions: Sequence[Row] | None
    spots: Sequence[Spot] = ()
    layers: Layers | None = None
    overview: bytes | None = None
    left_out: Sequence[str] = ()


def page_name(folder: str, scan: str) -> str:
    """Return what a page calls its scan: its folder's name where that says more.

    >>> page_name("sub-01_T1w", "T1w"), page_name("results", "sub-01_T1w")
    ('sub-01_T1w', 'sub-01_T1w')
    """
    return folder if scan in folder else scan


def write_page(path: Path, content: PageContent) -> None:
    """Write the page of one scan, all of it or nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_whole(path, render_page(content))


def render_page(content: PageContent) -> str:
    """Return the page of one scan as HTML; every text in it is escaped.

    Raises:
        WeightsError: what `run.json` tells of healthy brains cannot be.
    """
    layers, run = content.layers, content.run
    arrays = layers.arrays if layers else {}
    names = {*arrays, "intensity"} if {"scan", "pseudo_healthy"} <= set(arrays) else set(arrays)
    said = answer(run, content.lesions)
    rows = _rows(content)
    template = environment().get_template("page.html.j2")
    return template.render(
        **_cut_of(run),
        name=content.name,
        run=run,
        answer=said,
        edits=say_edits(run),
        rows=rows,
        has_table=content.lesions is not None,
        shown=SHOWN_FINDINGS,
        layer_names={name: words for name, words in LAYER_NAMES.items() if name in names},
        encoded=_encode(layers) if layers else {},
        data=_page_data(run, layers, rows, said.volume_ml),
        pictures=_draw_findings(content),
        preparation=draw_preparation(layers) if layers and "scan" in arrays else None,
        healthy=_healthy(run, layers),
        slider=SLIDER,
        overview=content.overview and to_jpeg(content.overview),
        is_exact=layers is None or layers.is_exact,
        left_out=content.left_out,
        command=command_of(run),
    )


def _cut_of(run: Mapping[str, Any]) -> dict[str, float]:
    """Return how the mask was cut, as far as `run.json` tells."""
    min_mm3 = run.get("config", {}).get("anomaly", {}).get("min_lesion_mm3", 0.0)
    threshold = float(run.get("threshold", 0.0))
    return {"threshold": threshold, "min_mm3": float(min_mm3), "grow_share": grow_share_of(run)}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates: all text is escaped, a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("anatomaly.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["script"] = load_script
    environment.filters["ml"] = say_ml
    environment.filters["jpeg"] = data_uri
    environment.globals["style"] = lambda name: Markup((ASSETS / name).read_text("utf-8"))
    return environment


def load_script(name: str) -> Markup:
    """Return a script of ours, made unable to close the tag that it stands in."""
    text = (ASSETS / name).read_text("utf-8")
    return Markup(text.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def data_uri(jpeg: bytes) -> str:
    """Return a picture as the text that an `img` shows without fetching anything."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _draw_findings(content: PageContent) -> list[bytes]:
    """Return a picture of each of the largest findings; the middle of the brain without one."""
    layers = content.layers
    if layers is None or not {"scan", "anomaly_map"} <= set(layers.arrays):
        return []
    by_hand = layers.arrays.get("hand_mask")
    mask = cut_mask(layers, **_cut_of(content.run)) if by_hand is None else by_hand > 0
    spots: list[Point | None] = [spot.mm for spot in content.spots[:SHOWN_FINDINGS]]
    spots = spots or [None]
    return [draw_finding(layers, mask, spot, stacked=len(spots) > 1) for spot in spots]


def _rows(content: PageContent) -> list[dict[str, Any]]:
    """Return the lines of the table, each with the spot that a click moves to."""
    rows = content.lesions or ()
    spots = content.spots
    if len(spots) != len(rows):
        spots = [Spot(_centre(row)) for row in rows]
    return [{**row, "spot": spot} for row, spot in zip(rows, spots, strict=True)]


def _centre(row: Row) -> Point:
    """Return the centre that the table gives."""
    x, y, z = (float(row[f"{axis}_scanner_mm"]) for axis in "xyz")
    return x, y, z


def _encode(layers: Layers) -> dict[str, str]:
    """Return every layer as base64 of a compressed NIfTI file."""
    return {name: encode_layer(array, layers.affine) for name, array in layers.arrays.items()}


def _healthy(run: Mapping[str, Any], layers: Layers | None) -> dict[str, Any] | None:
    """Return what stands beside the slider of healthy brains; None where nothing is known."""
    if layers is None or healthy_volume_of(run) is None:
        return None
    default = float(run["healthy_ml"].get("default", run.get("threshold", 0.0)))
    step = steps_up_to(default, layers.map_step)
    return {
        "sentence": say_false_findings(false_ml_of(run)),
        "origin": say_origin(run),
        "default": default,
        "step": step if SLIDER[0] <= step <= SLIDER[1] else None,
    }


def _page_data(
    run: Mapping[str, Any],
    layers: Layers | None,
    rows: Sequence[Mapping[str, Any]],
    volume_ml: float,
) -> dict[str, Any]:
    """Return what the viewer's script needs to know."""
    spots: list[Spot] = [row["spot"] for row in rows]
    healthy = healthy_volume_of(run)
    return {
        **_cut_of(run),
        "map_step": layers.map_step if layers else 1.0,
        "voxel_mm3": round(layers.voxel_mm3, 5) if layers else 1.0,
        "is_exact": layers is None or layers.is_exact,
        "polarity": str(run.get("polarity", "both")),
        "volume_ml": round(volume_ml, 4),
        "healthy": healthy and healthy.to_json(),
        "spots": [spot.mm for spot in spots],
        "at_rim": [spot.is_at_rim for spot in spots],
    }
