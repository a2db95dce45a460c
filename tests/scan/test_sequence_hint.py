"""The sequence in names and timings, with names as they occur in hospitals and data sets."""

from __future__ import annotations

import pytest

from anatomaly.scan.sequence_hint import (
    contrast_agent_from_fields,
    contrast_agent_said,
    sequence_from_name,
    sequence_from_timing,
)


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
        ("BraTS-GLI-00001-000-t1n", "T1w"),
        ("BraTS-GLI-00001-000-t1c", "T1w"),
        ("BraTS-GLI-00001-000-t2w", "T2w"),
        ("BraTS-GLI-00001-000-t2f", "FLAIR"),
        ("sub-01_UNIT1", "T1w"),
        ("UNIT1", "T1w"),
        ("sub-01_space-T1w_FLAIR", "FLAIR"),
        ("sub-01_desc-flair_T1w", "T1w"),
        ("T2_FLAIR", "FLAIR"),
        ("T1FLAIR", "T1w"),
        ("flair_in_mni", "FLAIR"),
        ("T1_2mm", "T1w"),
        ("t2_tirm_tra_dark-fluid_FA150", "FLAIR"),
        ("FLAIR_T1", None),
        ("T1_FLAIR", None),
        ("t1_flair_registered", None),
        ("flair_to_t1", None),
        ("FLAIR2T1", None),
        ("t1toflair", None),
        ("T1_in_FLAIR", None),
        ("T1_in_FLAIR_space", None),
        ("FLAIR_space-T1w", None),
        ("T1w-space-FLAIR", None),
        ("t2_to_flair", None),
        ("t2_reg_to_flair", None),
        ("T2w_2_T1w", None),
        ("scan_T1_T2w", None),
        ("flair_mprage", None),
        ("T1_map", None),
        ("T2rho", None),
        ("patient_T10", None),
        ("", None),
        ("T2_SPACE_FLAIR", "FLAIR"),
        ("t2_spc_flair_sag_p2_iso", "FLAIR"),
        ("T2 SPACE DARK-FLUID FLAIR", "FLAIR"),
        ("t2_space_dark-fluid_sag_p2_iso", "FLAIR"),
        ("t2_spc_da-fl_sag_p2_iso", "FLAIR"),
        ("FLAIR_SPACE_T2", "FLAIR"),
        ("T2w_space-FLAIR", None),
        ("t1_space_sag", "T1w"),
        ("T1TSE", "T1w"),
        ("T1SE", "T1w"),
        ("T1W3D", "T1w"),
        ("sT1W_3D_TFE", "T1w"),
        ("T1MPRAGE", "T1w"),
        ("t1w3dtfe", "T1w"),
        ("3DT1", "T1w"),
        ("T1postcontrast", "T1w"),
        ("T1PostGd", "T1w"),
        ("T1TSEpreGd", "T1w"),
        ("T2TSE", "T2w"),
        ("T2SE", "T2w"),
        ("T2W3D", "T2w"),
        ("sT2W_TSE", "T2w"),
        ("sT2W_FLAIR", "FLAIR"),
        ("T2FFE", None),
        ("T1TSE_T2TSE", None),
        ("flair_to_T1TSE", None),
        ("T1secret", None),
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


@pytest.mark.parametrize(
    "text",
    [
        "t1c",
        "T1 +C",
        "T1+C",
        "sub-01_ce-gad_T1w",
        "sub-01_ce-gadolinium_T1w",
        "AX T1 POST",
        "t1ce",
        "BraTS-GLI-00001-000-t1c",
        "T1Gd",
        "t1_gd",
        "T1 SE tra +C",
        "t1_mprage_sag_post_gd",
        "T1 KM",
        "T1 nach KM",
        "T1 mit KM",
        "t1_tse_tra_KM",
        "AX T1 C+",
        "POST CONTRAST",
        "T1 with contrast",
        "T1 W/ CONTRAST",
        "T1 w contrast",
        "contrast-enhanced T1",
        "CE-MRA",
        "T1 apres gado",
        "T1 avec injection",
        "T1 con contraste",
        "MPRAGE GAD",
        "postcontrast",
        "post-con",
        "T1POST",
        "p01_t1ce",
        "ct1",
        "AX T1 FS +GD",
        "mprage+c",
        "SAG T1 POST FS",
        "T1_post_contrast",
        "T1 Gadovist",
        "3D T1 GADO",
        "T1 CONTRAST",
        "POSTGAD",
        "post gd",
        "T1 TSE SAG KM+",
        "T1 m. KM",
        "patient-t1-c",
        "T1 injecté",
        "T1postcontrast",
        "T1PostGd",
        "T1wPostGad",
        "FLAIRpostGd",
        "T1TSEpostKM",
    ],
)
def test_contrast_agent(text: str):
    assert contrast_agent_said(text)


