"""A gallery of best, middle and worst: for whoever has the scans; ours are not shown to others.

    ANATOMALY_DATA=/path/to/data python benchmarks/gallery.py [--results FOLDER] [--output FOLDER]
    python benchmarks/gallery.py --phantoms

The first draws the real cases and 20 healthy heads into `runs/gallery` (pictures of patients: do
not commit them) and writes their figures into benchmarks/results/gallery.md. The second does the
same with nine generated phantoms, whose pictures go to docs/images. Results of `anatomaly detect`
that lie in FOLDER as PATIENT_SEQUENCE are used; the others are computed and kept there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from environment import (
    ROOT,
    data_folder,
    describe_run,
    healthy_heads,
    write_page,
)
from gallery_pictures import draw_case, read_volumes

from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.cases import Case, list_cases
from anatomaly.evaluation.labels import read_label, read_voxels
from anatomaly.evaluation.metrics import dice
from anatomaly.evaluation.metrics_lesionwise import match_lesions
from anatomaly.evaluation.phantom import make_phantom
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.reopen import read_run
from anatomaly.scan.read import read_scan
from anatomaly.types import SEQUENCES
from anatomaly.weights import find_weights
from anatomaly.weights_card import WeightsCard, read_card

OUTPUTS = {"anomaly_map", "anomaly_mask", "pseudo_healthy", "brain_mask", "lesions"}
HEALTHY_HEADS = 20
PHANTOM_SEED = 100
PHANTOM_ML = (0.3, 2.0, 10.0)
"""Volumes of the planted lesions: one a sequence and volume, nine phantoms in all."""

COLUMNS = (
    "set", "case", "place", "dice", "lesion mL", "found mL", "wrong mL", "missed mL",
    "lesions found", "wrong pieces",
)  # fmt: skip


class Figures(NamedTuple):
    """How one case came out.

    Attributes:
        case: of which.
        dice: nan for a healthy person.
        lesion_ml: of the truth.
        found_ml: of the mask.
        wrong_ml: found where no lesion is.
        missed_ml: lesion that is not in the mask.
        lesions: how many there are.
        detected: how many of them were found (a tenth of their voxels).
        wrong_pieces: pieces of the mask of which less than a tenth is lesion.
    """

    case: Case
    dice: float
    lesion_ml: float
    found_ml: float
    wrong_ml: float
    missed_ml: float
    lesions: int
    detected: int
    wrong_pieces: int

    @property
    def rank(self) -> tuple[float, float]:
        """The lowest is the best of its set: by Dice, then by what was found where nothing is."""
        return 0.0 if np.isnan(self.dice) else -self.dice, self.wrong_ml

    @property
    def set_name(self) -> str:
        """Cases that are compared."""
        return f"{self.case.sequence}, {self.case.disease or 'healthy'}"


def main() -> None:
    """Detect where there is no result yet, measure, draw, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", action="store_true", help="generated phantoms instead")
    parser.add_argument("--results", type=Path, default=ROOT / "runs" / "gallery" / "results")
    parser.add_argument("--output", type=Path, help="for the pictures")
    options = parser.parse_args()
    kind = "gallery_phantoms" if options.phantoms else "gallery"
    usual_output = ROOT / "docs" / "images" if options.phantoms else ROOT / "runs" / kind
    output = options.output or usual_output
    cases = make_phantoms(options.results) if options.phantoms else real_cases()
    card = read_card(find_weights("default"))
    find_result = Finder(options.results, card)
    measured = []
    for case in cases:
        try:
            measured.append(measure(case, find_result(case)))
        except AnatomalyError as error:
            print(f"{name_of(case)}: left out: {type(error).__name__}: {error}", flush=True)
            continue
        print(*row_of(measured[-1], ""), sep=" | ", flush=True)
    places = choose_places(measured, by_set=not options.phantoms)
    for figures, place in places.items():
        file = place if options.phantoms else f"{figures.set_name.replace(', ', '_')}_{place}"
        draw(output / f"gallery_{file}.png", figures, find_result(figures.case), place)
    write_page(kind, page_of(measured, places, card, options.phantoms))


def real_cases() -> list[Case]:
    """Return the real cases and the healthy heads that training never saw."""
    healthy = [
        Case(head.name.split("_")[0], "", "T1w", head, None, "healthy person")
        for head in healthy_heads(HEALTHY_HEADS)
    ]
    return [*list_cases(data_folder() / "cases"), *healthy]


