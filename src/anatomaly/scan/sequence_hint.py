"""T1w, T2w or FLAIR from what a name or a DICOM header says; None where they leave a doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from anatomaly.types import MrSequence

_EDGE_L, _EDGE_R = r"(?:^|(?<=[^a-z0-9]))", r"(?=$|[^a-z0-9])"
_BIDS_SUFFIX = re.compile(r"^(?:[a-z]+-[^_]+_)*(T1w|T2w|FLAIR|UNIT1)$", re.IGNORECASE)
"""A name of BIDS entities alone, or the suffix alone."""
_CANONICAL: dict[str, MrSequence] = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "unit1": "T1w"}
_T1_FLAIR = re.compile(rf"{_EDGE_L}t1 ?flair{_EDGE_R}")
"""One sequence, as GE names it. With other signs between the words, they are two."""
_FLAIR = re.compile(rf"flair|dark[^a-z0-9]*fluid|{_EDGE_L}(?:tirm|da[^a-z0-9]?fl|t2f){_EDGE_R}")
_KIND = (
    r"(?:[23]d|(?:[23]d)?(?:tse|fse|ssfse|haste|blade|propeller|se|space|spc|cube|vista)(?:[23]d)?|"
    r"fs|sag|cor|tra|ax)"
)
"""What may stand after `t1`, `t1w`, `t2` or `t2w` in one word with it."""
_T1_KIND = rf"(?:{_KIND}|(?:[23]d)?(?:tfe|ffe|fl|flash|vibe|gre|ir|mpr|mprage)(?:[23]d)?)"
_T1_AGENT = (
    r"(?:n|nativ|c|ce|\+c|gd|km|"
    r"(?:pre|post)(?:c|ce|con|contrast|contraste|kontrast|gd|gad|gado|km)?)"
)
_T1 = re.compile(
    rf"{_EDGE_L}(?:(?:s|[23]d)?t1(?:w|wi)?{_T1_KIND}?{_T1_AGENT}?|ct1|unit1){_EDGE_R}|mp2?rage|"
    rf"{_EDGE_L}(?:f?spgr|bravo|tfl3d)"
)
_T2_STAR = re.compile(_EDGE_L + r"t2[^a-z0-9]?(?:\*|star)|" + _EDGE_L + r"(?:swi|swan)" + _EDGE_R)
_T2 = re.compile(_EDGE_L + rf"(?:s|[23]d)?t2(?:w|wi)?{_KIND}?" + _EDGE_R)
_MEASURED_MAP = re.compile(_EDGE_L + r"t[12][^a-z0-9]?(?:map|rho)")
_WORD = rf"(?:t[12](?:w|wi)?{_KIND}?|flair)"
_RELATION = (
    r"(?:to|2|in|on|onto|reg|reg2|coreg|from|into|and|minus|vs|over|with|like|"
    r"(?<=_)space(?=-[a-z]))"
)
"""SPACE is also a sequence of Siemens (`T2_SPACE_FLAIR`): only `_space-`, of BIDS, tells a grid."""
_ONE_IN_ANOTHER = re.compile(
    f"{_WORD}(?:[^a-z0-9]*{_RELATION}[^a-z0-9]*|[^a-z0-9]+(?:[a-z0-9]+[^a-z0-9]+)?{_RELATION}"
    f"[^a-z0-9]+(?:[a-z0-9]+[^a-z0-9]+)?){_WORD}{_EDGE_R}"
)
"""`flair_to_t1`, `FLAIR2T1`, `T1_in_FLAIR_space`, `T2w_space-FLAIR`, `t2_reg_to_flair`."""

_JOIN = r"[^a-z0-9]*"
_AGENT = (
    r"(?:gado[a-z]*|gad[a-z]?|gd(?:[ -]?dtpa)?|(?<!phase )(?<!phase-)(?<!phase_)(?<!transfer )"
    r"(?<!multi )(?<!multi-)(?<!multi_)(?<!high )(?<!low )(?<!tissue )[ck]ontrast[a-z]*|km|kontr|"
    r"inject[a-zé]*|inj|mdc|m\.d\.c|pdc|agent|dotarem|gadavist|magnevist|multihance|omniscan|prohance|"
    r"clariscan|elucirem|vueway)"
)
"""Words for the agent, whichever side of 'with' and 'without' they stand on."""
_AGENTS = rf"{_AGENT}(?:[ _-]+{_AGENT}){{0,2}}"
_STUCK = r"(?:(?:t[12](?:w|wi)?|flair)(?:[23]d|tse|fse|se|tfe|mprage|vibe|space)?)?"
"""What stands before in one word: `T1postcontrast`, `FLAIRpreGd`."""
_NOT = (
    r"(?:w/o|w\\o|wo|w\.o|without|w/out|no|non|not|none|nil|sans|ohne|keine?s?|o\.|senza|sin|"
    r"zonder|geen|utan|"
    r"uden|uten|bez|pre|pré|vor|avant|prima|before|nativ[ea]?|minus|unenhanced|noncon|precon|s/)"
)
_WITH = r"(?:w|w/|with|mit|m\.|avec|con|met|med|post|nach|apres|après|after|dopo)"
_BOTH = re.compile(
    rf"{_EDGE_L}{_STUCK}(?:{_NOT}{_JOIN}(?:and|und|et|e|y|en|&)?{_JOIN}{_WITH}|"
    rf"{_WITH}{_JOIN}(?:and|und|et|e|y|en|&)?{_JOIN}{_NOT})"
    rf"(?:{_JOIN}(?:iv|i\.v\.)?{_JOIN}{_AGENTS})?{_EDGE_R}"
)
"""`W/WO CONTRAST`, `pre/post`: the whole exam, which says nothing about one series."""
_WITHOUT = re.compile(
    rf"{_EDGE_L}{_STUCK}"
    rf"(?:{_NOT}(?:{_JOIN}(?:iv|i\.v\.|any|the|de|di|der|v)?{_JOIN}{_AGENTS}|{_EDGE_R})"
    rf"|ce-(?:none|no|pre|without|0){_EDGE_R}|{_AGENTS}(?:[ _]?-|{_JOIN}(?:free|none)){_EDGE_R}"
    rf"|(?:-(?<![a-z0-9]-)c|c-){_EDGE_R}|(?:no|non|pre|wo|o){_AGENT}{_EDGE_R})"
)
_NOTHING_SAID = re.compile(
    r"[^a-z0-9]*(?:(?:unknown|unk|unspecified|not (?:known|specified|stated|recorded|available)|"
    r"undefined|null|unbekannt|inconnu|n/?a|n\.a\.?|not applicable|anonymi[sz]ed|removed|"
    r"x+)[^a-z0-9]*)?"
)
_NO_AGENT = re.compile(r"[^a-z0-9]*(?:n|no|none|nil|false|off|0+(?:[.,]0+)?|aucun)[^a-z0-9]*")
_NOT_GIVEN = re.compile(
    r"\b(?:not?|none|nil|never|nicht|non|pas|kein[es]?)\b(?: was| were| been)?[^a-z0-9]*(?:given|"
    r"administered|used|applied|injected|inject[ée]|gegeben|verabreicht|appliziert)\b"
)
_NO_AMOUNT = re.compile(r"(?<![\d.,])0+(?:[.,]0+)?[^a-z0-9.,/]*(?:ml|cc|mmol|mg|l)\b(?!/)")
_AMOUNT = re.compile(r"(?<![\d.,])\d*[.,]?\d*[1-9]\d*(?:[.,]\d+)?[^a-z0-9.,/]*(?:ml|cc)\b")
_PLACE_IN_TIME = (
    r"(?:op|surg|rt|radi|chemo|treat|therap|tx|ictal|proc|mortem|scan|day|week|month|year|base|"
    r"interv|stroke|injur|trauma|hoc|test|train|fossa|contr_?ol|reg|n4|n3|bet|\d)"
)
_ENHANCED = re.compile(
    rf"{_EDGE_L}{_STUCK}post(?:c|con|ce|{_AGENT}){_EDGE_R}|"
    rf"{_EDGE_L}(?:{_AGENT}|ce|t1w?i?(?:[ _+-]?(?:c|ce|gd|gad|km|pc)|post)|ct1|"
    rf"c\+|w/ ?c|post[ _-]?(?:c|con|ce|gd|gad|km|{_AGENT}))"
    rf"{_EDGE_R}|(?:^|[^0-9])\+ ?(?:c|gd|gad|km|{_AGENT}){_EDGE_R}"
    rf"|(?:mprage|spgr|bravo|vibe|space|cube|tse|fse)(?:gd|gad|km|ce){_EDGE_R}"
    rf"|(?:^|(?<=[^a-z0-9])(?<!ses-)(?<!session-))post{_EDGE_R}(?!{_JOIN}{_PLACE_IN_TIME})"
)


def sequence_from_name(name: str) -> MrSequence | None:
    """Read the sequence from a file name (without its ending) or a series description.

    A BIDS suffix decides; else the words in the name, if they name one sequence only.

    >>> sequence_from_name("sub-01_acq-T2prep_T1w"), sequence_from_name("t2_tirm_tra_dark-fluid")
    ('T1w', 'FLAIR')
    >>> sequence_from_name("IXI012-Guys-0778-T1"), sequence_from_name("gre_t2star"), \
        sequence_from_name("scan")
    ('T1w', None, None)
    >>> sequence_from_name("FLAIR_T1"), sequence_from_name("flair_to_t1")
    (None, None)
    """
    suffix = _BIDS_SUFFIX.search(name)
    if suffix:
        return _CANONICAL[suffix.group(1).lower()]
    text = name.lower()
    if _ONE_IN_ANOTHER.search(text):
        return None
    if _T1_FLAIR.search(text):
        return "T1w"
    is_flair, no_other = bool(_FLAIR.search(text)), (_T2_STAR, _MEASURED_MAP)
    is_t2 = not is_flair and bool(_T2.search(text))  # T2 FLAIR is one sequence
    named: list[MrSequence] = ["T1w"] if _T1.search(text) else []
    named += ["FLAIR"] if is_flair else ["T2w"] if is_t2 else []
    if len(named) != 1 or (not is_flair and any(words.search(text) for words in no_other)):
        return None
    return named[0]


def contrast_agent_said(text: str) -> bool | None:
    """Return whether a text says with contrast agent (True), without (False), or neither (None).

    Negations count ("W/O CONTRAST", "sans gado", "PRE"), and what names both (`W/WO CONTRAST`)
    says nothing.

    >>> [contrast_agent_said(t) for t in ("t1c", "T1 +C", "sub-01_ce-gad_T1w", "AX T1 POST")]
    [True, True, True, True]
    >>> [contrast_agent_said(t) for t in ("T1 W/O CONTRAST", "ohne KM", "t1n", "pre/post")]
    [False, False, None, None]
    """
    plain = _BOTH.sub(" ", text.lower())
    rest = _WITHOUT.sub(" ", plain)
    if _ENHANCED.search(rest):
        return True
    return False if rest != plain else None


def contrast_agent_from_fields(texts: Iterable[str], fields: Mapping[str, Any]) -> bool:
    """Return whether a scan was made after contrast agent; its own words count more than tags.

    Scanners keep the agent of an exam in the header of what was acquired before it was given.

    Args:
        texts: file name or descriptions, the most telling first.
        fields: a BIDS sidecar, or what a DICOM header says by the same names.

    >>> agent = {"ContrastBolusIngredient": "GADOLINIUM"}
    >>> [contrast_agent_from_fields([text], agent) for text in ("T1", "T1 PRE")]
    [True, False]
    """
    tags = (fields.get(name) for name in ("ContrastBolusAgent", "ContrastBolusIngredient"))
    by_words = (contrast_agent_said(text) for text in texts)
    by_tags = (_agent_given(str(tag or "")) for tag in tags)
    return next((said for said in chain(by_words, by_tags) if said is not None), False)


def _agent_given(tag: str) -> bool | None:
    """Return whether a tag names an agent that was given; None where it says nothing.

    >>> [_agent_given(tag) for tag in ("GADAVIST 7.5 ml", "YES", "NONE GIVEN", "0 ml", "Unknown")]
    [True, True, False, False, None]
    """
    text = tag[:200].strip().lower()
    if _NOTHING_SAID.fullmatch(text):
        return None
    if _NO_AGENT.fullmatch(text) or _NOT_GIVEN.search(text):
        return False
    if _NO_AMOUNT.search(text) and not _AMOUNT.search(text):
        return False
    return contrast_agent_said(text) is not False


def contrast_warning(what: str) -> str:
    """Say that a scan was made after contrast agent."""
    return f"{what} seems to be contrast-enhanced; enhancement may be taken for a lesion"


def sequence_from_timing(fields: Mapping[str, Any]) -> MrSequence | None:
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
    times = ("RepetitionTime", "EchoTime", "InversionTime")
    repetition, echo, inversion = (_seconds(fields, name) for name in times)
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
