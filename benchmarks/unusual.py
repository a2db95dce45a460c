"""Words against the image, and what is no adult's structural scan: errors both ways.

    ANATOMALY_DATA=/path/to/data python benchmarks/unusual.py [--heads 20] [--people 6] [--cache F]

Prepares every real scan, and imitations of echo-planar images and infants drawn from healthy
heads, through the whole chain; paints contrast agent into prepared heads; draws every sequence
from prepared T1w heads. `--cache` keeps what was prepared for the next run.
Writes benchmarks/results/unusual.{csv,md}.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import nibabel as nib
import numpy as np
from environment import (
    ROOT,
    data_folder,
    describe_run,
    healthy_heads,
    write_csv,
    write_page,
)
from unusual_imitations import Person, draw_echo_planar, draw_infant, paint_veins

from anatomaly.config import PreprocessConfig
from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.result_page import commit_of, markdown_table
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.preprocess.appearance import is_bare, measure_appearance
from anatomaly.preprocess.chain import prepare
from anatomaly.preprocess.coarse_head import CoarseHead, place_coarse_head
from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.sequence import SURE, guess_sequence
from anatomaly.preprocess.unusual import find_doubts
from anatomaly.scan.read import read_scan
from anatomaly.training.synthesis.contrast import _TISSUE_RANGES as RANGES
from anatomaly.types import SEQUENCES, BoolArray, FloatArray, MrSequence
from anatomaly.volume import Scan, Volume

SEED = 20261128
AGES = (23.0, 20.0, 14.0, 9.0, 4.0)
Made = TypeVar("Made")
FIGURES = ("brain_ml", "cover_signal", "cover_mm", "girth_mm", "vein_brightness", "bright_ml")


@dataclass(frozen=True)
class Seen:
    """A prepared scan."""

    head: CoarseHead
    image: Volume
    brain_mask: Volume
    finest_mm: float
    bare: bool


def main() -> None:
    """Prepare, measure and write the two result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=20, help="healthy heads of the validation")
    parser.add_argument("--more", type=int, default=14, help="healthy heads of the training")
    parser.add_argument("--people", type=int, default=6, help="of whom imitations are drawn")
    parser.add_argument("--draws", type=int, default=20, help="drawn scans of each sequence")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    rows, heads = [], []
    for group, name, path, sequence in ordinary_scans(options.heads, options.more):
        seen = _kept(options.cache, name, look_at_file, path)
        if seen is not None:
            rows.append(measure(group, name, seen, sequence))
            if group == "healthy head, T1w" and "validation" in path.parts:
                heads.append((path, seen))
            print(rows[-1], flush=True)
    for number, (path, seen) in enumerate(heads[: options.people]):
        for group, name, sequence, drawn in imitations(path, seen, number):
            found = _kept(options.cache, name, look_at_drawing, drawn)
            if found is not None:
                rows.append(measure(group, name, found, sequence))
                print(rows[-1], flush=True)
        rows += list(with_veins(path, seen))
    sequences = drawn_sequences([seen for _, seen in heads[:10]], options.draws)
    write(rows, sequences, options)


