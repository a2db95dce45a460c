"""T1w, T2w or FLAIR from what a name or a DICOM header says; None where they leave a doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from anatomaly.types import Sequence

_SUFFIX = re.compile(r"(?:^|[_.\-])(T1w|T2w|FLAIR|UNIT1)$", re.IGNORECASE)
_EDGE_L, _EDGE_R = r"(?:^|(?<=[^a-z0-9]))", r"(?=$|[^a-z0-9])"
_T1_FLAIR = re.compile(r"t1[^a-z0-9]*flair|flair[^a-z0-9]*t1" + _EDGE_R)
_FLAIR = re.compile(r"flair|dark[^a-z0-9]*fluid|" + _EDGE_L + "tirm")
_T1 = re.compile(
    _EDGE_L + r"t1(?:w|wi|c|ce|gd)?" + _EDGE_R + r"|mp2?rage|" + _EDGE_L + r"(?:f?spgr|bravo|tfl3d)"
)
_T2_STAR = re.compile(_EDGE_L + r"t2[^a-z0-9]?(?:\*|star)|" + _EDGE_L + r"(?:swi|swan)" + _EDGE_R)
_T2 = re.compile(_EDGE_L + r"t2(?:w|wi)?" + _EDGE_R)
_CANONICAL: dict[str, Sequence] = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "unit1": "T1w"}


def sequence_from_name(name: str) -> Sequence | None:
    """Read the sequence from a file name (without its ending) or a series description.

    A BIDS suffix decides; else the words in the name, if they name one sequence only.

    >>> sequence_from_name("sub-01_acq-T2prep_T1w"), sequence_from_name("t2_tirm_tra_dark-fluid")
    ('T1w', 'FLAIR')
    >>> sequence_from_name("IXI012-Guys-0778-T1"), sequence_from_name("gre_t2star"), \
        sequence_from_name("scan")
    ('T1w', None, None)
    """
    suffix = _SUFFIX.search(name)
    if suffix:
        return _CANONICAL[suffix.group(1).lower()]
    text = name.lower()
    if _T1_FLAIR.search(text):
        return "T1w"
    if _FLAIR.search(text):
        return None if _T1.search(text) else "FLAIR"
    if _T2_STAR.search(text):
        return None
    t1, t2 = bool(_T1.search(text)), bool(_T2.search(text))
    if t1 == t2:
        return None
    return "T1w" if t1 else "T2w"


def sequence_from_timing(fields: Mapping[str, Any]) -> Sequence | None:
    """Read the sequence from RepetitionTime, EchoTime and InversionTime, in seconds.

    Args:
        fields: a BIDS sidecar, or what dcm2niix writes.

    >>> sequence_from_timing({"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5})
    'FLAIR'
    >>> sequence_from_timing({"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9})
    'T1w'
    >>> sequence_from_timing({"RepetitionTime": 4.0, "EchoTime": 0.1})
    'T2w'
    """
    repetition = _seconds(fields, "RepetitionTime")
    echo = _seconds(fields, "EchoTime")
    inversion = _seconds(fields, "InversionTime")
    if echo is None or repetition is None:
        return None
    gradient_echo = "GR" in str(fields.get("ScanningSequence", "")).upper()
    if inversion is not None and inversion >= 1.4 and echo >= 0.06:
        return "FLAIR"
    if inversion is not None and 0.3 <= inversion < 1.4 and echo < 0.035:
        return "T1w"
    if not inversion and echo < 0.03 and repetition <= 1.1 and (echo < 0.01 or not gradient_echo):
        return "T1w"
    if not inversion and echo >= 0.07 and repetition > 1.5 and not gradient_echo:
        return "T2w"
    return None


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    """Return a positive number of the fields, or None."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        return None
    return float(value)
