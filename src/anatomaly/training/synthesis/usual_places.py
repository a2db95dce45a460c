"""Where healthy brains are bright or dark in everybody: places that no network may call a lesion.

FLAIR and T2w scans of healthy people are not flat within a tissue. Limbic cortex is brighter than
other cortex, long fibre tracts and the white matter around the trigones are brighter than other
white matter, the choroid plexus is bright inside the ventricles, and CSF that flows escapes its
inversion in FLAIR and loses its signal in T2w. All this stands still on the template and is alike
on both sides.

Source: textbook neuroradiology; coordinates, spreads and strengths are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.training.synthesis.boxes import blur_within, extent
from anatomaly.training.synthesis.random_draws import Rng, chance, smooth_field, uniform

VENTRICLE, SULCI, WHITE, PLEXUS = (1,), (2,), (9, 10), (1, 13)
CORTEX, HIPPOCAMPUS, STEM = (3,), (7,), (11, 12)


class Place(NamedTuple):
    """A place of the template, on both sides where it does not lie in the middle.

    Attributes:
        centre_mm: MNI152; x is its distance from the midplane.
        spread_mm: σ along each axis.
        classes: of `label_maps.CLASS_NAMES`, in which it shows.
        flair: largest change of the image in FLAIR.
        t2w: the same in T2w; 0 where none is known.
    """

    centre_mm: tuple[float, float, float]
    spread_mm: tuple[float, float, float]
    classes: tuple[int, ...]
    flair: float
    t2w: float = 0.0


PLACES: dict[str, Place] = {
    "corticospinal tract, internal capsule": Place((23, -18, 8), (4, 5, 10), WHITE, 0.13, 0.08),
    "corticospinal tract, centrum semiovale": Place((24, -22, 32), (6, 9, 11), WHITE, 0.13, 0.06),
    "corticospinal tract, brainstem": Place((7, -22, -20), (4, 4, 12), STEM, 0.08, 0.05),
    "trigone": Place((29, -50, 18), (6, 10, 9), WHITE, 0.15, 0.12),
    "frontal caps": Place((15, 31, 6), (5, 5, 7), WHITE, 0.25, 0.10),
    "occipital caps": Place((25, -70, 8), (5, 6, 6), WHITE, 0.20, 0.10),
    "genu": Place((4, 27, 6), (8, 5, 8), WHITE, 0.06),
    "splenium": Place((8, -38, 14), (10, 5, 6), WHITE, 0.08, 0.04),
    "septum and fornix": Place((2, 4, 12), (2.5, 11, 6), (1, 5, 9), 0.25, -0.10),
    "insula": Place((38, 3, 0), (5, 15, 11), (*CORTEX, 4), 0.13, 0.06),
    "cingulate, front": Place((5, 32, 16), (5, 12, 14), CORTEX, 0.13, 0.05),
    "cingulate, middle": Place((5, -4, 40), (5, 18, 7), CORTEX, 0.12, 0.05),
    "cingulate, back": Place((6, -46, 26), (6, 10, 12), CORTEX, 0.12, 0.05),
    "orbitofrontal cortex": Place((17, 30, -18), (15, 14, 6), CORTEX, 0.13, 0.05),
    "temporal pole": Place((38, 10, -32), (11, 9, 9), CORTEX, 0.12, 0.05),
    "parahippocampal cortex": Place((24, -22, -20), (9, 16, 6), CORTEX, 0.12, 0.05),
    "hippocampus and amygdala": Place((25, -16, -16), (14, 22, 12), HIPPOCAMPUS, 0.12, 0.07),
    "calcarine cortex": Place((9, -80, 6), (9, 12, 8), CORTEX, 0.08, 0.04),
    "vermis": Place((0, -62, -18), (8, 10, 12), (8, 10), 0.10, 0.05),
    "periaqueductal grey": Place((0, -31, -10), (5, 5, 7), STEM, 0.13, 0.05),
    "hypothalamus": Place((5, -4, -10), (5, 6, 5), (12, 5), 0.12, 0.05),
    "plexus of the trigone": Place((21, -40, 10), (5, 6, 6), PLEXUS, 0.75, -0.35),
    "plexus of the lateral ventricle": Place((10, -18, 18), (6, 14, 3), PLEXUS, 0.45, -0.25),
    "plexus of the fourth ventricle": Place((3, -46, -34), (7, 4, 6), PLEXUS, 0.50, -0.25),
    "foramen of Monro": Place((4, 2, 8), (4, 6, 5), VENTRICLE, 0.60, -0.55),
    "third ventricle": Place((0, -12, 0), (3, 9, 8), VENTRICLE, 0.45, -0.45),
    "aqueduct": Place((0, -34, -8), (3, 4, 7), VENTRICLE, 0.65, -0.65),
    "fourth ventricle": Place((0, -42, -28), (6, 6, 9), VENTRICLE, 0.55, -0.55),
    "prepontine cistern": Place((4, -10, -34), (14, 6, 14), SULCI, 0.55, -0.45),
    "suprasellar cistern": Place((4, -2, -20), (9, 8, 6), SULCI, 0.50, -0.45),
    "Sylvian cistern": Place((34, 8, -16), (10, 8, 6), SULCI, 0.35, -0.35),
    "ambient cistern": Place((16, -34, -8), (7, 8, 8), SULCI, 0.45, -0.35),
    "cisterna magna": Place((0, -64, -46), (16, 10, 8), SULCI, 0.40, -0.35),
}
SHOWN = 0.7
"""Share of the places that one person shows."""
FAINT = 0.01
"""Share of a place's change that is left out."""


