"""How a synthetic lesion looks in a sequence: one intensity for each of its parts, and texture."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE, Contrast
from anatomaly.training.synthesis.lesions import Lesion
from anatomaly.training.synthesis.random_draws import Rng, chance, smooth_field, uniform


class PartValues(NamedTuple):
    """Mean intensity of the parts of a lesion."""

    solid: float
    core: float
    oedema: float


def draw_values(rng: Rng, contrast: Contrast, kind: str, oedema: bool = False) -> PartValues:
    """Draw the mean intensities of a lesion of a kind, with or without oedema, in one contrast.

    Shares of the way from white matter to CSF: T1w solid .15 to 1 (7 % brighter than white
    matter), core .5 to 1, oedema .12 to .6; T2w solid .3 to 1.1 (5 % dark), core .4 to 1.1, oedema
    .3 to .9. FLAIR: .03 to .55 above grey matter, tumours rather faint (the square of a uniform
    draw); cores like CSF (45 %), between white and grey matter (25 %), or bright; 40 % of the
    tumours with oedema lie between white and grey matter themselves. Haemorrhages: half of them
    bright in T1w, dark in T2w and FLAIR. random: anywhere at least .12 from white matter.
    """
    csf, grey, white = (float(contrast.means[c]) for c in (CSF, CORTEX, WHITE))

    def towards_csf(low: float, high: float) -> float:
        return white + (csf - white) * uniform(rng, low, high)

    bleeds = kind == "haemorrhage" and chance(rng, 0.5)
    if contrast.sequence == "T1w":
        bright = bleeds or chance(rng, 0.07)
        solid = white * uniform(rng, 1.05, 1.35) if bright else towards_csf(0.15, 1.0)
        return PartValues(solid, towards_csf(0.5, 1.0), towards_csf(0.12, 0.6))
    if contrast.sequence == "T2w":
        dark = bleeds or chance(rng, 0.05)
        solid = white * uniform(rng, 0.2, 0.8) if dark else towards_csf(0.3, 1.1)
        return PartValues(solid, towards_csf(0.4, 1.1), towards_csf(0.3, 0.9))
    if contrast.sequence == "FLAIR":
        faint = 2 if kind == "tumour" else 1
        solid, core, around = (grey + 0.03 + 0.52 * uniform(rng, 0, 1) ** faint for _ in range(3))
        if bleeds:
            solid = white * uniform(rng, 0.2, 0.8)
        if kind == "tumour" and oedema and chance(rng, 0.4):
            solid = uniform(rng, white, grey + 0.06)
        part = uniform(rng, 0, 1)
        if part < 0.45:
            core = csf + (grey - csf) * uniform(rng, 0.0, 0.6)
        elif part < 0.7:
            core = uniform(rng, white, grey + 0.06)
        return PartValues(solid, core, around)
    return PartValues(*(_away_from(rng, white) for _ in range(3)))


def draw_fluid(rng: Rng, contrast: Contrast) -> float:
    """Draw the intensity of the fluid in a hole: up to a third of the way from CSF to white."""
    csf, white = float(contrast.means[CSF]), float(contrast.means[WHITE])
    return csf + (white - csf) * uniform(rng, 0.0, 0.35)


def _away_from(rng: Rng, white: float) -> float:
    """Draw a value of [0, 1.2) at least .12 from white matter."""
    while True:
        value = uniform(rng, 0.0, 1.2)
        if abs(value - white) > 0.12:
            return value


def paint_lesion(rng: Rng, image: Tensor, lesion: Lesion, contrast: Contrast) -> Tensor:
    """Blend a lesion into a healthy image (I, J, K); a new image."""
    if lesion.kind == "none":
        return image
    rough = 0.2 if lesion.kind in ("tumour", "haemorrhage") else 0.08
    widest = 25 if lesion.kind == "tumour" else 10
    box = lesion.box
    spread = uniform(rng, 0.0, rough)
    texture = spread * smooth_field(rng, image.shape, uniform(rng, 2, widest), box)
    values = draw_values(rng, contrast, lesion.kind, lesion.oedema is not None)
    if lesion.fluid:
        values = values._replace(core=draw_fluid(rng, contrast))
    value = values.solid + (values.core - values.solid) * lesion.core[box]
    if lesion.oedema is not None:
        value = value + (values.oedema - value) * lesion.oedema[box]
    painted = image.clone()
    painted[box] += lesion.alpha[box] * (value + texture - image[box])
    return painted
