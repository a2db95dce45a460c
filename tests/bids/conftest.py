"""A data set, a detector and a folder of derivatives that cost nothing."""

import importlib.util
import sys
from pathlib import Path

import pytest

from anatomaly.bids.dataset import Derivatives
from anatomaly.scan.bids import find_sessions


def load_fakes():
    name = "fake_detector"
    if name not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(name="fakes", scope="session")
def fixture_fakes():
    return load_fakes()


@pytest.fixture(name="out")
def fixture_out(fakes, tmp_path):
    """One session with a T1w scan; a folder of derivatives inside the data set."""
    root = tmp_path / "raw"
    fakes.write_head(root / "sub-01/ses-a/anat/sub-01_ses-a_acq-3D_T1w.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Trial", "License": "CC0"}')
    out = Derivatives(root, root / "derivatives" / "anatomaly")
    out.prepare()
    return out


@pytest.fixture(name="session")
def fixture_session(out):
    (session,) = find_sessions(out.source)
    return session
