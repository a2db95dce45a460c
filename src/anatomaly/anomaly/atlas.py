"""Names of regions: a label image in MNI152 space and the table that lies beside it.

nilearn ships no parcellation (only tissue priors), so regions are named only where the user gives
an atlas. Understood beside `ATLAS.nii.gz`: `ATLAS.tsv` (BIDS: columns `index` and `name`),
`ATLAS.csv`, and `ATLAS.txt` or `ATLAS.lut` in the style of ITK-SNAP, FreeSurfer or FSL.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage

from anatomaly.endings import without_ending
from anatomaly.errors import ConfigError, GeometryError
from anatomaly.geometry import affine_in_mm, apply_affine
from anatomaly.volume import Volume

REACH_MM = 3.0
"""A point this close to a region belongs to it: registration is not more exact than that."""

_INDEX_COLUMNS = ("index", "labelvalue", "value", "id", "label", "number")
_NAME_COLUMNS = ("name", "region", "structure", "labelname", "label_name", "label", "abbreviation")


@dataclass(frozen=True)
class Atlas:
    """Regions in template space.

    Attributes:
        labels: (I, J, K) integers, 0 is no region; RAS+ mm of the template.
        names: label to name; a label without a name is called `label N`.
    """

    labels: Volume
    names: dict[int, str]

    def region_at(self, point_mm: tuple[float, float, float]) -> str:
        """Return the name of the region nearest to a point in template mm.

        Empty where no labelled voxel centre lies within `REACH_MM`.

        >>> atlas = Atlas(Volume(np.array([[[0, 0, 7]]]), np.eye(4)), {7: "Thalamus"})
        >>> atlas.region_at((0.2, 0.0, 1.0)), atlas.region_at((0.0, 4.0, 2.0))
        ('Thalamus', '')
        """
        to_voxel = np.linalg.inv(self.labels.affine).astype(np.float64)
        centre = apply_affine(to_voxel, np.array(point_mm, np.float64))
        reach = REACH_MM * np.linalg.norm(to_voxel[:3, :3], axis=1)
        low = np.maximum(np.ceil(centre - reach), 0).astype(int)
        high = np.minimum(np.floor(centre + reach), np.array(self.labels.shape) - 1).astype(int)
        if (low > high).any():
            return ""
        box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
        near = np.argwhere(self.labels.data[box]) + low
        if not len(near):
            return ""
        distance = np.linalg.norm(apply_affine(self.labels.affine, near) - point_mm, axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > REACH_MM:
            return ""
        label = int(self.labels.data[tuple(near[nearest])])
        return self.names.get(label, f"label {label}")


def load_atlas(path: Path) -> Atlas:
    """Read a label image and the name table beside it, if there is one.

    Raises:
        ConfigError: the file is missing, no 3D label image, or its table cannot be understood.
    """
    if not path.is_file():
        raise ConfigError(f"atlas {path}: no such file; give a 3D label image in MNI152 space")
    try:
        image = cast(SpatialImage, nib.load(path))
        affine = affine_in_mm(image.affine, image.header)
        volume = Volume(np.asarray(image.dataobj).squeeze(), affine)
    except (ImageFileError, GeometryError, OSError, EOFError, ValueError, TypeError) as error:
        raise ConfigError(f"atlas {path}: not a 3D label image ({error})") from error
    values = np.nan_to_num(volume.data, nan=-1, posinf=-1, neginf=-1)
    labels = np.rint(values).astype(np.int32)
    if np.abs(values - labels).max() > 1e-3 or labels.min() < 0:
        raise ConfigError(
            f"atlas {path}: values are not whole numbers from 0 up, so this is no label image; "
            "for a probabilistic atlas give its maximum-probability version"
        )
    if not labels.any():
        raise ConfigError(f"atlas {path}: holds no label")
    stem = without_ending(path.name)
    tables = [path.with_name(stem + ending) for ending in (".tsv", ".csv", ".txt", ".lut")]
    table = next(filter(Path.is_file, tables), None)
    return Atlas(volume.with_data(labels), _read_names(table) if table else {})


def _read_names(table: Path) -> dict[int, str]:
    """Read a name table of any of the styles of the module docstring."""
    text = table.read_text(encoding="utf-8-sig", errors="replace")
    delimiter = {".tsv": "\t", ".csv": ","}.get(table.suffix.lower())
    names = _names_by_column(text, delimiter) if delimiter else {}
    if not names:
        names = _names_by_line(re.sub("[\t,]", " ", text) if delimiter else text)
    if not names:
        raise ConfigError(
            f"atlas table {table}: no line with a number and a name was found; "
            "use columns `index` and `name`, or a line `1 Name` for each region"
        )
    return names


def _names_by_column(text: str, delimiter: str) -> dict[int, str]:
    r"""Read a table whose header names an index and a name column; empty if it has no such header.

    >>> _names_by_column("index,name\n4,Left ventricle\n", ",")
    {4: 'Left ventricle'}
    """
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    index = next((header.index(name) for name in _INDEX_COLUMNS if name in header), None)
    name = next(
        (header.index(n) for n in _NAME_COLUMNS if n in header and header.index(n) != index), None
    )
    if index is None or name is None:
        return {}
    return {
        int(float(row[index])): row[name].strip()
        for row in rows[1:]
        if len(row) > max(index, name) and re.fullmatch(r"\s*\d+(\.0*)?\s*", row[index])
    }


def _names_by_line(text: str) -> dict[int, str]:
    """Read lines that begin with a label number.

    ITK-SNAP puts the name in quotes at the end, FreeSurfer after the number and before the colour,
    FSL after the colour.

    >>> _names_by_line('5 255 0 0 1 1 1 "Left insula"')
    {5: 'Left insula'}
    >>> _names_by_line("10 Left-Thalamus 0 118 14 0")
    {10: 'Left-Thalamus'}
    >>> _names_by_line("3 0.1 0.2 0.3 Area 44")
    {3: 'Area 44'}
    """
    names = {}
    for line in text.splitlines():
        match = re.match(r"\s*(\d+)\s+(.*\S)", line)
        if not match:
            continue
        rest = match[2]
        quoted = re.search(r'"(.*)"', rest)
        number = r"-?\d*\.?\d+"
        without_colour_before = re.sub(rf"^({number}\s+){{3,}}", "", rest)
        without_colour = re.sub(rf"(\s+{number}){{3,}}$", "", without_colour_before)
        name = quoted[1] if quoted else without_colour
        if re.search(r"[^\d\s.-]", name):
            names[int(match[1])] = name.strip()
    return names
