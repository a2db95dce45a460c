"""The words, codes and equipment that the DICOM objects of one result share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.coding import Code

from anatomaly.config import edits_of

NAME = "anatomaly"
RESEARCH_ONLY = "Research only: not for diagnosis or treatment"
"""At most 64 characters: it is the meaning of a code in the report."""

SCHEME = "99ANATOMALY"
"""Our own codes, for what the standard has no word for; 99 marks a private scheme."""

SERIES_NUMBERS = {"SEG": 1, "PM": 2, "SR": 3, "SC": 4, "PDF": 5}
"""Added to a thousand times the number of the scan's series, so that they sort together."""


@dataclass(frozen=True)
class Description:
    """What made the result.

    Attributes:
        version: of this package.
        parameters: of the algorithm: weights and their hash, sequence, threshold.
    """

    version: str
    parameters: dict[str, str]

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Description:
        """Take it from a run manifest (`Detection.run`)."""
        weights = run["weights"]
        parameters = {
            "weights": str(weights["name"]),
            "weights_sha256": str(weights["sha256"]),
            "sequence": str(run["sequence"]),
            "threshold": f"{run['threshold']:.6g}",
        }
        if weights.get("scorer_sha256"):
            parameters["scorer_sha256"] = str(weights["scorer_sha256"])
        if edits := edits_of(run):
            parameters["corrected_by_hand"] = str(edits[-1]["at"])
        return cls(str(run["versions"].get(NAME, "unknown")), parameters)

    @property
    def is_by_hand(self) -> bool:
        """True where a person corrected the mask."""
        return "corrected_by_hand" in self.parameters

    def common(self, image: Dataset, kind: str, title: str) -> dict[str, Any]:
        """Return the arguments that highdicom takes for every object: new UIDs, series, maker.

        Args:
            image: an instance of the scan.
            kind: of `SERIES_NUMBERS`.
            title: of the series, before the statement that it is for research only.
        """
        number = int(image.get("SeriesNumber") or 0) % 1_000_000
        return {
            "series_instance_uid": UID(),
            "series_number": number * 1000 + SERIES_NUMBERS[kind],
            "sop_instance_uid": UID(),
            "instance_number": 1,
            "manufacturer": f"{NAME} developers",
            "manufacturer_model_name": NAME,
            "software_versions": self.version,
            "device_serial_number": self.parameters["weights_sha256"][:16],
            "series_description": f"{NAME} {title} - RESEARCH ONLY",
            "coding_schemes": [
                CodingSchemeIdentificationItem(
                    SCHEME, f"Private codes of {NAME}", responsible_organization=NAME
                )
            ],
        }


def own_code(value: str, meaning: str) -> Code:
    """Return a code of our own scheme; value at most 16 characters, meaning at most 64."""
    return Code(value, SCHEME, meaning)


def tracking_id(number: int) -> str:
    """Return the name by which segment and measurements speak of a lesion."""
    return f"lesion {number}"
