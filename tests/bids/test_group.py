"""Tables over what is on disk."""

import csv

import pytest

from anatomaly.bids.derivatives import write_scan
from anatomaly.bids.group import write_group
from anatomaly.bids.session import fuse, read_own
from anatomaly.bids.session_files import write_session
from anatomaly.errors import BidsError
from anatomaly.scan.read import read_scan


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_nothing_to_say(out):
    with pytest.raises(BidsError, match="participant level first"):
        write_group(out)


def test_scan_and_session_have_a_line_each(out, session, fakes):
    (scan,) = session.scans
    detection = fakes.make_detection(read_scan(scan.path))
    write_scan(detection, scan, session, out)
    write_session(fuse([read_own(scan, session, out)], 20.0), [scan], session, out)
    out.write_log("sub-02_T1w", {"scan": "sub-02_T1w.nii.gz", "error": "E", "reason": "broken"})
    written = write_group(out)
    assert [path.name for path in written] == [
        "group_volumes.tsv",
        "group_lesions.tsv",
        "failures.tsv",
        "index.html",
    ]
    volumes = rows_of(written[0])
    assert [row["map"] for row in volumes] == ["T1w", "session"]
    volume_ml = detection.lesions[0].volume_mm3 / 1000
    for row in volumes:
        assert (row["participant_id"], row["session_id"]) == ("sub-01", "ses-a")
        assert float(row["volume_ml"]) == pytest.approx(volume_ml, abs=1e-3)
        assert (row["lesions"], row["brain_ml"]) == ("1", "1234")
        assert (out.root / row["file"]).is_file()
    assert [row["threshold"] for row in volumes] == ["0.4000", "0.5000"]
    lesions = rows_of(written[1])
    assert [(row["number"], row["region"]) for row in lesions] == [
        ("1", "corpus callosum and fornix")
    ] * 2
    page = written[3].read_text()
    assert "sub-01_ses-a_acq-3D_T1w" in page
    assert "broken" in page
