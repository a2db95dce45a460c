"""Named errors: each message says what was found and what to do about it.

Every error that a user can cause derives from `AnatomalyError`, so a cohort run catches exactly
these, reports them in its table and goes on; anything else is a defect of ours.
"""

from __future__ import annotations


class AnatomalyError(Exception):
    """Root of every error that this package raises on purpose."""


class ScanError(AnatomalyError):
    """The scan cannot be read, or is not one 3D structural MR image of a head."""


class GeometryError(ScanError):
    """The affine is missing, singular or not finite, or two grids that must agree do not."""


class PreparationError(AnatomalyError):
    """A preparation step (bias field, brain extraction, registration) failed."""


class WeightsError(AnatomalyError):
    """Weights are missing, damaged, or made for another preparation or model."""


class ConfigError(AnatomalyError):
    """An option or a configuration value is out of its range."""


class BidsError(AnatomalyError):
    """The folder is no BIDS data set, or holds nothing that was asked for."""


class OutputError(AnatomalyError):
    """The output folder, or the folder for files in between, cannot be written."""


class DicomError(AnatomalyError):
    """Results cannot be written as DICOM: the instances are missing or lie on another grid."""


class TrainingError(AnatomalyError):
    """Training data or a checkpoint cannot be used."""


class EvaluationError(AnatomalyError):
    """A score, a label or a test set cannot be measured."""


class SealedError(EvaluationError):
    """A label was asked for before the threshold of the method was fixed."""


class WorkerError(AnatomalyError):
    """A process that did a scan beside others ended, or none could be started."""