def make_phantoms(folder: Path) -> list[Case]:
    """Build the phantoms that are not in the folder yet; the same voxels on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for number, volume_ml in enumerate(PHANTOM_ML):
        for sequence in SEQUENCES:
            patient = f"phantom_{volume_ml}mL"
            scan = folder / f"{patient}_{sequence}.nii.gz"
            label = folder / f"{patient}_{sequence}_planted.nii.gz"
            if not label.is_file():
                phantom = make_phantom(sequence, PHANTOM_SEED + number, lesion_ml=volume_ml)
                affine = phantom.scan.affine
                nib.save(nib.Nifti1Image(phantom.scan.data, affine), scan)
                nib.save(nib.Nifti1Image(phantom.lesion_mask.data.astype(np.uint8), affine), label)
            cases.append(Case(patient, "planted", sequence, scan, label, "planted"))
    return cases


class Finder:
    """Finds the result folder of a case; computes it with the default weights if there is none.

    Args:
        folder: of all results.
        card: of the weights; results of other weights are computed again.
    """

    def __init__(self, folder: Path, card: WeightsCard) -> None:
        self.folder, self.card = folder, card
        self._detector: Detector | None = None

    def __call__(self, case: Case) -> Path:
        """Return the folder.

        Raises:
            AnatomalyError: the scan cannot be used.
        """
        folder = self.folder / name_of(case)
        if (folder / "run.json").is_file():
            weights = read_run(folder)["weights"]
            if weights["scorer_sha256"] == self.card.scorer_sha256:
                return folder
        self._detector = self._detector or Detector()
        scan = read_scan(case.scan)
        prepared = prepare(scan, self._detector.config.preprocess, case.sequence)
        return self._detector.detect_prepared(scan, prepared).save(folder, OUTPUTS)


def name_of(case: Case) -> str:
    """Return the name of the result folder."""
    return f"{case.patient}_{case.sequence}"


def measure(case: Case, result: Path) -> Figures:
    """Compare the mask with the label; what the label leaves open counts nowhere."""
    truth = read_label(case)
    found = (read_voxels(result / "anomaly_mask.nii.gz") > 0) & ~truth.open
    label, voxel_mm3 = truth.lesion.data, truth.lesion.voxel_volume_mm3
    matched = match_lesions(found, label, voxel_mm3)
    volumes = (label, found, found & ~label, label & ~found)
    lesion_ml, found_ml, wrong_ml, missed_ml = (float(v.sum()) * voxel_mm3 / 1000 for v in volumes)
    return Figures(
        case,
        dice(found, label) if label.any() else float("nan"),
        lesion_ml,
        found_ml,
        wrong_ml,
        missed_ml,
        len(matched.detected),
        sum(matched.detected),
        len(matched.correct) - sum(matched.correct),
    )


def choose_places(measured: Iterable[Figures], *, by_set: bool) -> dict[Figures, str]:
    """Return best, median and worst of each set, or of all; two cases have no median."""
    sets: dict[str, list[Figures]] = defaultdict(list)
    for figures in measured:
        sets[figures.set_name if by_set else ""].append(figures)
    places = {}
    for members in sets.values():
        ranked = sorted(members, key=lambda figures: figures.rank)
        if len(ranked) > 2:
            places[ranked[len(ranked) // 2]] = "median"
        places[ranked[-1]] = "worst"
        places[ranked[0]] = "best"
    return places


def draw(path: Path, figures: Figures, result: Path, place: str) -> None:
    """Draw one case."""
    case = figures.case
    volumes = read_volumes(case.scan, result, read_label(case).lesion.data)
    score = "" if np.isnan(figures.dice) else f"Dice {figures.dice:.2f}, "
    title = f"{place}: {case.sequence} {case.patient}, {score}lesion {figures.lesion_ml:.1f} mL, "
    title += f"found {figures.found_ml:.1f} mL, wrong {figures.wrong_ml:.1f} mL"
    draw_case(path, volumes, title, float(read_run(result)["threshold"]))


def row_of(figures: Figures, place: str) -> tuple[str, ...]:
    """Return the cells of `COLUMNS`."""
    volumes = (figures.lesion_ml, figures.found_ml, figures.wrong_ml, figures.missed_ml)
    return (
        figures.set_name,
        figures.case.patient,
        place,
        "" if np.isnan(figures.dice) else f"{figures.dice:.3f}",
        *(f"{volume:.2f}" for volume in volumes),
        f"{figures.detected} of {figures.lesions}" if figures.lesions else "",
        str(figures.wrong_pieces),
    )


def page_of(
    measured: list[Figures], places: dict[Figures, str], card: WeightsCard, phantoms: bool
) -> list[str]:
    """Return the lines of the page: one for each case, best first in each set."""
    ranked = sorted(measured, key=lambda figures: figures.rank)
    if not phantoms:
        ranked.sort(key=lambda figures: figures.set_name)
    rows = [row_of(figures, places.get(figures, "")) for figures in ranked]
    command = "python benchmarks/gallery.py" + (" --phantoms" if phantoms else "")
    return [
        "# Gallery: phantoms" if phantoms else "# Gallery: real cases and healthy heads",
        "",
        "Masks at the thresholds of the weights. `wrong` was found where no lesion is, `missed` is",
        "lesion that is not in the mask; a lesion counts as found where a tenth of it is in the",
        "mask, a piece as wrong where less than a tenth of it is lesion. Ranked by Dice, then by",
        "what is wrong.",
        "",
        *markdown_table(COLUMNS, rows, "lllr"),
        "",
        describe_run(command, PHANTOM_SEED if phantoms else None, card),
    ]


if __name__ == "__main__":
    main()
