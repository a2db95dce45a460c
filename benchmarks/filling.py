"""What filling lesions is worth to a segmentation: planted lesions, before and after.

    ANATOMALY_DATA=/path/to/data python benchmarks/filling.py [--heads 10]

Lesions of four sizes are planted into T1w heads of healthy people, in the scan's own space and
units. Four versions of each head are segmented: as it was, with the lesions, filled inside the mask
that `anatomaly detect` finds, and filled inside the true mask (as from a person who draws). Both
our own tissue map and an independent program (the Markov random field of dipy, which sees the
image alone) are compared with their own segmentation of the head as it was: share of voxels with
another tissue, within 5 mm of a lesion, by size; and grey matter of the whole brain. Writes
results/filling.json and .md.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from environment import RESULTS, describe_run, healthy_heads, write_page
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.config import DetectConfig
from anatomaly.evaluation.controls.plant import (
    CONTRASTS,
    PLACES,
    Planned,
    find_places,
    plant_at_places,
)
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.fill import fill_lesions
from anatomaly.native import pseudo_healthy_to_native, to_native
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan
from anatomaly.score import score_prepared
from anatomaly.types import BoolArray
from anatomaly.volume import Volume

SEED = 20_261
SIZES_ML = (10.0, 3.0, 1.0, 0.3)
NEAR_MM = 5.0
VERSIONS = ("with lesions", "filled, found mask", "filled, true mask")
GREY = 2
Tissue = NDArray[np.integer[Any]]


class Head(NamedTuple):
    """A head as it was, with lesions, and where those are (0, or the number of the lesion)."""

    name: str
    healthy: Volume
    ill: Volume
    lesions: NDArray[np.uint8]
    sizes_ml: list[float]
    contrast: str
    tissue: Tissue
    brain: BoolArray


def make_head(path: Path, number: int, detector: Detector) -> Head:
    """Plant lesions into a head, in its own space; their contrast goes round."""
    scan = read_scan(path)
    prepared = prepare(scan)
    detection = detector.detect_prepared(scan, prepared)
    contrast = list(CONTRASTS)[number % len(CONTRASTS)]
    plans = [
        Planned(size, CONTRASTS[contrast], PLACES[(number + n) % len(PLACES)])
        for n, size in enumerate(SIZES_ML)
    ]
    rebuilt = score_prepared(detector.networks, prepared.image, detector.methods["T1w"]).rebuilt
    rng = np.random.default_rng((SEED, number))
    places = find_places(rebuilt.tissue_map, prepared.image.brain_mask)
    planted, lesions = plant_at_places(prepared.image, rebuilt.tissue_map, places, plans, rng)
    numbered = np.zeros(planted.image.shape, np.uint8)
    for n, lesion in enumerate(lesions, 1):
        numbered.flat[lesion.core] = n
    before, after = (
        pseudo_healthy_to_native(image.image, prepared.trace, scan).data
        for image in (prepared.image, planted)
    )
    return Head(
        name=path.name.split("_")[0],
        healthy=scan.volume,
        ill=scan.volume.with_data((scan.volume.data + after - before).astype(np.float32)),
        lesions=to_native(numbered, prepared.trace, order=0).data,
        sizes_ml=[lesion.plan.size_ml for lesion in lesions],
        contrast=contrast,
        tissue=detection.tissue_map.data,
        brain=detection.brain_mask.data > 0,
    )


def versions_of(head: Head, detector: Detector) -> Iterator[tuple[str, Volume, Tissue]]:
    """Yield each version of the head that has lesions or had them, and our tissue map of it."""
    found = detector.detect(head.ill, "T1w")
    yield VERSIONS[0], head.ill, found.tissue_map.data
    truth = head.ill.with_data((head.lesions > 0).astype(np.uint8))
    for name, mask in zip(VERSIONS[1:], (found.anomaly_mask, truth), strict=True):
        filled = fill_lesions(head.ill, found.pseudo_healthy, mask, found.brain_mask).volume
        yield name, filled, detector.detect(filled, "T1w").tissue_map.data


def segment(image: Volume, brain: BoolArray) -> Tissue:
    """Return what dipy's Markov random field makes of a brain: 1 CSF, 2 grey, 3 white matter."""
    from dipy.segment.tissue import TissueClassifierHMRF

    stripped = np.where(brain, image.data, 0).astype(np.float64)
    _, classes, _ = TissueClassifierHMRF().classify(stripped, nclasses=3, beta=0.1, max_iter=20)
    return np.where(brain, np.asarray(classes), 0).astype(np.uint8)