def add_usual_places(
    rng: Rng, image: Tensor, classes: Tensor, start: tuple[int, int, int], sequence: str
) -> Tensor:
    """Change a healthy image where healthy brains differ from their tissue's mean; a new image.

    A person has one strength, uniform on 0 to 1, of which each place takes 0 to 1.3; centres move
    by some millimetres, spreads by a third; a smooth field of 5 to 20 mm makes all uneven.

    Args:
        rng: of the image.
        image: (I, J, K).
        classes: (I, J, K) of `label_maps`.
        start: first template voxel of the patch.
        sequence: others than FLAIR and T2w stay as they are.
    """
    if sequence not in ("FLAIR", "T2w"):
        return image
    person = uniform(rng, 0, 1)
    change = torch.zeros_like(image)
    for place in PLACES.values():
        most = place.flair if sequence == "FLAIR" else place.t2w
        strength = most * person * uniform(rng, 0, 1.3)
        where = [m + uniform(rng, -3, 3) * (n > 0) for n, m in enumerate(place.centre_mm)]
        spread = [s * uniform(rng, 0.7, 1.4) for s in place.spread_mm]
        if most == 0 or not chance(rng, SHOWN):
            continue
        bells = [
            _bell(axis, range(first, first + size), where[axis], spread[axis])
            for axis, (first, size) in enumerate(zip(start, image.shape, strict=True))
        ]
        if min(float(bell.max()) for bell in bells) < FAINT:
            continue
        box = tuple(_extent(bell) for bell in bells)
        parts = [b[part].to(image.device) for b, part in zip(bells, box, strict=True)]
        bell = torch.einsum("i,j,k->ijk", *parts).mul_(strength)
        shown = torch.tensor(place.classes, device=image.device)
        change[box] += bell * torch.isin(classes[box], shown)
    box = extent(change != 0)
    uneven = smooth_field(rng, image.shape, uniform(rng, 5, 20), box)
    change[box] *= (1 + 0.35 * uneven).clamp(min=0)
    soft, box = blur_within(change, 0.7, box)
    out = image.clone()
    out[box] += soft
    return out


def _bell(axis: int, voxels: range, centre_mm: float, spread_mm: float) -> Tensor:
    """Gaussian along one axis of the patch; along x the larger of both sides, on the CPU."""
    at = torch.arange(voxels.start, voxels.stop, dtype=torch.float32, device="cpu")
    at = at + float(TEMPLATE_AFFINE[axis, 3])
    if axis == 0:
        at = at.abs()
    return torch.exp(-0.5 * ((at - centre_mm) / spread_mm) ** 2)


def _extent(bell: Tensor) -> slice:
    """Voxels from the first to the last that is not faint."""
    shown = (bell >= FAINT).nonzero()
    return slice(int(shown[0]), int(shown[-1]) + 1)