@pytest.mark.parametrize(
    "text",
    [
        "W/O CONTRAST",
        "AX FLAIR W/O CONTRAST",
        "without gad",
        "PRE",
        "T1 PRE",
        "non-contrast",
        "noncontrast",
        "ohne KM",
        "o. KM",
        "oKM",
        "sans gado",
        "pre/post",
        "FLAIR PRE CONTRAST",
        "FLAIR no gd",
        "BRAIN W/WO CONTRAST",
        "W & W/O CONTRAST",
        "with and without contrast",
        "mit und ohne KM",
        "precontrast",
        "pre-contrast",
        "T1 pre gd",
        "T1 nativ",
        "T1 vor KM",
        "t1n",
        "t2f",
        "sub-01_T1w",
        "ses-post_T1w",
        "sub-01_ses-post_T1w",
        "T1 post op",
        "postop T1",
        "t1_postRT",
        "posterior fossa",
        "phase contrast",
        "phase_contrast",
        "multi-contrast",
        "sub-01_ce-none_T1w",
        "IXI012-Guys-0778-T1",
        "T1 -C",
        "t1 c-",
        "T1 without contrast",
        "T1 W/O",
        "T1 WO GAD",
        "WO GD",
        "non gad",
        "senza mdc",
        "sin contraste",
        "T1 SE sag",
        "cerebral",
        "place_T1",
        "face",
        "t1_space_sag",
        "post_treatment_FLAIR",
        "T1 non-enhanced",
        "unenhanced",
        "KM-",
        "without IV contrast",
        "no iv contrast",
        "sans injection",
        "T1 gd-",
        "pre gad T1",
        "pregad",
        "nongad",
        "pre_and_post",
        "T1 w/wo",
        "w and w/o gad",
        "NON CONTRAST",
        "w/out contrast",
        "no contrast agent",
        "without gadolinium contrast agent",
        "with and without contrast agent",
        "T1precontrast",
        "T1PreGd",
        "T1w/o contrast",
        "T1postop",
        "kein KM",
    ],
)
def test_no_contrast_agent(text: str):
    assert not contrast_agent_said(text)


def test_without_both_or_silent_about_contrast_agent():
    assert contrast_agent_said("T1 W/O CONTRAST") is False
    assert contrast_agent_said("BRAIN W/WO CONTRAST") is None
    assert contrast_agent_said("T1 MPRAGE") is None


@pytest.mark.parametrize(
    "tag",
    [
        "NO CONTRAST", "No contrast agent", "NONE", "None given", "NONE ADMINISTERED", "W/O",
        "Without contrast", "0 ml", "0.0ML", "0cc", "0", "0.0", "Unknown", "UNKNOWN.", "not given",
        "Contrast not administered", "Gadavist: none given", "MAGNEVIST 0 ML", "contrast: none",
        "Contrast agent: none", "N/A", "not applicable", "No IV contrast", "NO.", "--", "?", "",
        "kein KM", "nicht gegeben", "sans injection", "['NONE', 'NONE']", "no gadolinium was given",
    ],
)  # fmt: skip
def test_tags_that_deny_an_agent(tag: str):
    assert not contrast_agent_from_fields(["T1"], {"ContrastBolusAgent": tag})


@pytest.mark.parametrize(
    "tag",
    [
        "GADAVIST", "Gadovist 1.0 mmol/ml", "7.5 ml Prohance", "10 ML", "YES", "Gd-BOPTA",
        "0.1 mmol/kg gadobutrol", "CONTRAST", "Vueway 10cc, no reaction", "Gadavist 0.5 ml", "GBCA",
    ],
)  # fmt: skip
def test_tags_that_name_an_agent(tag: str):
    assert contrast_agent_from_fields(["T1"], {"ContrastBolusAgent": tag})


def test_an_agent_unknown_in_one_tag_may_stand_in_the_other():
    fields = {"ContrastBolusAgent": "Unknown", "ContrastBolusIngredient": "GADOLINIUM"}
    assert contrast_agent_from_fields(["T1"], fields)
    fields["ContrastBolusAgent"] = "NONE"
    assert not contrast_agent_from_fields(["T1"], fields)