def measure_head(head: Head, detector: Detector) -> Iterator[dict[str, Any]]:
    """Yield a row for each version, program and lesion, and one for the brain."""
    reference = {"ours": head.tissue, "dipy": segment(head.healthy, head.brain)}
    near = [
        ndimage.distance_transform_edt(head.lesions != n, sampling=head.ill.spacing_mm) <= NEAR_MM
        for n in range(1, len(head.sizes_ml) + 1)
    ]
    for version, image, ours in versions_of(head, detector):
        for program, tissue in (("ours", ours), ("dipy", segment(image, head.brain))):
            truth = reference[program]
            common = {"head": head.name, "contrast": head.contrast} | {
                "version": version,
                "program": program,
            }
            for size, place in zip(head.sizes_ml, near, strict=True):
                inside = place & head.brain
                wrong = float((tissue != truth)[inside].mean())
                yield {**common, "size_ml": size, "wrong": wrong}
            grey = (tissue[head.brain] == GREY).sum() / (truth[head.brain] == GREY).sum() - 1
            yield {**common, "size_ml": 0.0, "grey_change": float(grey)}


def as_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the tables of the page."""
    by_size: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    grey: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row["size_ml"]:
            by_size[row["program"], row["version"], row["size_ml"]].append(row["wrong"])
        else:
            grey[row["program"], row["version"]].append(abs(row["grey_change"]))
    table = []
    for program in ("ours", "dipy"):
        for version in VERSIONS:
            cells = [f"{np.mean(by_size[program, version, size]):.1%}" for size in SIZES_ML]
            change = f"{np.mean(grey[program, version]):.2%}"
            table.append([program, version, *cells, change])
    head = ["segmented by", "version", *(f"{size:g} mL" for size in SIZES_ML), "grey matter"]
    return markdown_table(head, table, "llr")


def main() -> None:
    """Plant, fill, segment, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=10)
    arguments = parser.parse_args()
    detector = Detector(DetectConfig(sequence="T1w"))
    rows: list[dict[str, Any]] = []
    for number, path in enumerate(healthy_heads(arguments.heads)):
        head = make_head(path, number, detector)
        rows += measure_head(head, detector)
        print(head.name, head.contrast, head.sizes_ml, flush=True)
    content = json.dumps(rows, indent=1) + "\n"
    (RESULTS / "filling.json").write_text(content, encoding="utf-8")
    heads = len({row["head"] for row in rows})
    lines = [
        "# What filling is worth",
        "",
        f"Lesions of four sizes, planted into T1w heads of {heads} healthy people in the scan's",
        "own space and units (contrast of 20, 40, 80 % of the white matter in turn, five kinds of",
        "place in turn). Share of voxels within 5 mm of a lesion whose tissue is another than in",
        "the head as it was, mean over the heads; last column: change of the grey matter of the",
        "whole brain, its absolute value. Each program is compared with itself. *Ours*: the",
        "tissue map of the network, each version prepared anew. *dipy*: its hidden Markov random",
        "field on intensities, one brain mask a head.",
        "",
        *as_lines(rows),
        "",
        describe_run("python benchmarks/filling.py", SEED, detector.card),
    ]
    write_page("filling", lines)


if __name__ == "__main__":
    main()
