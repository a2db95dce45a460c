"""Prepare a scan: from the file's grid to the working grid in [0, 1], every step recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from anatomaly.config import PreprocessConfig
from anatomaly.errors import PreparationError
from anatomaly.geometry import affine_about
from anatomaly.preprocess.appearance import Appearance, is_bare, measure_appearance
from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.bias_field import (
    BiasField,
    correct_bias_field,
    mirror_bias_field,
    room_around,
)
from anatomaly.preprocess.brain_extraction import (
    BrainExtraction,
    describe,
    extract_brain,
    near_template,
    read_brain_mask,
    trim_to_template,
)
from anatomaly.preprocess.checks import (
    LEAST_PART_ML,
    PLAUSIBLE_ML,
    USUAL_MISSING,
    doubts_about,
    doubts_about_coverage,
    doubts_about_volume,
    refusal_of,
)
from anatomaly.preprocess.coarse_head import load_tissue_regions, place_coarse_head
from anatomaly.preprocess.crop import Crop, coarsen, crop_to_content, refine, undo_crop
from anatomaly.preprocess.normalise import Normalisation, normalise_intensity
from anatomaly.preprocess.outliers import repair_outliers
from anatomaly.preprocess.quality import load_references
from anatomaly.preprocess.references import load_in_background
from anatomaly.preprocess.register import Registration, nearest_rotation, register_to_template
from anatomaly.preprocess.reorient import Reorientation, reorient
from anatomaly.preprocess.resample import (
    empty_grid,
    resample,
    resample_mask,
    resample_to_template,
    template_grid,
)
from anatomaly.preprocess.sequence import choose_sequence
from anatomaly.preprocess.template import load_template
from anatomaly.preprocess.trace import Log, Trace
from anatomaly.preprocess.uneven_slices import doubts_about_slices
from anatomaly.preprocess.unusual import find_doubts, shows_an_adult
from anatomaly.types import Affine, SequenceOption
from anatomaly.volume import PreparedImage, Scan, Volume

MADE_BY_US = ("deepbet", "atlas")
"""Methods whose mask may be poor: the others were given, or came with the scan."""

MOST_TURN_DEGREES = 40.0
"""Heads tilt by 20° or so in their header's frame; beyond, the header is wrong."""

MOST_TURNS = 2
"""A mask found in a turned head can be poor enough to hide by how much it is turned."""

MUCH_TRIMMED = 0.02
"""Share of the mask whose loss makes a second registration worth its five seconds."""


@dataclass(frozen=True)
class Prepared:
    """A scan ready for the networks.

    Attributes:
        image: on the working grid; its sequence was told, or guessed from name or image.
        trace: the way back.
    """

    image: PreparedImage
    trace: Trace


def prepare(
    scan: Scan, config: PreprocessConfig | None = None, sequence: SequenceOption = "auto"
) -> Prepared:
    """Reorient, extract the brain, correct the bias field, register, resample and normalise.

    The bias field is corrected twice: fully, so that the registration sees clean tissue, and then
    without what only one hemisphere shows, so that a tumour keeps its contrast.

    Args:
        scan: with skull or without, any orientation.
        config: the defaults if None.
        sequence: `auto` takes the scan's hint, else looks at the image.

    Raises:
        PreparationError: a step failed, or the result is too poor to be trusted (the message
            says what was measured); `config.force` turns the latter into a warning.
    """
    config = config or PreprocessConfig()
    load_in_background(load_references, near_template, load_tissue_regions)
    log = Log(config.force)
    with log.step("reorient") as record:
        whole, reorientation = reorient(scan.volume)
        record["axes"] = "".join(reorientation.axes)
    content, crop, user_mask = _take_content(whole, reorientation, config, log)
    shown = coarsen(content)
    if user_mask is not None:
        user_mask = resample(user_mask, shown, order=0)
    brain = _find_brain(shown, config, log, user_mask=user_mask)
    if brain.lies_turned:
        brain = _find_turned_brain(shown, brain, config, log)
    brain = _trim_brain(brain, log)
    log.warn(*brain.extraction.warnings)
    _judge(brain, log)
    brain = _mirror_bias_field(brain, log)
    image, mask_template, normalisation = _bring_to_template(brain, log)
    appearance = _look_at_head(shown, brain, mask_template, log)
    with log.step("sequence") as record:
        trusted = shows_an_adult(appearance) and not scan.hint_is_timed
        chosen, confidence, doubt = choose_sequence(
            sequence, scan.sequence_hint, image, mask_template, trust_image=trusted
        )
        record |= {"sequence": chosen, "confidence": round(confidence, 3)}
        log.warn(doubt)
    for unusual in find_doubts(appearance, chosen):
        log.refuse(unusual.text, may_go_on=not unusual.is_great)
    mask, bias_field = _bring_back(brain, content, crop, whole)
    trace = Trace(
        steps=tuple(log.steps),
        scan_grid=empty_grid(scan.volume.shape, scan.volume.affine),
        reorientation=reorientation,
        bias_field=bias_field,
        extraction=brain.extraction,
        brain_mask_ras=mask,
        brain_mask_template=mask_template,
        registration=brain.registration,
        normalisation=normalisation,
        warnings=tuple(log.warnings),
        quality={"brain_ml": brain.extraction.volume_ml, **asdict(brain.registration.fit)},
    )
    return Prepared(PreparedImage(image.data, mask_template.data, chosen), trace)


