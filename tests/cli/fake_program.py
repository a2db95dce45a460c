"""`anatomaly` or `anatomaly-bids` over a fake pipeline, in processes beside it too.

They read this file again, as every program's that starts processes. FAKE says which of the two.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bids")]

if os.environ["FAKE"] == "bids":
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
else:
    import fake_pipeline

    module = fake_pipeline.fake_module()
networks = ModuleType("anatomaly.networks")  # in every process torch takes seconds
networks.keep_freed_memory = lambda: None
sys.modules |= {"anatomaly.pipeline": module, "anatomaly.networks": networks}

if __name__ == "__main__":
    from anatomaly.cli import bids_app, main

    (bids_app if os.environ["FAKE"] == "bids" else main).main()
