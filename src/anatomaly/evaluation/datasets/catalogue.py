"""All data sets by name, in the order in which they are listed."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation import datasets
from anatomaly.evaluation.datasets.atlas import ATLAS
from anatomaly.evaluation.datasets.bids import BIDS
from anatomaly.evaluation.datasets.brats import BRATS
from anatomaly.evaluation.datasets.dataset import Dataset, Listing
from anatomaly.evaluation.datasets.ixi import IXI
from anatomaly.evaluation.datasets.measured_cases import MEASURED_CASES
from anatomaly.evaluation.datasets.mslub import MSLUB
from anatomaly.evaluation.datasets.msseg import MSSEG
from anatomaly.evaluation.datasets.wmh import WMH

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (*BRATS, ATLAS, MSLUB, MSSEG, WMH, IXI, BIDS, MEASURED_CASES)
}
"""The sets of this package, in their order; `find_dataset` also knows those of further files."""

_NO_READERS = ("catalogue", "check", "dataset")


def all_datasets() -> dict[str, Dataset]:
    """Return `DATASETS`, then any other `Dataset` that a file of this folder holds."""
    all_ = dict(DATASETS)
    for module in pkgutil.iter_modules(datasets.__path__):
        if module.name not in _NO_READERS:
            values = vars(importlib.import_module(f"{datasets.__name__}.{module.name}")).values()
            all_ |= {v.name: v for v in values if isinstance(v, Dataset) and v.name not in all_}
    return all_


def find_dataset(name: str) -> Dataset:
    """Return the data set of a name.

    Raises:
        ConfigError: there is none.
    """
    known = all_datasets()
    if name not in known:
        raise ConfigError(f"no data set {name}; there are {', '.join(known)}")
    return known[name]


def find_cases(name: str, folder: Path) -> Listing:
    """Find the cases of a data set in its folder, without opening an image.

    Raises:
        ConfigError: there is no such data set.
        EvaluationError: the folder is not there, or holds none of its cases.
    """
    dataset = find_dataset(name)
    if not folder.is_dir():
        raise EvaluationError(
            f"{folder}: no such folder. {dataset.title} has to be downloaded by you: "
            f"{dataset.apply}, licence: {dataset.licence}"
        )
    listing = dataset.find(folder)
    if not listing.cases and not listing.problems:
        raise EvaluationError(
            f"{folder}: nothing of {dataset.title}; expected {dataset.layout}. "
            f"Where to get it: {dataset.apply}"
        )
    return listing
