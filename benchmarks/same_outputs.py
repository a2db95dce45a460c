"""Whether two versions of the code give the same outputs: five scans, two methods each.

    python benchmarks/same_outputs.py before.json

Run in the one checkout it writes the digests, run in the other it compares, and exits with 1 where
one differs: for a change that only moves code. The scans are phantoms (T1w, T2w, FLAIR, one without
skull, one of coarse voxels), so no data are needed; each is scored as the weights say and by the
paper's own way.
Compared are anomaly map, mask, pseudo-healthy image, tissue map, the lesion table, what `run.json`
says of the method, the overview and what the page shows. Both runs must be on one machine: another
processor rounds in another way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from anatomaly.config import AnomalyConfig, DetectConfig
from anatomaly.evaluation.phantom import make_phantom
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import scan_from_image

SCANS = {
    "T1w": make_phantom("T1w", 31),
    "T2w": make_phantom("T2w", 32),
    "FLAIR": make_phantom("FLAIR", 33),
    "T1w, no skull": make_phantom("T1w", 34, with_skull=False),
    "FLAIR, coarse": make_phantom("FLAIR", 35, coarseness=2.0),
}
PAPER = AnomalyConfig(score="hybrid", polarity="both", threshold=0.1)
METHODS = {
    "default": DetectConfig(device="cpu"),
    "paper": DetectConfig(device="cpu", route="edges", reuse="learned", anomaly=PAPER),
}
VOLUMES = ("anomaly_map", "anomaly_mask", "pseudo_healthy", "tissue_map", "brain_mask")


def digest(folder: Path) -> dict[str, str]:
    """Return a digest of every output of a result; what names time or versions is left out."""
    parts: dict[str, bytes] = {}
    for name in VOLUMES:
        parts[name] = np.asarray(nib.nifti1.load(folder / f"{name}.nii.gz").dataobj).tobytes()
    parts["lesions"] = (folder / "lesions.tsv").read_bytes()
    page = (folder / "report.html").read_text(encoding="utf-8")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    said = {
        name: run[name] for name in ("threshold", "polarity", "healthy_ml", "lesions", "config")
    }
    parts["run"] = json.dumps(said, sort_keys=True, default=str).encode()
    parts["overview"] = (folder / "overview.png").read_bytes()
    shown = ("base64", 'id="layer-', 'id="page-data"')
    parts["page"] = "".join(
        line for line in page.splitlines() if any(word in line for word in shown)
    ).encode()
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in parts.items()}


def main() -> None:
    """Write the digests, or compare with those that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("digests", type=Path)
    path: Path = parser.parse_args().digests
    detectors = {name: Detector(config) for name, config in METHODS.items()}
    digests: dict[str, dict[str, str]] = {}
    for label, phantom in SCANS.items():
        scan = scan_from_image(phantom.scan)
        prepared = prepare(scan, detectors["default"].config.preprocess, phantom.sequence)
        for method, detector in detectors.items():
            with tempfile.TemporaryDirectory() as folder:
                result = detector.detect_prepared(scan, prepared).save(Path(folder) / "result")
                digests[f"{label}, {method}"] = digest(result)
            print(label, method, digests[f"{label}, {method}"], flush=True)
    if not path.is_file():
        path.write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    differ = [f"{k}: {n}" for k in before for n in before[k] if digests[k][n] != before[k][n]]
    print("\n".join(differ) or "all outputs are the same")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