def _take_content(
    whole: Volume, reorientation: Reorientation, config: PreprocessConfig, log: Log
) -> tuple[Volume, Crop, Volume | None]:
    """Put outliers right, cut off empty margins, and look for slices that do not fit.

    Returns:
        What is left; where it lay; and the user's brain mask on it, None without one.
    """
    usual = find_usual_range(whole.data)
    with log.step("outliers") as record:
        sound, outliers = repair_outliers(whole, usual)
        record |= {"replaced": outliers.replaced_voxels, "limited": outliers.limited_voxels}
        log.warn(outliers.warning(whole.data.size))
    with log.step("cropping") as record:
        user_mask = read_brain_mask(config.brain_mask, whole) if config.brain_mask else None
        content, crop = crop_to_content(sound, usual, user_mask, outliers.where)
        record["removed"] = crop.removed
        usual = find_usual_range(content.data)
        log.warn(*doubts_about_slices(content, usual, reorientation, crop))
    return content, crop, None if user_mask is None else content.with_data(user_mask[crop.box])


@dataclass(frozen=True)
class _Brain:
    """The brain found in a scan, freed of its bias field and placed in template space."""

    mask: Volume
    extraction: BrainExtraction
    corrected: Volume
    bias_field: BiasField | None
    registration: Registration

    @property
    def affine(self) -> Affine:
        """From scanner mm to template mm, (4, 4)."""
        return self.registration.scanner_to_template

    @property
    def mask_is_ours(self) -> bool:
        """True where the mask was neither given nor came with the scan."""
        return self.extraction.method in MADE_BY_US

    @property
    def lies_turned(self) -> bool:
        """True where a mask made by us may be poor because the header says 'up' wrongly."""
        return self.mask_is_ours and self.registration.turn_degrees > MOST_TURN_DEGREES


def _find_brain(
    volume: Volume,
    config: PreprocessConfig,
    log: Log,
    *,
    user_mask: Volume | None = None,
    upright: Affine | None = None,
) -> _Brain:
    """Extract the brain, correct the bias field and register.

    Args:
        volume: axes close to RAS+.
        config: of the preparation.
        log: of the run.
        user_mask: brain mask of the user, same grid.
        upright: rotation (4, 4) in scanner mm that puts the head upright for the extraction.
    """
    with log.step("brain extraction") as record:
        shown = volume if upright is None else Volume(volume.data, upright @ volume.affine)
        if user_mask is None:
            mask, extraction = extract_brain(shown, config)
        else:
            mask, extraction = describe(user_mask.data, volume, "file")
        mask = volume.with_data(mask.data)
        record |= {"method": extraction.method, "brain_ml": round(extraction.volume_ml, 1)}
    if extraction.volume_ml < LEAST_PART_ML or (
        extraction.volume_ml > PLAUSIBLE_ML[1] and extraction.method not in MADE_BY_US
    ):  # a turned head gives a mask of ours that is too large, a cropped one a small one
        log.refuse(doubts_about_volume(extraction.volume_ml))
    bias_field, corrected = None, volume
    if config.bias_field:
        with log.step("bias field"):
            corrected, bias_field = correct_bias_field(
                volume, mask, room_mm=room_around(volume, mask)
            )
    with log.step("registration") as record:
        registration = register_to_template(corrected, mask)
        record["attempts"] = registration.attempts
    return _Brain(mask, extraction, corrected, bias_field, registration)


