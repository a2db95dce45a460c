"""PREPARE: from a scan as acquired to the working grid, and the undo of every step.

`chain.prepare` runs reorient, brain_extraction, bias_field, register, resample and normalise.
"""

from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.preprocess.trace import Step, Trace

__all__ = ["Prepared", "Step", "Trace", "prepare"]
