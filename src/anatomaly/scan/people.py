"""Whose images lie in a folder, and of which visit: two of either are never mixed in silence."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from anatomaly.errors import ScanError
from anatomaly.scan.instances import Instance, text_of

_PLACEHOLDER = re.compile(
    r"(?:anon(?:ym(?:ous|i[sz]ed|e|isiert)?)?|de-?identified|removed|redacted|deleted|none|null|"
    r"unknown|n/?a|no name|noname|name|patient|hidden|x+|0+|[-.?*_ ]*)"
)
"""What anonymisers write instead of a name, a number or a date: as good as nothing."""
_LINKS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_DATES = ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "ContentDate")
_MOST_NAMED = 8


class _Person(NamedTuple):
    """What tells people apart; empty where unknown."""

    number: str
    name: str
    born: str
    sex: str

    def is_other(self, than: _Person) -> bool:
        """Return whether the two cannot be one person.

        A name written otherwise, or another sex, is a correction where number and birth date agree.
        """
        if _differ(self.number, than.number) or _births_differ(self.born, than.born):
            return True
        same_number = bool(self.number) and self.number == than.number
        names_differ = _differ(self.name, than.name)
        if same_number and names_differ:  # a second first name, spelt out in one of the two
            mine, others = set(self.name.split()), set(than.name.split())
            names_differ = not (mine <= others or others <= mine)
        if not (names_differ or _differ(self.sex, than.sex)):
            return False
        same_name = bool(self.name) and self.name == than.name
        same_birth = bool(self.born) and self.born == than.born
        return not (same_number and (same_birth or same_name))

    def joined(self, with_other: _Person) -> _Person:
        """Return the person with what only the other record knows."""
        return _Person(*(mine or its for mine, its in zip(self, with_other, strict=True)))


def check_one_visit(folder: Path, instances: Sequence[Instance]) -> tuple[str, ...]:
    """Refuse images of several people, or of several visits of one.

    People differ by number, name, birth date or sex. An emptied field is no other person, but where
    number and name are both gone, only one study can be told to be of one. Visits differ by study
    date.

    Returns:
        Warnings: several studies of one day.

    Raises:
        ScanError: several people or visits; it names what each visit holds and how to choose.
    """
    count = len(_people({_person_of(instance) for instance in instances}))
    if count > 1:
        raise ScanError(
            f"{folder}: DICOM files of {count} patients; name the folder of one of them, or "
            "one file of the series to take (number, name, birth date or sex differ)"
        )
    studies = _studies([instance for instance in instances if _may_be_structural(instance)])
    if len(studies) < 2 and len(_dates_of(studies)) < 2:
        return ()
    people_of = [{_person_of(instance) for instance in study} for study in studies]
    if not all(any(one.number or one.name for one in people) for people in people_of):
        raise ScanError(
            f"{folder}: {len(studies)} studies without the patient's number and name, so nobody "
            f"can tell whether they are of one person ({_summary(folder, studies)}); name the "
            "folder of one study, or one file of the series to take"
        )
    visits = _visits(studies)
    if len(visits) > 1:
        raise ScanError(
            f"{folder}: {len(visits)} visits of one person, and none is taken unless you say which "
            f"({_summary(folder, visits)}); name the folder of one visit, or one file of the "
            "series to take"
        )
    return (f"the folder holds {len(studies)} studies of one person and day; all were looked at",)


def _person_of(instance: Instance) -> _Person:
    """Read who an image says it is of."""
    written = text_of(instance.header, "PatientName")
    in_letters = next((group for group in written.split("=") if group.strip("^ ")), "")
    plain = unicodedata.normalize("NFKD", in_letters)
    bare = "".join(sign for sign in plain if not unicodedata.combining(sign))
    name = re.sub(r"[\^\s,]+", " ", bare).strip()
    sex = text_of(instance.header, "PatientSex").upper()
    return _Person(
        number=_known(text_of(instance.header, "PatientID")),
        name=_known(name),
        born=re.sub(r"1[89]000101", "", _known(text_of(instance.header, "PatientBirthDate"))),
        sex=sex if sex in ("M", "F") else "",
    )


def _known(text: str) -> str:
    """Return a value to compare; empty for what anonymisers put in its place."""
    plain = text.casefold().strip()
    return "" if _PLACEHOLDER.fullmatch(plain) else plain


def _differ(one: str, other: str) -> bool:
    """Return whether two known values differ."""
    return bool(one and other and one != other)


def _births_differ(one: str, other: str) -> bool:
    """Return whether birth dates differ; an anonymiser may have left the year alone."""
    if not _differ(one, other):
        return False
    year_alone = any(date[4:] in ("", "0101", "0000") for date in (one, other))
    return not (year_alone and one[:4] == other[:4])


def _people(records: Iterable[_Person]) -> list[_Person]:
    """Join records that may be of one person, those that know most first."""
    people: list[_Person] = []
    for record in sorted(records, key=lambda record: (-sum(map(bool, record)), record)):
        for index, person in enumerate(people):
            if not person.is_other(record):
                people[index] = person.joined(record)
                break
        else:
            people.append(record)
    return people


def _may_be_structural(instance: Instance) -> bool:
    """Return whether an image has a place in a head's MR study: no report, no other modality."""
    header = instance.header
    placed = "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header
    return placed and text_of(header, "Modality").upper() in ("MR", "")