def _find_turned_brain(volume: Volume, first: _Brain, config: PreprocessConfig, log: Log) -> _Brain:
    """Extract the brain again with the head put upright, twice if need be; keep the best."""
    best = current = first
    for _ in range(MOST_TURNS):
        turn = nearest_rotation(current.affine)
        try:
            current = _find_brain(volume, config, log, upright=affine_about(turn, np.zeros(3)))
        except PreparationError:
            break  # what was found before may still do
        best = max(best, current, key=lambda brain: brain.registration.fit.score)
        if best.registration.is_good:
            break
    log.warnings.append(
        f"the head lies turned by {best.registration.turn_degrees:.0f}° from what the header says; "
        "it was put upright, but check that left and right are as you expect"
    )
    return best


def _trim_brain(brain: _Brain, log: Log) -> _Brain:
    """Cut eyes, sinuses and neck off a mask of ours; register again where that was much."""
    if not brain.mask_is_ours or refusal_of(brain.registration.fit):
        return brain
    registration = brain.registration
    with log.step("trimming") as record:
        mask = trim_to_template(brain.mask, brain.affine)
        share = 1.0 - float(mask.data.sum()) / float(brain.mask.data.sum())
        record["trimmed_share"] = round(share, 4)
        if share > MUCH_TRIMMED:
            registration = register_to_template(brain.corrected, mask)
            record["registered_again"] = True
    extraction = replace(brain.extraction, volume_ml=brain.extraction.volume_ml * (1.0 - share))
    return replace(brain, mask=mask, extraction=extraction, registration=registration)


def _judge(brain: _Brain, log: Log) -> None:
    """Refuse what cannot be used, and warn of what is doubtful."""
    fit, coverage = brain.registration.fit, brain.registration.coverage
    log.refuse(refusal_of(fit))
    log.refuse(doubts_about_volume(brain.extraction.volume_ml, fit.missing))
    sides = {}
    if fit.missing > USUAL_MISSING:
        sides = coverage.missing_sides(load_template().brain_mask, brain.affine)
    log.warn(doubts_about_coverage(fit.missing, sides), doubts_about(fit))


def _mirror_bias_field(brain: _Brain, log: Log) -> _Brain:
    """Give back to large lesions what the bias field took from them."""
    if brain.bias_field is None:
        return brain
    with log.step("bias field of both hemispheres"):
        corrected, bias_field = mirror_bias_field(
            brain.corrected, brain.bias_field, brain.mask, brain.affine
        )
    return replace(brain, corrected=corrected, bias_field=bias_field)


def _bring_to_template(brain: _Brain, log: Log) -> tuple[Volume, Volume, Normalisation]:
    """Resample image and mask onto the working grid, and normalise the image inside the mask."""
    with log.step("resampling"):
        resampled = resample_to_template(brain.corrected, brain.affine)
        mask = resampled.with_data(resample_mask(brain.mask, template_grid(), brain.affine))
    with log.step("normalisation") as record:
        image, normalisation = normalise_intensity(resampled, mask)
        record |= {"low": normalisation.low, "high": normalisation.high}
    return image, mask, normalisation


def _bring_back(
    brain: _Brain, content: Volume, crop: Crop, whole: Volume
) -> tuple[Volume, BiasField | None]:
    """Return brain mask and bias field (1 on what was cut off) on the grid before crop."""
    mask, bias_field = refine(brain.mask, brain.bias_field, content)
    if bias_field is not None:
        field = undo_crop(bias_field.field, crop, whole, fill=1.0)
        bias_field = replace(bias_field, field=field)
    return undo_crop(mask, crop, whole), bias_field


def _look_at_head(volume: Volume, brain: _Brain, mask_template: Volume, log: Log) -> Appearance:
    """Measure what tells an adult's structural scan from others, see `unusual.py`."""
    with log.step("appearance") as record:
        head = place_coarse_head(brain.corrected, mask_template, brain.affine)
        bare = brain.extraction.already_stripped or is_bare(volume, brain.mask)
        appearance = measure_appearance(
            head, min(volume.spacing_mm), bare=bare, missing=brain.registration.fit.missing
        )
        record |= appearance.figures()
    return appearance
