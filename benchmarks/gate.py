"""The gate of the preparation as a detector of bad fits: hundreds of good and bad ones.

    ANATOMALY_DATA=/path/to/data python benchmarks/gate.py [--workers 2] [--again]

Good: every real scan at hand through brain extraction, bias field and registration; people of IXI;
brains drawn from label maps as FLAIR and T2w with flat contrast, slices of 4 to 8 mm and lesions of
10 to 250 mL; real brains turned by up to 20 degrees, cropped by up to two fifths at front, back,
top or bottom, with noise, with thick slices, with grey and white matter brought together.
Bad: right fits turned by each other rotation between axes, or shifted by 8 to 30 mm; brains
registered from a wrong rotation alone; masks shifted against their image; half heads; slabs; round
objects; bodies that are no head; noise, also in the outline of a brain.

Each input gives `refused`, `warned` or `silent`, and its measures. Seeded; rows that an earlier run
left in runs/gate.jsonl are kept unless --again. Writes benchmarks/results/gate.{json,md,png}.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from environment import RESULTS, ROOT, data_folder, describe_run
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.errors import AnatomalyError
from anatomaly.geometry import affine_about, rotations
from anatomaly.preprocess import register
from anatomaly.preprocess.bias_field import correct_bias_field
from anatomaly.preprocess.brain_extraction import extract_brain
from anatomaly.preprocess.checks import (
    doubts_about,
    doubts_about_coverage,
    doubts_about_volume,
    refusal_of,
)
from anatomaly.preprocess.coverage import find_coverage
from anatomaly.preprocess.quality import Fit, judge_fit
from anatomaly.preprocess.register import Registration, cut_out_brain, register_to_template
from anatomaly.preprocess.reorient import reorient
from anatomaly.scan.read import read_scan
from anatomaly.volume import Volume

SEED = 14
KEPT = ROOT / "runs" / "gate.jsonl"
PEOPLE = 30
BASES = (
    "cases/mslub_patient26/FLAIR", "cases/tcga_du_7294/T2w", "cases/tcga_fg_6692/FLAIR",
    "cases/brats17_a/FLAIR", "cases/tcga_du_7294/T1w", "healthy/kirby21_113/FLAIR",
    "gate/patient_a/FLAIR", "gate/patient_b/FLAIR", "cases/mslub_patient19/T2w",
    "cases/brats2013_pat0001/FLAIR",
)  # fmt: skip
"""Stripped brains from which variants are made."""

WHITE = (2, 7, 16, 28, 41, 46, 60, 77, 85, 251, 252, 253, 254, 255)
FLUID = (4, 5, 14, 15, 24, 43, 44)


@dataclass(frozen=True)
class Task:
    """One input of the benchmark; `make` is a name in `MAKERS`, `about` says of what."""

    is_good: bool
    kind: str
    make: str
    about: str
    number: int = 0

    @property
    def name(self) -> str:
        """Unique."""
        return f"{self.kind}/{self.about}/{self.number}"

    @property
    def rng(self) -> np.random.Generator:
        """Depends on the task alone, so that the order of the runs does not matter."""
        return np.random.default_rng([SEED, *self.name.encode()])


def load(name: str) -> Volume:
    """Read a scan of the data folder."""
    return reorient(read_scan(data_folder() / f"{name}.nii.gz").volume)[0]


@lru_cache(maxsize=4)
def base(name: str) -> tuple[Volume, Volume]:
    """Return a brain without bias and its mask on a small grid."""
    volume = load(name)
    mask, _ = extract_brain(volume, PreprocessConfig())
    return cut_out_brain(correct_bias_field(volume, mask)[0], mask)


@lru_cache(maxsize=4)
def right_fit(name: str) -> Registration:
    """Return the registration of a base."""
    return register_to_template(*base(name))


def verdict(fit: Fit, volume_ml: float) -> str:
    """Return what the preparation would say."""
    if refusal_of(fit) or doubts_about_volume(volume_ml, fit.missing):
        return "refused"
    if doubts_about(fit):
        return "warned"
    return "told partial" if doubts_about_coverage(fit.missing, {}) else "silent"


def run(volume: Volume, mask: Volume) -> tuple[str, Fit]:
    """Register a brain and judge it."""
    fit = register_to_template(volume, mask).fit
    return verdict(fit, float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000), fit


# --- good inputs -----------------------------------------------------------------------------


def raw(task: Task) -> tuple[str, Fit]:
    """Run a file through extraction, bias field and registration."""
    return from_volume(load(task.about))


def from_volume(volume: Volume) -> tuple[str, Fit]:
    """Run an image through extraction, bias field and registration."""
    mask, _ = extract_brain(volume, PreprocessConfig())
    return run(correct_bias_field(volume, mask)[0], mask)


def drawn(task: Task) -> tuple[str, Fit]:
    """Draw a FLAIR or T2w brain of a label map: flat contrast, a lesion, thick slices."""
    rng = task.rng
    image = nib.load(data_folder() / f"{task.about}.nii.gz")
    labels = np.asarray(image.dataobj).astype(int)
    inside = (labels > 0) & (labels < 500)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    labels, inside = labels[box], inside[box]
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in box]
    white, fluid = np.isin(labels, WHITE), np.isin(labels, FLUID)
    values = np.full(labels.shape, 0.55, dtype=np.float32)
    t2w = task.number % 2 == 1
    values[white] = 0.55 - rng.uniform(0.06, 0.15) if t2w else 0.55 - rng.uniform(-0.02, 0.06)
    values[fluid] = rng.uniform(0.8, 1.0) if t2w else rng.uniform(0.1, 0.25)
    values = ndimage.gaussian_filter(values, 0.8)
    lesion = draw_lesion(inside, float(rng.uniform(10, 250)) * 1000, rng)
    soft = ndimage.gaussian_filter(lesion.astype(np.float32), 1.5)
    values = values * (1 - soft) + soft * rng.uniform(0.8, 1.2)
    values += rng.normal(0, 0.05, values.shape)
    volume = Volume(np.where(inside, values, 0).astype(np.float32), image.affine @ shift)
    volume, mask = thicken(*reorient_both(volume, inside), float(rng.uniform(1, 8)))
    return run(*turn_both(volume, mask, rng, 15))


def varied(task: Task) -> tuple[str, Fit]:
    """Turn, crop, thicken, flatten or disturb a real brain."""
    rng = task.rng
    volume, mask = base(task.about)
    how = task.kind.split()[0]
    if how == "cropped":
        volume, mask = crop(volume, mask, task.kind.split()[1], float(rng.uniform(0.1, 0.4)))
    elif how == "thick":
        volume, mask = thicken(volume, mask, float(rng.uniform(4, 8)))
    elif how == "flat":
        volume = flatten(volume, mask, float(rng.uniform(0.3, 0.7)), rng)
    elif how == "noisy":
        spread = float(np.std(volume.data[mask.data])) * rng.uniform(0.5, 1.5)
        volume = inside_only(volume, mask, volume.data + rng.normal(0, spread, volume.shape))
    return run(*turn_both(volume, mask, rng, 20))


def draw_lesion(inside: np.ndarray, size_mm3: float, rng: np.random.Generator) -> np.ndarray:
    """Grow an irregular lesion of a given size around a random place of the brain."""
    places = np.argwhere(ndimage.binary_erosion(inside, iterations=8))
    centre = places[rng.integers(len(places))]
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(
        np.indices(inside.shape, sparse=True), centre, strict=True)))  # fmt: skip
    rough = ndimage.gaussian_filter(rng.normal(size=inside.shape), 6)
    score = np.where(inside, distance + 8 * rough / rough.std(), np.inf)
    return score <= np.partition(score.ravel(), int(size_mm3))[int(size_mm3)]


def reorient_both(volume: Volume, mask: np.ndarray) -> tuple[Volume, Volume]:
    """Bring the axes of a brain and its mask near RAS+."""
    turned = reorient(volume)[0]
    same = reorient(volume.with_data(mask.astype(np.uint8)))[0]
    return turned, turned.with_data(same.data > 0)


def inside_only(volume: Volume, mask: Volume, data: np.ndarray) -> Volume:
    """Return new intensities inside a mask, 0 outside."""
    return volume.with_data(np.where(mask.data, data, 0).astype(np.float32))


def thicken(volume: Volume, mask: Volume, thickness_mm: float) -> tuple[Volume, Volume]:
    """Average slices along the third axis to a thickness."""
    count = max(1, round(thickness_mm / float(volume.spacing_mm[2])))
    if count == 1:
        return volume, mask
    depth = volume.shape[2] // count * count
    affine = volume.affine @ np.diag([1.0, 1.0, count, 1.0])
    affine[:3, 3] += volume.affine[:3, 2] * (count - 1) / 2

    def average(data: np.ndarray) -> np.ndarray:
        return data[..., :depth].reshape(*volume.shape[:2], -1, count).mean(axis=-1)

    thick_mask = average(mask.data.astype(np.float32)) > 0.5
    thick = Volume(average(volume.data).astype(np.float32), affine)
    return inside_only(thick, thick.with_data(thick_mask), thick.data), thick.with_data(thick_mask)


def crop(volume: Volume, mask: Volume, side: str, share: float) -> tuple[Volume, Volume]:
    """Cut a share of the brain's length off at one side; the array ends there."""
    axis = {"front": 1, "back": 1, "top": 2, "bottom": 2, "left": 0, "right": 0}[side]
    places = np.argwhere(mask.data)[:, axis]
    low, high = int(places.min()), int(places.max())
    depth = round(share * (high - low))
    upper = side in ("front", "top", "right")
    part = [slice(None)] * 3
    part[axis] = slice(0, high - depth) if upper else slice(low + depth, None)
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, axis] * (0 if upper else low + depth)
    return Volume(volume.data[tuple(part)], affine), Volume(mask.data[tuple(part)], affine)