def _studies(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Group images that share a study, a series or a frame of reference."""
    group_of: dict[tuple[str, str], int] = {}
    groups: dict[int, list[Instance]] = {}
    for number, instance in enumerate(instances):
        keys = [(name, text_of(instance.header, name)) for name in _LINKS]
        keys = [key for key in keys if key[1] or key[0] == _LINKS[0]]  # emptied: no other study
        met = sorted({group_of[key] for key in keys if key in group_of})
        home = met[0] if met else number
        groups.setdefault(home, []).append(instance)
        for other in met[1:]:
            groups[home] += groups.pop(other)
            group_of = {key: home if g == other else g for key, g in group_of.items()}
        group_of.update(dict.fromkeys(keys, home))
    return list(groups.values())


def _date_of(instance: Instance) -> str:
    """Return the study date, YYYYMMDD; empty if it is gone."""
    return _known(text_of(instance.header, "StudyDate"))


def _dates_of(studies: Iterable[Sequence[Instance]]) -> set[str]:
    """Return the study dates."""
    return {_date_of(instance) for study in studies for instance in study} - {""}


def _visits(studies: list[list[Instance]]) -> list[list[Instance]]:
    """Sort the studies of one person by date; a study that nothing dates is a visit of its own.

    An anonymiser may give every study one date and leave those of acquisition.
    """
    visits: dict[tuple[str, str], list[Instance]] = {}
    for number, study in enumerate(studies):
        acquired = _acquired(study)
        default = min(_dates_of([study]) or {acquired}, default="") or f"undated {number}"
        for instance in study:
            date = _date_of(instance) or default
            visits.setdefault((date, acquired if _far(acquired, date) else ""), []).append(instance)
    return [visits[date] for date in sorted(visits)]


def _acquired(study: Sequence[Instance]) -> str:
    """Return the first date of acquisition, YYYYMMDD; empty if none is known."""
    dates = (text_of(instance.header, name)[:8] for name in _DATES for instance in study)
    return min(filter(None, dates), default="")


def _far(one: str, other: str) -> bool:
    """Return whether two dates (YYYYMMDD) are more than a day apart: not around midnight."""
    try:
        apart = datetime.strptime(one, "%Y%m%d") - datetime.strptime(other, "%Y%m%d")
    except ValueError:
        return False
    return abs(apart.days) > 1


def _summary(folder: Path, groups: Sequence[Sequence[Instance]]) -> str:
    """Say of each study or visit its date, its series and a path to give."""
    folders = [[str(instance.path.parent) for instance in group] for group in groups]
    homes = [Path(os.path.commonpath(paths)) for paths in folders]
    texts = []
    for group, home in zip(groups[:_MOST_NAMED], homes, strict=False):
        series = Counter(instance.series_uid for instance in group)
        largest = series.most_common(1)[0][0]
        example = next(instance.path for instance in group if instance.series_uid == largest)
        around = [h for h in homes if home.is_relative_to(h) or h.is_relative_to(home)]
        apart = home != folder and len(around) == 1
        date = min(_dates_of([group]), default="no study date")
        date += f", acquired {_acquired(group)}" if _far(_acquired(group), date) else ""
        texts.append(
            f"{date}: {len(series)} series, {len(group)} images, such as "
            f"{home if apart else example}"
        )
    more = len(groups) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")
