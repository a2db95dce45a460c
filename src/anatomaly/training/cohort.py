"""Healthy people on the working grid: prepared once, cached on disk, read as memory maps.

A cached person is `labels.npy` (uint8 classes of `synthesis.label_maps`) and, for real scans,
`image.npy` (uint8, T1w, 200 at the 99.5th percentile of the brain), `T2w.npy` and `FLAIR.npy`, all
on the template grid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import AnatomalyError, TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, voxel_to_voxel
from anatomaly.preprocess.bias_field import correct_bias_field
from anatomaly.preprocess.normalise import HIGH_PERCENTILE, LOW_PERCENTILE
from anatomaly.preprocess.register import register_to_template
from anatomaly.training.synthesis.label_maps import CLASS_NAMES, RIM, Scheme, to_classes
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume
from anatomaly.weights import preparation_hash

IMAGE_UNIT = 200.0
"""Cached grey value of the upper percentile of the brain; 0 is the lower."""

RECORD_FILE = "subject.json"
Arrays = dict[str, NDArray[np.uint8]]
Record = dict[str, Any]

_DRAWN_T1W = np.array(
    [0, 0.15, 0.15, 0.5, 0.55, 0.65, 0.75, 0.5, 0.5, 0.9, 0.9, 0.85, 0.75, 0.2, 0], np.float32
)


@dataclass(frozen=True)
class Subject:
    """One healthy person on the template grid.

    Attributes:
        name: unique within the cohort.
        labels: (160, 192, 160) uint8, classes of `synthesis.label_maps`.
        image: (160, 192, 160) uint8 real T1w, or None where there is none.
        others: further real images of the same shape, by their sequence.
    """

    name: str
    labels: NDArray[np.uint8]
    image: NDArray[np.uint8] | None
    others: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, NDArray[np.uint8]]:
        """All real images by their sequence, T1w first."""
        return ({} if self.image is None else {"T1w": self.image}) | dict(self.others)


def check_held_out(controls: Sequence[Subject], trained: Sequence[Subject]) -> None:
    """Refuse controls that training saw.

    Raises:
        TrainingError: names them.
    """
    if both := {p.name for p in controls} & {p.name for p in trained}:
        raise TrainingError(f"controls were trained on: {', '.join(sorted(both))}")


def load_cohort(cache: Path) -> list[Subject]:
    """Open every cached person of a folder as memory maps, in the order of their names.

    Raises:
        TrainingError: nothing is cached there.
    """
    people = []
    for folder in sorted(path.parent for path in cache.glob("*/labels.npy")):
        files = {name: folder / f"{name}.npy" for name in ("labels", "image", "T2w", "FLAIR")}
        maps = {n: np.load(path, mmap_mode="r") for n, path in files.items() if path.is_file()}
        labels, image = maps.pop("labels"), maps.pop("image", None)
        people.append(Subject(folder.name, labels, image, maps))
    if not people:
        raise TrainingError(f"{cache}: no prepared person found; prepare a cohort first")
    return people


def prepare_label_maps(paths: Iterable[Path], cache: Path) -> Iterator[str]:
    """Cache whole-head label maps (FreeSurfer numbers); yields a line for each file."""
    for path in paths:
        name = path.name.split(".")[0]
        yield cache_person(cache / name, partial(_prepare_arrays, path, name, None))


def prepare_scans(pairs: Iterable[tuple[Path, Path]], cache: Path) -> Iterator[str]:
    """Cache healthy T1w scans with their parcellations (MUSE numbers); yields a line for each."""
    for scan, parcellation in pairs:
        name = scan.name.split("_")[0]
        yield cache_person(cache / name, partial(_prepare_arrays, parcellation, name, scan))


def cache_person(
    folder: Path, prepare: Callable[[], tuple[Arrays, Record]], scans: list[str] | None = None
) -> str:
    """Prepare a person who is not cached yet; returns a line that says so, or why not.

    Args:
        folder: of the person, named after them.
        prepare: returns arrays by the name of their file, and a record: `volume_ml`, and where
            they are known `scans`, `prepared` (sequences) and `notes`.
        scans: files that the person must have been made from; None for any.
    """
    if is_cached(folder, scans):
        return f"{folder.name}: cached"
    try:
        arrays, record = prepare()
    except (AnatomalyError, ImageFileError, OSError, EOFError, ValueError) as error:
        return f"{folder.name}: skipped: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (folder / RECORD_FILE, *folder.glob("*.npy")):
        stale.unlink(missing_ok=True)
    for name in sorted(arrays, key="labels".__eq__):  # labels last: they make it a person
        np.save(folder / f"{name}.npy", arrays[name])
    record |= {"preparation": preparation_hash()}
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8", newline="\n")
    done = f"{folder.name}: prepared {', '.join(record.get('prepared', []))}".rstrip()
    return "; ".join([done, *record.get("notes", [])])


def is_cached(folder: Path, scans: list[str] | None = None) -> bool:
    """Whether the person was prepared of these files, and as scans are prepared today."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        as_today = record.get("preparation") == preparation_hash()
        return as_today and scans in (None, record.get("scans"))
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _prepare_arrays(labels: Path, name: str, scan: Path | None) -> tuple[Arrays, Record]:
    subject, record = _prepare(labels, name, scan)
    image = {} if subject.image is None else {"image": subject.image}
    return {"labels": subject.labels, **image}, record


