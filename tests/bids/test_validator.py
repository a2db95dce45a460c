"""What is written passes the validator of the standard."""

import subprocess
import sys
from pathlib import Path

import pytest

from anatomaly.bids.derivatives import write_scan
from anatomaly.bids.group import write_group
from anatomaly.bids.session import fuse, read_own
from anatomaly.bids.session_files import write_session
from anatomaly.scan.bids import find_sessions
from anatomaly.scan.read import read_scan


@pytest.fixture(name="validate", scope="module")
def fixture_validate():
    """Run the validator on a folder; skip where no program of its is made for the machine."""
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.exists():
        pytest.skip("bids-validator-deno is not installed: no deno for this machine")
    return lambda folder: subprocess.run(
        [program, str(folder)], capture_output=True, text=True, check=False, timeout=120
    )


def test_everything_that_is_written_is_valid(validate, out, session, fakes):
    fakes.write_head(out.source / "sub-02/anat/sub-02_FLAIR.nii.gz")
    for each in find_sessions(out.source):
        (scan,) = each.scans
        write_scan(fakes.make_detection(read_scan(scan.path)), scan, each, out)
        write_session(fuse([read_own(scan, each, out)], 20.0), [scan], each, out)
        out.write_log(f"{each.name}_T2w", {"scan": "x", "error": "E", "reason": "broken"})
    write_group(out)
    done = validate(out.root)
    assert done.returncode == 0, done.stdout
    assert "[ERROR]" not in done.stdout
    assert "TSV_ADDITIONAL_COLUMNS_UNDEFINED" not in done.stdout  # the sidecar explains each column


def test_the_validator_can_fail(validate, out, session, fakes):
    (scan,) = session.scans
    write_scan(fakes.make_detection(read_scan(scan.path)), scan, session, out)
    path = out.own_volume(session, scan, "brain_mask")
    path.rename(path.with_name(path.name.replace("_desc-", "_mod-T1w_desc-")))
    done = validate(out.root)
    assert done.returncode == 16
