"""The endings of scan files, in one place: whatever opens, lists or names scans asks here."""

from __future__ import annotations

NIFTI_ENDINGS = (".nii.gz", ".nii")
"""NIfTI in one file: all that BIDS allows, and what results are written as."""

FREESURFER_ENDINGS = (".mgz", ".mgh.gz", ".mgh")

HEADER_ENDINGS = (".hdr", ".hdr.gz")
"""First half of a NIfTI or Analyze pair; the second half has the same name and `.img`."""

VOXELS_ENDINGS = (".img", ".img.gz")

DICOM_ENDINGS = (".dcm", ".ima")
"""Of single DICOM images, which need none: they are known by their content."""

SCAN_ENDINGS = (*NIFTI_ENDINGS, *FREESURFER_ENDINGS, *HEADER_ENDINGS, *VOXELS_ENDINGS)
"""Every ending that a scan may have; upper case counts too."""


def has_ending(name: str, endings: tuple[str, ...] = SCAN_ENDINGS) -> bool:
    """Tell whether a file name has one of the endings, in upper or lower case.

    >>> has_ending("HEAD.NII.GZ"), has_ending("head.hdr", NIFTI_ENDINGS), has_ending("head.png")
    (True, False, False)
    """
    return name.lower().endswith(endings)


def without_ending(name: str) -> str:
    """Return a file name without its scan ending, if it has one.

    >>> without_ending("sub-01_T1w.nii.gz"), without_ending("T1.MGZ"), without_ending("a.b")
    ('sub-01_T1w', 'T1', 'a.b')
    """
    matching = [ending for ending in SCAN_ENDINGS + DICOM_ENDINGS if name.lower().endswith(ending)]
    return name[: len(name) - max(map(len, matching), default=0)]
