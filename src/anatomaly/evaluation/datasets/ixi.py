"""IXI: healthy people, T1w and T2w with skull, three scanners in London.

Source of the layout: the archives of https://brain-development.org/ixi-dataset: `IXI-T1.tar` holds
`IXI002-Guys-0828-T1.nii.gz`, `IXI-T2.tar` the same with `-T2`. Age and sex stand in `IXI.xls`; save
it as `IXI.csv` beside the scans and they are read (columns IXI_ID, SEX_ID with 1 = M and 2 = F,
AGE). T1w and T2w of a person have grids of their own.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.dataset import Dataset, Listing, number_in
from anatomaly.scan.bids_left_out import ENDINGS
from anatomaly.types import MrSequence

_NAME = re.compile(r"(IXI(\d+))-([A-Za-z]+)-(\d+)-(T1|T2)")
_SEXES = {"1": "M", "2": "F"}
_SEQUENCES: dict[str, MrSequence] = {"T1": "T1w", "T2": "T2w"}


def find_ixi(folder: Path) -> Listing:
    """Find `IXI<person>-<site>-<number>-T1.nii.gz` and `-T2` at any depth."""
    listing = Listing()
    table = _read_table(folder, listing)
    seen: set[tuple[str, str]] = set()
    for path in sorted(p for end in ENDINGS for p in folder.rglob(f"IXI*-T[12]{end}")):
        match = _NAME.fullmatch(path.name.removesuffix(".gz").removesuffix(".nii"))
        if match is None:
            continue
        person, number, site, _, kind = match.groups()
        if (person, kind) in seen:
            listing.wrong("person is there twice; the first one is used", f"{person} {kind}")
            continue
        seen.add((person, kind))
        age, sex = table.get(int(number), (None, ""))
        case = Case(person, "", _SEQUENCES[kind], path, None, "healthy", "ixi", site=site)
        listing.cases.append(replace(case, age=age, sex=sex))
    return listing


def _read_table(folder: Path, listing: Listing) -> dict[int, tuple[float | None, str]]:
    """Return age and sex by number; a person who stands in it twice has neither."""
    path = next((p for p in sorted(folder.rglob("IXI.csv"))), None)
    if path is None:
        listing.missing("no IXI.csv (save IXI.xls as such): age and sex are not known", "all")
        return {}
    out: dict[int, tuple[float | None, str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            try:
                number = int(row.get("IXI_ID") or "")
            except ValueError:
                continue
            age = number_in(row.get("AGE"))
            value = age if age and age > 0 else None, _SEXES.get(_sex(row).strip(), "")
            if out.setdefault(number, value) != value:
                listing.wrong("IXI.csv has two ages or sexes; none is used", f"IXI{number:03d}")
                out[number] = (None, "")
    return out


def _sex(row: dict[str, str]) -> str:
    """Return the sex of a row; the column is called `SEX_ID (1=m, 2=f)`."""
    return next((value for key, value in row.items() if (key or "").startswith("SEX_ID")), "")


IXI = Dataset(
    name="ixi",
    title="IXI",
    holds="healthy people, 20 to 86 years: about 580; T1w and T2w with skull, about 1 mm",
    licence="CC BY-SA 3.0",
    apply="https://brain-development.org/ixi-dataset",
    layout="IXI-T1/IXI002-Guys-0828-T1.nii.gz, IXI-T2/IXI002-Guys-0828-T2.nii.gz",
    find=find_ixi,
)