def ordinary_scans(count: int, more: int) -> Iterator[tuple[str, str, Path, MrSequence]]:
    """Yield group, name, path and true sequence of every real scan that needs no force."""
    data = data_folder()
    train = sorted((data / "ixi_t1_2mm" / "train").glob("*_T1w.nii.gz"))
    for path in healthy_heads(count) + (train[::3] + train[1::3] + train[2::3])[:more]:
        yield "healthy head, T1w", path.name.split("_")[0], path, "T1w"
    folders = ("raw_heads", "healthy", "cases", "odd_real")
    for path in sorted(p for folder in folders for p in (data / folder).rglob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        known = [s for s in SEQUENCES if name in (s, s.lower())]
        where = "_".join(path.relative_to(data).parent.parts)
        if known:
            yield "other real scan", f"{where}_{name}", path, known[0]
        elif name == "T1ce":
            yield "real, contrast agent", f"{where}_{name}", path, "T1w"


def look_at_file(path: Path) -> Seen | None:
    """Read and prepare a scan; some cases need the mask beside them: their background is not 0."""
    masks = (folder / "brain_mask.nii.gz" for folder in path.parents[:2])
    return look(read_scan(path), next((mask for mask in masks if mask.exists()), None))


def look_at_drawing(draw: Callable[[], Volume]) -> Seen | None:
    """Draw and prepare an imitation."""
    return look(Scan(draw(), "drawn"))


def look(scan: Scan, brain_mask: Path | None = None) -> Seen | None:
    """Prepare a scan as `detect` would, and lay its head onto the coarse grid."""
    try:
        found = prepare(scan, PreprocessConfig(force=True, brain_mask=brain_mask))
    except AnatomalyError as error:
        print(f"{scan.name}: left out: {error}", flush=True)
        return None
    volume, _ = reorient(scan.volume)
    trace, corrected = found.trace, volume
    if trace.bias_field is not None:
        offset = np.float32(trace.bias_field.offset)
        data = (volume.data - offset) / trace.bias_field.field.data + offset
        corrected = volume.with_data(data)
    affine = trace.registration.scanner_to_template
    image, mask = (
        Volume(data, TEMPLATE_AFFINE) for data in (found.image.image, found.image.brain_mask)
    )
    head = place_coarse_head(corrected, mask, affine)
    bare = trace.extraction.already_stripped or is_bare(volume, trace.brain_mask_ras)
    return Seen(head, image, mask, min(volume.spacing_mm), bare)


def measure(group: str, name: str, seen: Seen, sequence: MrSequence) -> dict[str, Any]:
    """Return the row of one scan; its doubts are those under its true sequence."""
    start = time.process_time()
    appearance = measure_appearance(seen.head, seen.finest_mm, bare=seen.bare)
    seconds = time.process_time() - start
    guess, confidence = guess_sequence(seen.image, seen.brain_mask)
    doubts = find_doubts(appearance, sequence)
    figures = appearance.figures()
    return {
        "group": group,
        "scan": name,
        "sequence": sequence,
        "guess": guess,
        "confidence": round(confidence, 2),
        "finest_mm": round(seen.finest_mm, 2),
        **{figure: figures.get(figure, "") for figure in FIGURES},
        "doubts": "; ".join(doubt.kind for doubt in doubts),
        "refused": any(doubt.is_great for doubt in doubts),
        "cpu s": round(seconds, 2),
    }


def imitations(
    path: Path, seen: Seen, number: int
) -> Iterator[tuple[str, str, MrSequence, Callable[[], Volume]]]:
    """Yield group, name, sequence and maker of the imitations drawn from one person."""
    labels = path.with_name(path.name.replace("_T1w", "_dlmuse"))
    files: list[Any] = [nib.load(path), nib.load(labels)]
    t1w, parcels = map(nib.as_closest_canonical, files)
    volume = Volume(t1w.get_fdata(dtype=np.float32), t1w.affine)
    person = Person(volume, np.asarray(parcels.dataobj), seen.head.scanner_to_template)
    name, months = path.name.split("_")[0], AGES[number % len(AGES)]
    for bare in (False, True) if number % 2 == 0 else (False,):
        suffix, short = (", stripped", "s") if bare else ("", "")
        epi = partial(draw_echo_planar, person, np.random.default_rng(number), bare)
        infant = partial(draw_infant, person, months, np.random.default_rng(number), bare)
        yield f"echo-planar{suffix}", f"epi{short}_{name}", "T2w", epi
        yield f"infant of {months:.0f} months{suffix}", f"infant{short}_{name}", "T1w", infant


def with_veins(path: Path, seen: Seen) -> Iterator[dict[str, Any]]:
    """Yield the rows of one healthy head with enhanced veins, whole and without its skull."""
    for times in (1.3, 1.6, 2.0):
        painted = paint_veins(seen.head, times)
        changed = Seen(painted, seen.image, seen.brain_mask, seen.finest_mm, seen.bare)
        yield measure(f"veins {times} x white matter", path.name.split("_")[0], changed, "T1w")


def drawn_sequences(heads: list[Seen], count: int) -> list[tuple[MrSequence, MrSequence, float]]:
    """Draw each sequence `count` times and return (true, guess, confidence) of each.

    CSF, grey and white matter U in the ranges of the generator of training images (FLAIR: white at
    least .04 below grey), put through a tone curve; an ellipsoid lesion of U(0, 150) mL
    somewhere in half of them, bright in T2w and FLAIR and dark in T1w; slices of 3 to 6 mm in a
    third; noise U(.01, .06).
    """
    rng, found = np.random.default_rng(SEED), []
    for number in range(count):
        seen = heads[number % len(heads)]
        for sequence in SEQUENCES:
            drawn = _draw(seen, sequence, rng)
            guess, confidence = guess_sequence(drawn, seen.brain_mask)
            found.append((sequence, guess, confidence))
    return found


def _draw(seen: Seen, sequence: MrSequence, rng: np.random.Generator) -> Volume:
    """Draw one scan of a sequence from a prepared T1w image."""
    mask = seen.brain_mask.data
    csf, grey, white = (rng.uniform(*one) for one in RANGES[sequence])
    white = min(white, grey - 0.04) if sequence == "FLAIR" else white
    source = seen.image.data[mask]
    knots = np.percentile(source, (8, 42, 85))  # about CSF, grey and white matter
    image = np.zeros(mask.shape, dtype=np.float32)
    image[mask] = np.interp(source, knots, (csf, grey, white))
    if rng.random() < 0.5:
        image[_ellipsoid(mask, rng)] = 0.3 if sequence == "T1w" else 0.95
    if rng.random() < 0.33:
        step = int(rng.integers(3, 7))
        starts = np.arange(0, mask.shape[2], step)
        sizes = np.diff([*starts, mask.shape[2]])
        image = np.repeat(np.add.reduceat(image, starts, axis=2) / sizes, sizes, axis=2)
    image[mask] += rng.normal(0, rng.uniform(0.01, 0.06), int(mask.sum()))
    low, high = np.percentile(image[mask], (0.5, 99.5))
    out = np.where(mask, np.clip(HIGH_VALUE * (image - low) / (high - low), 0, 1), 0)
    return seen.image.with_data(out.astype(np.float32))


def _ellipsoid(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Draw an ellipsoid of up to 150 mL around a voxel of the brain, cut to it."""
    inside = np.argwhere(mask[::4, ::4, ::4]) * 4
    centre = inside[rng.integers(len(inside))]
    half: FloatArray = (rng.uniform(0, 150e3) * 0.2387) ** (1 / 3) * rng.uniform(0.7, 1.4, 3) + 1
    axes = np.ogrid[tuple(slice(n) for n in mask.shape)]
    apart = sum(((a - c) / h) ** 2 for a, c, h in zip(axes, centre, half, strict=True))
    return np.asarray((apart <= 1) & mask)


def write(
    rows: list[dict[str, Any]],
    sequences: list[tuple[MrSequence, MrSequence, float]],
    options: argparse.Namespace,
) -> None:
    """Write every row as CSV, and the summary."""
    write_csv("unusual", rows)
    counts = (f"--{name} {vars(options)[name]}" for name in ("heads", "more", "people", "draws"))
    command = f"python benchmarks/unusual.py {' '.join(counts)}"
    lines = [
        "# Words against the image, and what is no adult's structural scan",
        "",
        describe_run(command, SEED),
        f"Commit {commit_of(ROOT)}.",
        "",
        "## What is told",
        "",
        *_table_of_groups(rows),
        "",
        "Ranges: smallest to largest of what could be measured.",
        "",
        "## Words and image",
        "",
        *_table_of_words(rows, sequences),
        "",
        f"'Sure' is a confidence of {SURE} or more: then the image overrules a name. 'Right name "
        "lost': the guess is wrong and sure. 'Wrong name kept': the guess is right and not sure.",
        "",
        "Every scan: `unusual.csv`.",
    ]
    write_page("unusual", lines)


def _table_of_groups(rows: list[dict[str, Any]]) -> list[str]:
    """Return one line a group: how many are told and refused, and the ranges."""
    table = []
    for group in dict.fromkeys(row["group"] for row in rows):
        those = [row for row in rows if row["group"] == group]
        counts = [sum(bool(row[key]) for row in those) for key in ("doubts", "refused")]
        ranges = []
        for figure in FIGURES:
            values = [float(row[figure]) for row in those if row[figure] != ""]
            ranges.append(f"{min(values):.4g} to {max(values):.4g}" if values else "")
        table.append([group, len(those), *counts, *ranges])
    return markdown_table(("group", "scans", "told", "refused", *FIGURES), table)


def _table_of_words(
    rows: list[dict[str, Any]], sequences: list[tuple[MrSequence, MrSequence, float]]
) -> list[str]:
    """Return one line a source and sequence: how often the guess errs, and what follows."""
    real = [
        (row["sequence"], row["guess"], row["confidence"])
        for row in rows
        if row["group"] in ("healthy head, T1w", "other real scan", "real, contrast agent")
    ]
    table = []
    for source, cases in (("real", real), ("drawn", sequences)):
        for sequence in SEQUENCES:
            those = [(guess, sure) for true, guess, sure in cases if true == sequence]
            wrong = [sure for guess, sure in those if guess != sequence]
            right = [sure for guess, sure in those if guess == sequence]
            lost, kept = sum(s >= SURE for s in wrong), sum(s < SURE for s in right)
            table.append([source, sequence, len(those), len(wrong), lost, kept])
    columns = ("scans", "sequence", "number", "wrong guess", "right name lost", "wrong name kept")
    return markdown_table(columns, table, "llr")


def _kept(
    cache: Path | None, name: str, make: Callable[[Made], Seen | None], source: Made
) -> Seen | None:
    """Return what is kept under a name, else make it of its source and keep it."""
    if cache is None:
        return make(source)
    file = cache / f"{name}.pickle"
    if file.exists():
        return cast(Seen, pickle.loads(file.read_bytes()))
    seen = make(source)
    if seen is not None:
        file.write_bytes(pickle.dumps(seen))
    return seen


if __name__ == "__main__":
    main()
