"""What becomes of a large lesion and of a coil's field: ways to correct the bias field, compared.

    ANATOMALY_DATA=/path/to/data python benchmarks/bias_field.py [--run runs/first]

Fields of real coils (what N4 with four levels finds in healthy T1w heads that training never saw,
blurred by 4 mm) are put on the drawn scans with lesions of `benchmarks/validation.py`. Measured is
the logarithm of the field that each way finds against the one that was put on: its spread over
healthy brain, its mean inside lesions above 5 mL (what is lost of their contrast, or added), and in
FLAIR the average precision of the corrected brightness itself. Then the same heads go through
`detect`, corrected in each way: what it finds there is false. Writes
benchmarks/results/bias_field.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import numpy as np
from environment import ROOT, describe_run, healthy_heads, write_page
from scipy import ndimage
from validation import drawn_scans

from anatomaly.config import DetectConfig
from anatomaly.evaluation.metrics import average_precision
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.pipeline import Detector
from anatomaly.preprocess import chain
from anatomaly.preprocess.bias_field import (
    BiasField,
    correct_bias_field,
    mirror_bias_field,
    undo_bias_field,
)
from anatomaly.preprocess.resample import resample_to_template
from anatomaly.scan.read import read_scan
from anatomaly.training.validation import VALIDATION_SEED, ValidationScan
from anatomaly.types import SEQUENCES, Affine, FloatArray
from anatomaly.volume import Volume

Corrected = tuple[Volume, BiasField]
Way = Callable[[Volume, Volume, Affine], Corrected]
LARGE_VOXELS = 5000


def _levels(levels: int) -> Way:
    return lambda scan, mask, _: correct_bias_field(scan, mask, levels)


def _both_hemispheres(scan: Volume, mask: Volume, affine: Affine) -> Corrected:
    return mirror_bias_field(*correct_bias_field(scan, mask), mask, affine)


WAYS: dict[str, Way] = {
    "2 levels": _levels(2),
    "3 levels": _levels(3),
    "4 levels (N4's usual)": _levels(4),
    "both hemispheres (ours)": _both_hemispheres,
}


def measure(scan: ValidationScan, log_field: FloatArray, way: Way) -> tuple[float, float, float]:
    """Correct one scan; spread outside and mean inside the lesion, AP; NaN where there is none."""
    image, brain = scan.prepared.image, scan.prepared.brain_mask
    lesion = scan.lesion & brain
    lit = ((image + 0.1 * brain) * np.exp(log_field)).astype(np.float32)
    volume, mask = (Volume(data, TEMPLATE_AFFINE.copy()) for data in (lit, brain))
    error = np.log(way(volume, mask, np.eye(4))[1].field.data) - log_field
    healthy = brain & ~lesion
    error -= np.median(error[healthy])
    inside = abs(float(error[lesion].mean())) if lesion.sum() > LARGE_VOXELS else np.nan
    flat = (image * np.exp(-error)).astype(np.float32)
    ap = average_precision(flat, lesion, brain) if scan.prepared.sequence == "FLAIR" else np.nan
    return float(error[healthy].std()), inside, ap


def correct_in(way: Way) -> AbstractContextManager[object]:
    """Let the preparation correct the bias field in one way."""

    def correct(seen: Volume, record: BiasField, mask: Volume, affine: Affine) -> Corrected:
        return way(undo_bias_field(seen, record), mask, affine)

    return mock.patch.object(chain, "mirror_bias_field", correct)


def coil_fields(paths: list[Path]) -> list[FloatArray]:
    """Return the logarithm of the field of each head, on the working grid."""
    fields = []
    for path in paths:
        with correct_in(_levels(4)):
            trace = chain.prepare(read_scan(path), sequence="T1w").trace
        assert trace.bias_field is not None
        affine = trace.registration.scanner_to_template
        laid = resample_to_template(trace.bias_field.field, affine).data
        fields.append(ndimage.gaussian_filter(np.log(np.maximum(laid, 0.05)), 4))
    return fields


def false_volume(detector: Detector, path: Path, way: Way) -> float:
    """Return what is found in a healthy head, mL."""
    with correct_in(way):
        mask = detector.detect(path).anomaly_mask
    return float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000


def mean_of_known(values: Iterable[float]) -> str:
    """Return the mean of what is not NaN, three decimals."""
    known = [value for value in values if not np.isnan(value)]
    return f"{np.mean(known):.3f}" if known else "–"


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=14, help="drawn scans a sequence")
    parser.add_argument("--heads", type=int, default=4, help="healthy heads for the second table")
    arguments = parser.parse_args()
    fields = coil_fields(healthy_heads(arguments.count))
    errors = []
    for sequence in SEQUENCES:
        figures = defaultdict(list)
        scans = drawn_scans(arguments.run / "cache", sequence, {"lesion": arguments.count})
        for scan, log_field in zip(scans["lesion"], fields, strict=False):
            centred = log_field - log_field[scan.prepared.brain_mask].mean()
            for name, way in WAYS.items():
                figures[name].append(measure(scan, centred, way))
        for name, rows in figures.items():
            errors.append([sequence, name, *map(mean_of_known, zip(*rows, strict=True))])
            print(*markdown_table(errors[-1], [])[:1], flush=True)
    detector = Detector(DetectConfig(sequence="T1w"))
    heads = healthy_heads(arguments.heads)
    names, false = [path.name.split("_")[0] for path in heads], []
    for name, way in WAYS.items():
        false.append([name, *(f"{false_volume(detector, path, way):.2f}" for path in heads)])
        print(*markdown_table(false[-1], [])[:1], flush=True)
    lines = [
        "# How the bias field is corrected",
        "",
        f"Fields of {len(fields)} real heads on {arguments.count} drawn scans with a lesion, a",
        "sequence. `outside`: spread of the error of the field's logarithm over healthy brain;",
        f"`inside`: its mean in lesions above {LARGE_VOXELS / 1000:g} mL, without sign; `AP`: of",
        "the corrected brightness in FLAIR.",
        "",
        *markdown_table(("sequence", "corrected by", "outside", "inside", "AP"), errors, "llr"),
        "",
        "Found in healthy T1w heads at the default threshold, mL, all of it false:",
        "",
        *markdown_table(("corrected by", *names), false),
        "",
        describe_run("python benchmarks/bias_field.py", VALIDATION_SEED),
    ]
    write_page("bias_field", lines)


if __name__ == "__main__":
    main()
