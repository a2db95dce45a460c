"""`anatomaly` or `anatomaly-bids` over a fake pipeline, in processes beside it too.

They read this file again, as every program's that starts processes. FAKE says which of the two.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def fake_bids() -> ModuleType:
    """Return a pipeline that finds a ball; maps in template space stay empty."""
    import fake_detector
    import numpy as np

    from anatomaly.bids import session_files
    from anatomaly.preprocess.resample import template_grid

    class Detector(fake_detector.FakeDetector):
        def __init__(self, config):
            super().__init__()

    nothing = template_grid()
    nothing = nothing.with_data(np.zeros(nothing.shape, np.float32))
    session_files.resample_to_template = lambda *_: nothing
    fake_detector.laid_in_template = lambda *_: nothing.data
    module = ModuleType("anatomaly.pipeline")
    module.Detector = Detector
    return module


def fake_detect() -> ModuleType:
    import fake_pipeline

    return fake_pipeline.fake_module()


if "FAKE" in os.environ:
    sys.path[:0] = [str(HERE), str(HERE.parent / "bids")]
    networks = ModuleType("anatomaly.networks")  # in every process torch takes seconds
    networks.keep_freed_memory = lambda: None
    sys.modules["anatomaly.networks"] = networks
    sys.modules["anatomaly.pipeline"] = {"bids": fake_bids, "detect": fake_detect}[
        os.environ["FAKE"]
    ]()

if __name__ == "__main__":
    from anatomaly.cli import bids_app, main

    (bids_app if os.environ["FAKE"] == "bids" else main).main()
