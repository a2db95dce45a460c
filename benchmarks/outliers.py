"""How near ordinary scans come to the limits of outliers, dead voxels and uneven slices.

    ANATOMALY_DATA=/path/to/data python benchmarks/outliers.py

Reads every scan of the data folder, prepares none. Writes benchmarks/results/outliers.md: for each
limit the scans that come nearest to it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from environment import data_folder, describe_run, write_page

from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.result_page import markdown_table
from anatomaly.preprocess import outliers
from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.crop import crop_to_content
from anatomaly.preprocess.uneven_slices import find_uneven_slices
from anatomaly.scan.read import read_scan

FOLDERS = ("cases", "raw_heads", "healthy", "longitudinal", "odd_real", "gate", "ixi_t1_2mm")
NO_SCANS = ("lesion", "mask", "labels", "tumour", "dlmuse")
SHOWN = 3
COLUMNS = {
    "above the range, widths": outliers.MOST_ABOVE,
    "below its floor, widths": outliers.MOST_BELOW,
    "moderate spikes, share": outliers.LEAST_SPIKES,
    "dead voxels, share": outliers.LEAST_DEAD,
    "voxels repaired": 0,
    "runs of uneven slices": 0,
}


def measure(path: Path) -> list[float]:
    """Return the figure of each column for one scan."""
    volume = read_scan(path).volume
    usual = find_usual_range(volume.data)
    signal = max(1, int(np.count_nonzero(volume.data > outliers.signal_from(usual))))
    nothing = np.zeros(volume.shape, dtype=bool)
    content, _ = crop_to_content(volume, usual)
    inside = find_usual_range(content.data)
    return [
        (float(volume.data.max()) - usual.high) / usual.width,
        (usual.floor - float(volume.data.min())) / usual.width,
        np.count_nonzero(outliers.find_spikes(volume.data, nothing, usual)) / signal,
        np.count_nonzero(outliers.find_dead(volume.data, usual)) / signal,
        outliers.repair_outliers(volume, usual)[1].count,
        sum(len(find_uneven_slices(content, axis, inside)) for axis in range(3)),
    ]


def main() -> None:
    """Measure every scan and write the table."""
    figures: dict[str, list[float]] = {}
    for folder in FOLDERS:
        for path in sorted((data_folder() / folder).rglob("*.nii.gz")):
            if not any(word in path.name for word in NO_SCANS):
                name = str(path.relative_to(data_folder())).removesuffix(".nii.gz")
                try:
                    figures[name] = measure(path)
                except AnatomalyError as error:
                    print(f"{name}: {error}")
    rows = []
    for number, (column, limit) in enumerate(COLUMNS.items()):
        top = sorted(figures, key=lambda name: -figures[name][number])[:SHOWN]
        cells = ", ".join(f"{figures[name][number]:.3g} ({name})" for name in top)
        rows.append((column, f"{limit:g}", cells))
    lines = ["# How near ordinary scans come to the limits", "", f"Of {len(figures)} scans.", ""]
    lines += markdown_table(("what", "limit", "highest"), rows, "lrl")
    lines += ["", describe_run("python benchmarks/outliers.py", None)]
    write_page("outliers", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
