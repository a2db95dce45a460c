"""PREPARE: from a scan as acquired to the working grid, and the undo of every step.

`chain.prepare` turns the axes (`reorient`), repairs voxels (`outliers`), cuts margins off (`crop`),
finds the brain (`brain_extraction`), corrects the bias field, registers, trims the mask, mirrors
the bias field (it keeps what both hemispheres show), resamples, normalises, looks at the head
(`appearance`) and recognises the sequence.
"""

from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.preprocess.trace import Step, Trace

__all__ = ["Prepared", "Step", "Trace", "prepare"]