def flatten(volume: Volume, mask: Volume, share: float, rng: np.random.Generator) -> Volume:
    """Bring the middle of the histogram together by a share, and add noise."""
    values = volume.data[mask.data]
    low, middle, high = np.percentile(values, (20, 55, 90))
    near = np.clip(volume.data, low, high)
    data = volume.data - near + middle + (near - middle) * (1 - share)
    data = data + rng.normal(0, 0.05 * (high - low), data.shape)
    return inside_only(volume, mask, data)


def random_turn(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """Draw a rotation about a random axis by at most an angle."""
    axis = rng.normal(size=3)
    angle = np.radians(rng.uniform(-degrees, degrees))
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turn_both(
    volume: Volume, mask: Volume, rng: np.random.Generator, degrees: float
) -> tuple[Volume, Volume]:
    """Turn and shift a head in scanner space."""
    world = np.eye(4)
    world[:3, :3] = random_turn(rng, degrees)
    world[:3, 3] = rng.uniform(-20, 20, 3)
    return Volume(volume.data, world @ volume.affine), Volume(mask.data, world @ mask.affine)


# --- bad inputs ------------------------------------------------------------------------------


def judged(task: Task) -> tuple[str, Fit]:
    """Judge a right fit that was turned by a wrong rotation, or shifted."""
    volume, mask = base(task.about)
    fit = right_fit(task.about)
    wrong = np.eye(4)
    places = np.argwhere(mask.data) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    there = places @ fit.scanner_to_template[:3, :3].T + fit.scanner_to_template[:3, 3]
    centre, size = there.mean(axis=0), there.std(axis=0)
    if task.kind == "turned fit":
        turn = rotations()[task.number]
        turned_size = ((there - centre) @ turn.T).std(axis=0)
        wrong[:3, :3] = np.diag(size / turned_size) @ turn
        wrong[:3, 3] = centre - wrong[:3, :3] @ centre
    else:
        direction = task.rng.normal(size=3)
        wrong[:3, 3] = direction / np.linalg.norm(direction) * (8, 12, 16, 20, 30)[task.number % 5]
    found = judge_fit(volume, mask, wrong @ fit.scanner_to_template, fit.coverage)
    return verdict(found, float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000), found


def wrong_start(task: Task) -> tuple[str, Fit]:
    """Register from a wrong rotation alone, and judge what comes out."""
    volume, mask = base(task.about)
    coverage = find_coverage(volume, mask)
    target = register.load_template().brain_mask.places_mm.mean(axis=0)
    start = affine_about(rotations()[task.number], mask.places_mm.mean(axis=0), target)
    fit = register._attempt(volume, mask, coverage, start).fit
    return verdict(fit, float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000), fit


def spoiled(task: Task) -> tuple[str, Fit]:
    """Half heads, slabs, and masks that do not lie over their brain."""
    rng = task.rng
    volume, mask = base(task.about)
    if task.kind == "half head":
        return run(*crop(volume, mask, ("left", "right")[task.number % 2], 0.5))
    if task.kind == "slab":
        axis, depth = 1 + task.number % 2, int(rng.integers(20, 46) / 1.5)
        places = np.argwhere(mask.data)[:, axis]
        first = int(rng.integers(places.min(), places.max() - depth))
        part = [slice(None)] * 3
        part[axis] = slice(first, first + depth)
        affine = volume.affine.copy()
        affine[:3, 3] += volume.affine[:3, axis] * first
        return run(Volume(volume.data[tuple(part)], affine), Volume(mask.data[tuple(part)], affine))
    shift = np.zeros(3, dtype=int)
    shift[rng.integers(3)] = rng.choice((-1, 1)) * (8, 14, 20)[task.number % 3] / 1.5
    moved = np.roll(mask.data, shift, (0, 1, 2))
    head = np.where(mask.data, volume.data, 500 + 300 * rng.random(volume.shape))
    return run(volume.with_data(head.astype(np.float32)), mask.with_data(moved))


def no_brain(task: Task) -> tuple[str, Fit]:
    """Noise and blobs in a brain's outline; round objects; bodies; noise."""
    rng = task.rng
    if task.kind == "noise in a brain's outline":
        _, mask = base(task.about)
        sigma = (0, 1, 2, 4, 7)[task.number % 5]
        noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), sigma)
        data = 500 + 150 * noise / noise.std()
        return run(mask.with_data(np.where(mask.data, data, 0).astype(np.float32)), mask)
    spacing = 2.0
    places = (np.indices((110, 110, 100)).reshape(3, -1).T - (55, 55, 50)) * spacing
    if task.kind == "noise":
        return from_volume(Volume(rng.normal(100, 30, (110, 110, 100)).astype(np.float32),
                                  np.diag([2.0, 2, 2, 1])))  # fmt: skip
    radii = rng.uniform(60, 85, 3) if task.kind == "round object" else np.array([95, 70, 300.0])
    depth = 1 - np.linalg.norm(places / radii, axis=1).reshape(110, 110, 100)
    data = np.where(depth > 0, 400.0, 0) + np.where((depth > 0) & (depth < 0.1), 400, 0)
    if task.kind == "body":
        for _ in range(14):
            middle, reach = rng.uniform(-55, 55, 3), rng.uniform(10, 35, 3)
            organ = np.linalg.norm((places - middle) / reach, axis=1).reshape(depth.shape) < 1
            data[organ & (depth > 0.1)] = rng.uniform(100, 900)
    data = ndimage.gaussian_filter(data, 0.7) + rng.normal(0, 20, data.shape)
    data = np.abs(data) if task.kind == "body" else np.where(depth > 0, data, 0)
    return from_volume(Volume(data.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])))


