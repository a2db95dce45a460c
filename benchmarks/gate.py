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
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, ROOT, data_folder, describe_run, write_page
from gate_inputs import MAKERS, SEED, Task
from sklearn.metrics import roc_auc_score

from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.report.drawing import new_figure

KEPT = ROOT / "runs" / "gate.jsonl"
PEOPLE = 30
BASES = (
    "cases/mslub_patient26/FLAIR", "cases/tcga_du_7294/T2w", "cases/tcga_fg_6692/FLAIR",
    "cases/brats17_a/FLAIR", "cases/tcga_du_7294/T1w", "healthy/kirby21_113/FLAIR",
    "gate/patient_a/FLAIR", "gate/patient_b/FLAIR", "cases/mslub_patient19/T2w",
    "cases/brats2013_pat0001/FLAIR",
)  # fmt: skip
"""Stripped brains from which variants are made."""


MEASURES = {
    "dice": 1, "outline_margin": 1, "shift_mm": -1, "correlation": 1, "margin": 1, "stretch": -1,
}  # fmt: skip
"""Which way is good."""

VERDICTS = ("silent", "told partial", "warned", "refused")
Rows = list[dict[str, Any]]


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


def measure(task: Task) -> dict[str, Any]:
    """Run one task; an error of the preparation is a refusal, a crash is one too and said."""
    row = {"name": task.name, **asdict(task)}
    try:
        said, fit = MAKERS[task.make](task)
    except AnatomalyError as error:
        return row | {"verdict": "refused", "why": str(error)}
    return row | {"verdict": said, "fit": {k: round(v, 4) for k, v in asdict(fit).items()}}


def draw_roc(rows: Rows, path: Path) -> dict[str, float]:
    """Draw the curve of each measure and return the area under it."""
    figure = new_figure(figsize=(6, 6))
    axes = figure.add_subplot()
    areas = {}
    for name, sign in MEASURES.items():
        fits = [(row["is_good"], sign * row["fit"][name]) for row in rows if "fit" in row]
        good, values = (np.array(column) for column in zip(*fits, strict=True))
        areas[name] = float(roc_auc_score(good, values))
        cuts = np.unique(values)
        passed = [[(values[part] >= cut).mean() for cut in cuts] for part in (~good, good)]
        axes.plot(*passed, label=f"{name} ({areas[name]:.3f})")
    axes.set_xlabel("bad fits that pass")
    axes.set_ylabel("good fits that pass")
    axes.set_title("Gate: each measure alone (area under the curve)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    return areas


def write(rows: Rows) -> None:
    """Write table and figure."""
    areas = draw_roc(rows, RESULTS / "gate.png")
    (RESULTS / "gate.json").write_text(json.dumps(rows, indent=0) + "\n")
    lines = ["# The gate: good and bad fits", "", describe_run("python benchmarks/gate.py", SEED)]
    lines += [
        "",
        "What each kind is stands at the top of the script. `told partial` is the warning",
        "that part of the brain lies outside the scan, and no other.",
        "",
    ]
    for is_good in (True, False):
        chosen = [row for row in rows if row["is_good"] == is_good]
        counts = []
        for kind in [*dict.fromkeys(row["kind"] for row in chosen), "all"]:
            said = [row["verdict"] for row in chosen if kind in (row["kind"], "all")]
            counts.append([kind, len(said), *map(said.count, VERDICTS)])
        lines += [f"## {'Good' if is_good else 'Bad'}: {len(chosen)}", ""]
        lines += [*markdown_table(["kind", "inputs", *VERDICTS], counts), ""]
    odd = [row for row in rows if row["is_good"] and row["verdict"] in ("warned", "refused")]
    odd += [row for row in rows if not row["is_good"] and row["verdict"] == "silent"]
    cells = [(row["name"], row["verdict"], row.get("fit", row.get("why"))) for row in odd]
    lines += ["## Wrong verdicts", ""]
    lines += markdown_table(("input", "verdict", "measures"), cells, "l")
    lines += ["", "## Each measure alone", "", "![ROC](gate.png)", ""]
    lines += markdown_table(
        ("measure", "area under the curve"), [(k, f"{v:.3f}") for k, v in areas.items()]
    )
    write_page("gate", lines)


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
