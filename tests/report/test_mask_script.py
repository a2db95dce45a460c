"""The page's script cuts the mask as the program does."""

import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.volume import Volume

SHAPE = (14, 11, 9)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script with")
@pytest.mark.parametrize(
    ("above", "share", "least"), [(200, 1.0, 3), (240, 0.75, 4), (250, 0.5, 1)]
)
def test_script_and_program_cut_alike(above, share, least):
    steps = np.random.default_rng(3).integers(0, 256, SHAPE).astype(np.uint8)
    script = (files("anatomaly.report") / "assets" / "mask.js").read_text(encoding="utf-8")
    flat = steps.ravel(order="F").tolist()
    call = f"cutMap({flat}, {list(SHAPE)}, {above}, {int(share * above)}, {least})"
    script += f"\nconst found = {call}; console.log(JSON.stringify([...found.mask]));"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    mask = np.array(json.loads(done.stdout)).reshape(SHAPE, order="F")
    volume = Volume(steps.astype(np.float32), np.eye(4))
    inside = volume.with_data(np.ones(SHAPE, bool))
    expected = threshold_map(volume, inside, above, least, int(share * above) / above)
    np.testing.assert_array_equal(mask, expected.data)
    assert 0 < mask.sum() < mask.size