def _prepare(labels_path: Path, name: str, scan: Path | None) -> tuple[Subject, Record]:
    """Register one person and resample labels (and image) to the template grid."""
    scheme: Scheme = "freesurfer" if scan is None else "muse"
    file: Any = nib.load(labels_path)
    classes = to_classes(np.asarray(file.dataobj).astype(np.int64), scheme)
    brain = _brain_of_classes(classes, scheme)
    grid = Volume(brain, np.asarray(file.affine, dtype=np.float64))
    if scan is None:
        image = grid.with_data(ndimage.gaussian_filter(_DRAWN_T1W[classes] * brain, 0.5))
    else:
        real: Any = nib.load(scan)
        raw = np.asarray(real.dataobj, dtype=np.float32)
        image, _ = correct_bias_field(grid.with_data(raw * brain))
    registration = register_to_template(image, grid)
    to_scanner = np.linalg.inv(registration.scanner_to_template).astype(np.float64)
    to_voxel = voxel_to_voxel(TEMPLATE_AFFINE, grid.affine, to_scanner)
    classes[~brain] = 0
    classes[(classes == 0) & brain] = CLASS_NAMES.index("sulcal CSF")
    rim = ndimage.binary_dilation(brain, iterations=max(1, round(4 / grid.spacing_mm.min())))
    classes[rim & ~brain] = RIM
    out = resample_classes(classes, to_voxel)
    cached_image = None
    if scan is not None:
        low, high = np.percentile(image.data[brain], (LOW_PERCENTILE, HIGH_PERCENTILE))
        scaled = (image.data - low) / (high - low)
        template = _sample(torch.from_numpy(scaled * brain)[None], to_voxel)[0].numpy()
        out = _refine_cortex(out, template)
        cached_image = np.clip(template * IMAGE_UNIT, 0, 255).astype(np.uint8)
    volume_ml = float(((out > 0) & (out != RIM)).sum()) / 1000
    if not 1200 < volume_ml < 2400:
        raise TrainingError(f"registration failed: brain of {volume_ml:.0f} mL in the template")
    record = {
        "volume_ml": volume_ml,
        "source": labels_path.name,
        "affine": registration.scanner_to_template.tolist(),
    }
    return Subject(name, out, cached_image), record


def _brain_of_classes(classes: NDArray[np.uint8], scheme: Scheme) -> NDArray[np.bool_]:
    """Brain mask: parenchyma and ventricles, closed over the sulci, holes filled."""
    if scheme == "muse":
        return np.asarray(ndimage.binary_fill_holes(classes > 0))
    inner = (classes > 0) & (classes != CLASS_NAMES.index("sulcal CSF"))
    padded = np.pad(inner, 6)
    closed = ndimage.binary_closing(padded, iterations=5)[6:-6, 6:-6, 6:-6]
    return np.asarray(ndimage.binary_fill_holes(closed))


def _sample(channels: torch.Tensor, to_voxel: Affine) -> torch.Tensor:
    """Linear resampling of (C, I, J, K) to the template grid through a voxel-to-voxel affine."""
    size = np.array(channels.shape[1:], dtype=np.float64)
    shape = np.array(TEMPLATE_SHAPE, dtype=np.float64)
    to_index = np.diag([*(shape - 1) / 2, 1.0])  # [-1, 1] to template voxels
    to_index[:3, 3] = (shape - 1) / 2
    to_unit = np.diag([*(2 / (size - 1)), 1.0])  # source voxels to [-1, 1]
    to_unit[:3, 3] = -1
    theta = (to_unit @ to_voxel @ to_index)[:3]
    flip = [2, 1, 0]  # grid_sample counts the last axis first
    theta = np.concatenate([theta[flip][:, flip], theta[flip, 3:]], axis=1)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta[None]).float(), [1, 1, *TEMPLATE_SHAPE], align_corners=True
    )
    return torch.nn.functional.grid_sample(channels[None].float(), grid, align_corners=True)[0]


def resample_classes(classes: NDArray[np.uint8], to_voxel: Affine) -> NDArray[np.uint8]:
    """Resample classes to the template grid: the largest linearly interpolated share wins."""
    best = torch.full(TEMPLATE_SHAPE, -1.0)
    out = torch.zeros(TEMPLATE_SHAPE, dtype=torch.uint8)
    for index in range(len(CLASS_NAMES)):
        mask = torch.from_numpy((classes == index).astype(np.float32))[None]
        share = _sample(mask, to_voxel)[0]
        if index == 0:  # outside the file's field of view is background
            share += 1 - _sample(torch.ones_like(mask), to_voxel)[0]
        better = share > best
        out[better] = index
        best = torch.maximum(best, share)
    return out.numpy()


def _refine_cortex(classes: NDArray[np.uint8], t1w: FloatArray) -> NDArray[np.uint8]:
    """Give sulcal voxels of a coarse cortex label to CSF (and back) by their T1w intensity."""
    csf, cortex = CLASS_NAMES.index("sulcal CSF"), CLASS_NAMES.index("cortex")
    low = np.median(t1w[classes == CLASS_NAMES.index("ventricular CSF")])
    high = np.median(t1w[classes == cortex])
    cut = low + 0.5 * (high - low)
    out = classes.copy()
    out[(classes == cortex) & (t1w < cut)] = csf
    out[(classes == csf) & (t1w > cut + 0.25 * (high - low))] = cortex
    return out
