"""How finely N4's field may bend: known fields on drawn scans, with and without lesions.

    ANATOMALY_DATA=/path/to/data python benchmarks/bias_field.py [--run runs/first]

The drawn scans of `benchmarks/validation.py` are multiplied by a field that is known: the sum of
six coils around the head and a bump in its middle, none (a third of the scans), half, or whole.
Measured is the logarithm of the field that N4 finds against the true one: its standard deviation
over healthy brain, its mean inside lesions above 5 mL (what is lost of their contrast, or added to
it), and in FLAIR the average precision of the corrected brightness itself.
Writes benchmarks/results/bias_field.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from environment import RESULTS, ROOT, describe_run
from validation import drawn_scans

from anatomaly.evaluation.metrics import average_precision
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.bias_field import LEVELS as LEVELS_OF_PACKAGE
from anatomaly.preprocess.bias_field import correct_bias_field
from anatomaly.training.validation import VALIDATION_SEED, ValidationScan
from anatomaly.types import SEQUENCES, FloatArray, Sequence
from anatomaly.volume import Volume

LEVELS = (0, 1, 2, 3, 4)
STRENGTHS = (0.0, 0.5, 1.0)
LARGE_VOXELS = 5000
COUNTS = {"lesion": 12, "healthy": 6}


def draw_log_field(rng: np.random.Generator) -> FloatArray:
    """Return the logarithm of a field on the working grid: coils around the head, and a bump."""
    sides = [np.linspace(-1, 1, n) for n in TEMPLATE_SHAPE]
    places = np.stack(np.meshgrid(*sides, indexing="ij"))
    received = np.zeros(TEMPLATE_SHAPE)
    for _ in range(6):
        coil = rng.normal(size=3)
        coil *= 1.6 / np.linalg.norm(coil)
        squared = ((places - coil.reshape(3, 1, 1, 1)) ** 2).sum(0)
        received += rng.uniform(0.5, 1.5) * np.exp(-squared / (2 * 1.3**2))
    bump = rng.uniform(-0.3, 0.3) * np.exp(-(places**2).sum(0) / (2 * 0.6**2))
    return (np.log(received) + bump).astype(np.float32)


def measure(scan: ValidationScan, log_field: FloatArray, levels: int) -> tuple[float, ...]:
    """Correct one scan; error outside and inside the lesion, AP; NaN where there is none."""
    brain, lesion = scan.brain_mask, scan.lesion & scan.brain_mask
    lit = (scan.image + 0.1 * brain) * np.exp(log_field)
    found = np.zeros(TEMPLATE_SHAPE, dtype=np.float32)
    if levels:
        volume, mask = (Volume(data, TEMPLATE_AFFINE.copy()) for data in (lit, brain))
        found = np.log(correct_bias_field(volume, mask, levels)[1].field.data)
    error = found - log_field
    healthy = brain & ~lesion
    error -= np.median(error[healthy])
    inside = float(error[lesion].mean()) if lesion.sum() > LARGE_VOXELS else np.nan
    ap = np.nan
    if scan.sequence == "FLAIR" and lesion.any():
        ap = average_precision((lit / np.exp(found)).astype(np.float32), lesion, brain)
    return float(error[healthy].std()), abs(inside), ap


def measure_sequence(run: Path, sequence: Sequence) -> dict[int, list[tuple[float, ...]]]:
    """Measure every drawn scan of a sequence at every level."""
    found = defaultdict(list)
    for scans in drawn_scans(run / "cache", sequence, COUNTS).values():
        for number, scan in enumerate(scans):
            log_field = draw_log_field(np.random.default_rng(number))
            log_field *= STRENGTHS[number % len(STRENGTHS)]
            log_field -= log_field[scan.brain_mask].mean()
            for levels in LEVELS:
                found[levels].append(measure(scan, log_field, levels))
    return found


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    arguments = parser.parse_args()
    lines = [
        "# How finely the bias field may bend",
        "",
        "Known fields on drawn scans (12 with a lesion, 6 healthy, a sequence). `outside`: spread",
        "of the error of the field's logarithm over healthy brain; `inside`: its mean in lesions",
        f"above {LARGE_VOXELS / 1000:g} mL, without its sign; `AP`: of the corrected brightness in",
        f"FLAIR. Level 0 corrects nothing; N4's usual number is 4, ours {LEVELS_OF_PACKAGE}.",
        "",
        "| sequence | levels | outside | inside | AP |",
        "|---|---:|---:|---:|---:|",
    ]
    for sequence in SEQUENCES:
        for levels, rows in measure_sequence(arguments.run, sequence).items():
            outside, inside, ap = (mean_of_known(column) for column in zip(*rows, strict=True))
            lines.append(f"| {sequence} | {levels} | {outside} | {inside} | {ap} |")
            print(lines[-1], flush=True)
    lines += ["", describe_run("python benchmarks/bias_field.py", VALIDATION_SEED), ""]
    (RESULTS / "bias_field.md").write_text("\n".join(lines), encoding="utf-8")


def mean_of_known(values: tuple[float, ...]) -> str:
    """Return the mean of what is not NaN, three decimals."""
    known = [value for value in values if not np.isnan(value)]
    return f"{np.mean(known):.3f}" if known else "–"


if __name__ == "__main__":
    main()