MAKERS: dict[str, Callable[[Task], tuple[str, Fit]]] = {
    maker.__name__: maker for maker in (raw, drawn, varied, judged, wrong_start, spoiled, no_brain)
}


def tasks() -> list[Task]:
    """List every input."""
    data = data_folder()
    scans = [
        path
        for part in ("cases", "gate", "raw_heads", "healthy", "odd_real", "longitudinal")
        for path in sorted((data / part).rglob("*.nii.gz"))
        if not any(word in path.name for word in ("lesion", "mask", "labels", "tumour", "1mm"))
    ]
    people = sorted((data / "ixi_t1_2mm").glob("*/*_T1w.nii.gz"))
    step = max(1, len(people) // PEOPLE)
    maps = sorted((data / "label_maps_1mm").glob("*.nii.gz"))

    def about(path: Path) -> str:
        return str(path.relative_to(data)).removesuffix(".nii.gz")

    changes = ["turned", "thick slices", "flat contrast", "noisy"]
    changes += [f"cropped {side}" for side in ("front", "top", "back", "bottom")]
    good = [Task(True, "real scan", "raw", about(path)) for path in scans]
    good += [Task(True, "IXI", "raw", about(path)) for path in people[::step]]
    good += [Task(True, "drawn", "drawn", about(path), n) for n in range(2) for path in maps]
    good += [Task(True, how, "varied", name) for name in BASES for how in changes]
    bad = [Task(False, "turned fit", "judged", name, n) for name in BASES[:4] for n in range(1, 24)]
    bad += [Task(False, "shifted fit", "judged", name, n) for name in BASES for n in range(5)]
    bad += [Task(False, "wrong start", "wrong_start", BASES[n % 4], n) for n in range(2, 24, 2)]
    bad += [Task(False, "half head", "spoiled", name, n) for n, name in enumerate(BASES[:6])]
    bad += [Task(False, "slab", "spoiled", name, n) for n, name in enumerate(BASES[:6])]
    bad += [Task(False, "shifted mask", "spoiled", name, n) for n, name in enumerate(BASES[:9])]
    kind = "noise in a brain's outline"
    bad += [Task(False, kind, "no_brain", name, n) for n, name in enumerate(BASES)]
    for kind, count in (("round object", 6), ("body", 5), ("noise", 3)):
        bad += [Task(False, kind, "no_brain", "made", n) for n in range(count)]
    return good + bad


def measure(task: Task) -> dict[str, object]:
    """Run one task; an error of the preparation is a refusal, a crash is one too and said."""
    row: dict[str, object] = {"name": task.name, **asdict(task)}
    try:
        said, fit = MAKERS[task.make](task)
    except AnatomalyError as error:
        return row | {"verdict": "refused", "why": str(error)}
    return row | {"verdict": said, "fit": {k: round(v, 4) for k, v in asdict(fit).items()}}


# --- results ---------------------------------------------------------------------------------

MEASURES = {
    "dice": 1, "outline_margin": 1, "shift_mm": -1, "correlation": 1, "margin": 1, "stretch": -1,
}  # fmt: skip
"""Which way is good."""


def roc_area(good: list[float], bad: list[float]) -> float:
    """Return the share of pairs in which the good fit has the higher value; ties count half."""
    one, two = np.array(good)[:, None], np.array(bad)[None]
    return float((one > two).mean() + 0.5 * (one == two).mean())


def draw_roc(rows: list[dict[str, object]], path: Path) -> dict[str, float]:
    """Draw the curve of each measure and return the area under it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    areas = {}
    for name, sign in MEASURES.items():
        values = {
            is_good: [sign * row["fit"][name] for row in rows if "fit" in row
                      and row["is_good"] == is_good]  # type: ignore[index]
            for is_good in (True, False)
        }  # fmt: skip
        areas[name] = roc_area(values[True], values[False])
        cuts = np.unique(values[True] + values[False])
        passed = [[(np.array(values[g]) >= cut).mean() for cut in cuts] for g in (False, True)]
        axes.plot(*passed, label=f"{name} ({areas[name]:.3f})")
    axes.set_xlabel("bad fits that pass")
    axes.set_ylabel("good fits that pass")
    axes.set_title("Gate: each measure alone (area under the curve)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    return areas


def write(rows: list[dict[str, object]]) -> None:
    """Write table and figure."""
    areas = draw_roc(rows, RESULTS / "gate.png")
    (RESULTS / "gate.json").write_text(json.dumps(rows, indent=0) + "\n")
    lines = ["# The gate: good and bad fits", "", describe_run("python benchmarks/gate.py", SEED)]
    lines += [
        "",
        "What each kind is stands at the top of the script. `told partial` is the warning",
    ]
    lines += ["that part of the brain lies outside the scan, and no other.", ""]
    for is_good in (True, False):
        chosen = [row for row in rows if row["is_good"] == is_good]
        lines += [f"## {'Good' if is_good else 'Bad'}: {len(chosen)}", ""]
        lines += [
            "| kind | inputs | silent | told partial | warned | refused |",
            "|---|" + "---:|" * 5,
        ]
        for kind in [*dict.fromkeys(row["kind"] for row in chosen), "all"]:
            part = [row for row in chosen if kind in (row["kind"], "all")]
            counts = [sum(row["verdict"] == v for row in part)
                      for v in ("silent", "told partial", "warned", "refused")]  # fmt: skip
            lines.append(f"| {kind} | {len(part)} | " + " | ".join(map(str, counts)) + " |")
        lines.append("")
    odd = [row for row in rows if row["is_good"] and row["verdict"] in ("warned", "refused")]
    odd += [row for row in rows if not row["is_good"] and row["verdict"] == "silent"]
    lines += ["## Wrong verdicts", "", "| input | verdict | measures |", "|---|---|---|"]
    lines += [f"| {r['name']} | {r['verdict']} | {r.get('fit', r.get('why'))} |" for r in odd]
    lines += ["", "## Each measure alone", "", "![ROC](gate.png)", ""]
    lines += ["| measure | area under the curve |", "|---|---:|"]
    lines += [f"| {name} | {area:.3f} |" for name, area in areas.items()]
    (RESULTS / "gate.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure what is missing, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only", default="", help="kinds that begin so; nothing is written")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    KEPT.parent.mkdir(exist_ok=True)
    if options.again:
        KEPT.unlink(missing_ok=True)
    kept = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    rows = {str(row["name"]): row for row in kept}
    wanted = [task for task in tasks() if task.kind.startswith(options.only)]
    missing = [task for task in wanted if task.name not in rows]
    with ProcessPoolExecutor(options.workers) as pool, KEPT.open("a") as file:
        for done in as_completed([pool.submit(measure, task) for task in missing]):
            if done.exception():
                pool.shutdown(wait=False, cancel_futures=True)
            row = done.result()
            rows[str(row["name"])] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(row["name"], row["verdict"], row.get("fit", row.get("why")), flush=True)
    if not options.only:
        write([rows[task.name] for task in wanted])


if __name__ == "__main__":
    main()
