"""The sequence in names and timings, with names as they occur in hospitals and data sets."""

from __future__ import annotations

import pytest

from anatomaly.scan.sequence_hint import sequence_from_name, sequence_from_timing


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("sub-01_ses-2_T1w", "T1w"),
        ("sub-01_acq-T2prep_T1w", "T1w"),
        ("sub-01_FLAIR", "FLAIR"),
        ("T2w", "T2w"),
        ("IXI012-HH-1211-T1", "T1w"),
        ("patient19-flair", "FLAIR"),
        ("BraTS20_001_t1ce", "T1w"),
        ("BraTS20_001_t2", "T2w"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("Sag 3D T2 FLAIR Cube", "FLAIR"),
        ("Ax T1 FLAIR", "T1w"),
        ("t1_mprage_sag_p2_iso", "T1w"),
        ("MPRAGE", "T1w"),
        ("SAG FSPGR 3D", "T1w"),
        ("t2_tse_tra_512", "T2w"),
        ("T2* GRE", None),
        ("t2star_map", None),
        ("SWI_T2", None),
        ("T1_to_T2", None),
        ("T1w_and_FLAIR_mean", None),
        ("orig", None),
        ("at1st2nd", None),
        ("patient_T10", None),
        ("", None),
    ],
)
def test_names(name: str, sequence: str | None):
    assert sequence_from_name(name) == sequence


@pytest.mark.parametrize(
    ("repetition", "echo", "inversion", "scanning", "sequence"),
    [
        (2.3, 0.003, 0.9, "GR\\IR", "T1w"),
        (0.008, 0.0035, None, "GR", "T1w"),
        (0.5, 0.012, None, "SE", "T1w"),
        (9.0, 0.09, 2.5, "SE\\IR", "FLAIR"),
        (5.0, 0.39, 1.8, "SE\\IR", "FLAIR"),
        (2.0, 0.02, 0.75, "SE\\IR", "T1w"),
        (4.0, 0.1, None, "SE", "T2w"),
        (3.2, 0.41, None, "SE", "T2w"),
        (2.5, 0.015, None, "SE", None),
        (0.7, 0.02, None, "GR", None),
        (2.0, 0.03, None, "GR", None),
        (None, 0.1, None, "SE", None),
        (4.0, None, None, "SE", None),
        (0, 0, 0, "", None),
        ("4", True, [], "", None),
    ],
)
def test_timing(repetition, echo, inversion, scanning, sequence):
    fields = {
        "RepetitionTime": repetition,
        "EchoTime": echo,
        "InversionTime": inversion,
        "ScanningSequence": scanning,
    }
    assert sequence_from_timing(fields) == sequence
