"""What a BIDS data set holds that is not worked on, and why: nothing comes up short in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anatomaly.endings import NIFTI_ENDINGS
from anatomaly.types import SEQUENCES

ENDINGS = NIFTI_ENDINGS
MP2RAGE_SUFFIX = "UNIT1"
"""The uniform image of an MP2RAGE, which shows what a T1w scan does."""

_SPINE = re.compile(r"spine|spinal|cervical|thorac|lumbar", re.IGNORECASE)
_SUFFIXES = {name.lower(): name for name in (*SEQUENCES, MP2RAGE_SUFFIX)}

Rules = list[tuple[re.Pattern[str], bool]]
"""Patterns for paths from the root, each with whether it ignores or takes back."""


@dataclass(frozen=True)
class LeftOut:
    """Something that is not worked on.

    Attributes:
        path: of the image, or of a folder.
        reason: in plain words, the same for all of one kind.
        refused: an error in the data set, which counts as a failure, not a choice of ours.
    """

    path: Path
    reason: str
    refused: bool = False


def judge_name(path: Path, participant: str, session: str) -> LeftOut | None:
    """Return why an image of an `anat` folder is not worked on; None if it is.

    Args:
        path: of the image.
        participant: label of the folder that it lies in.
        session: the same; empty without one.
    """
    if not path.name.startswith("sub-"):
        return LeftOut(path, "a name without sub-, which BIDS asks for; rename it")
    entities = entities_of(path.name)
    if (entities.pop("sub", None), entities.pop("ses", "")) != (participant, session):
        where = f"sub-{participant}" + (f"/ses-{session}" if session else "")
        wrong = (
            f"its name is not that of its folder {where}, so whose scan it is stays open; move or "
            "rename it"
        )
        return LeftOut(path, wrong, refused=True)
    reason = _wrong_kind(path.name) or _wrong_entity(entities)
    return LeftOut(path, reason) if reason else None


def entities_of(name: str) -> dict[str, str]:
    """Return the key-value pairs of a BIDS name.

    >>> entities_of("sub-01_ses-a_ce-gad_T1w.nii.gz")
    {'sub': '01', 'ses': 'a', 'ce': 'gad'}
    """
    return dict(part.split("-", 1) for part in _parts_of(name) if "-" in part)


def suffix_of(name: str) -> str:
    """Return the last word of a BIDS name; empty without one.

    >>> suffix_of("sub-01_T1w.nii.gz"), suffix_of("sub-01_run-1.nii")
    ('T1w', '')
    """
    last = _parts_of(name)[-1]
    return "" if "-" in last else last


def _parts_of(name: str) -> list[str]:
    """Return what stands between the underscores of a BIDS name, without its ending."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE).split("_")


def misplaced(folder: Path, people: Iterable[Path]) -> Iterator[LeftOut]:
    """Yield what looks like a person or a scan and lies where BIDS has none.

    Args:
        folder: root of the data set.
        people: its `sub-*` folders that are wanted.
    """
    for path in sorted(folder.iterdir()):
        name = path.name
        if name.lower().startswith("sub-") and not name.startswith("sub-") and path.is_dir():
            yield LeftOut(path, "no person's folder: BIDS writes sub- in small letters; rename it")
    for person in people:
        with suppress(OSError):  # who reads its scans tells
            for place in (person, *sorted(person.glob("ses-*"))):
                for path in images_in(place) if place.is_dir() else ():
                    if suffix_of(path.name).lower() in _SUFFIXES:
                        yield LeftOut(path, "outside the folder anat, where BIDS has such scans")


def images_in(place: Path) -> list[Path]:
    """Return what is named as an image, links without content too, by name."""
    return sorted(
        path
        for path in place.iterdir()
        if path.name.lower().endswith(ENDINGS) and not path.name.startswith(".")
    )


def read_ignored(folder: Path) -> Rules:
    """Return the patterns of `.bidsignore`."""
    try:
        lines = (folder / ".bidsignore").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [(_pattern(rule.removeprefix("!")), not rule.startswith("!")) for rule in rules]


def is_ignored(relative: Path, rules: Rules) -> bool:
    """Return whether `.bidsignore` takes a path away; of rules that fit the last one counts.

    >>> rules = [(_pattern("*_run-2_*"), True), (_pattern("sub-03/"), True)]
    >>> [is_ignored(Path(name), rules) for name in ("sub-01/anat/sub-01_run-2_T1w.nii",
    ...     "sub-03/anat/sub-03_T1w.nii", "sub-01/anat/sub-01_T1w.nii")]
    [True, True, False]
    """
    text = relative.as_posix()
    said = [ignores for pattern, ignores in rules if pattern.fullmatch(text)]
    return bool(said) and said[-1]


def _pattern(line: str) -> re.Pattern[str]:
    """Return a line of a `.gitignore` as an expression for paths from the root."""
    anchored = "/" in line.rstrip("/")
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", line.strip("/")):
        is_class = len(part) > 2 and part.startswith("[")
        text += part.replace("[!", "[^") if is_class else words.get(part) or re.escape(part)
    below = "/.*" if line.endswith("/") else "(?:/.*)?"
    return re.compile(f"{'' if anchored else '(?:.*/)?'}{text}{below}")


def _wrong_kind(name: str) -> str:
    """Return why suffix or ending are none of those that are read."""
    if not name.endswith(ENDINGS):
        return "an ending in capital letters: BIDS writes .nii.gz; rename it"
    suffix = suffix_of(name)
    if suffix in (*SEQUENCES, MP2RAGE_SUFFIX):
        return ""
    right = _SUFFIXES.get(suffix.lower())
    if right:
        return f"the suffix {suffix}: BIDS writes {right}; rename it"
    return f"another kind of image (suffix {suffix or 'missing'}); T1w, T2w and FLAIR are read"


def _wrong_entity(entities: dict[str, str]) -> str:
    """Return why an entity, other than person and session, keeps a scan out."""
    if "ce" in entities:
        return "after contrast agent (ce-), for which no weights are made"
    if entities.get("part", "mag") != "mag":
        return "no magnitude image (part-phase, part-real or part-imag)"
    if any(_SPINE.search(value) for value in entities.values()):
        return "of the spine by its name; only heads are read"
    return ""
