"""Unsupervised anomaly detection in brain MRI: one raw scan in, the anomaly in its own space out.

The stages, in the order in which a scan passes them (`pipeline.py` joins them: start there):

1. `scan` reads a NIfTI file or a DICOM series;
2. `preprocess` brings it to the template grid, and records every step so that it can be undone;
3. `model` rebuilds what the brain would look like if it were healthy;
4. `anomaly` scores the difference and tabulates lesions; `method` says by which way, and `score`
   does it for everyone;
5. `native` walks the preparation backwards, to the scan's own grid;
6. `report` draws the overview and the page; `detection` holds what was found and writes it.

`import anatomaly` is fast: nothing heavy is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anatomaly.detection import Detection
    from anatomaly.pipeline import Detector, detect

try:
    __version__ = version("anatomaly")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["Detection", "Detector", "__version__", "detect"]


def __getattr__(name: str) -> Any:
    """Load the public names of the pipeline at their first use."""
    if name in ("Detection", "Detector", "detect"):
        return getattr(import_module("anatomaly.pipeline"), name)
    raise AttributeError(f"module 'anatomaly' has no attribute {name!r}")
