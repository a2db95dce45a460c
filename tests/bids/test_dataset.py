"""What describes the derivatives, and what is refused as their place."""

import json

import pytest

from anatomaly.bids.dataset import IGNORED, Derivatives
from anatomaly.errors import BidsError, OutputError


def test_description_names_its_maker_and_its_source(out):
    said = json.loads((out.root / "dataset_description.json").read_text())
    assert said["DatasetType"] == "derivative"
    assert said["GeneratedBy"][0]["Name"] == "anatomaly"
    assert said["DatasetLinks"] == {"raw": "../.."}
    assert (said["Name"], said["License"]) == ("anatomaly of Trial", "CC0")
    assert (out.root / ".bidsignore").read_text().split() == list(IGNORED)


def test_a_second_run_leaves_what_the_user_changed(out):
    (out.root / "README").write_text("mine")
    out.prepare()
    assert (out.root / "README").read_text() == "mine"


def test_the_raw_data_set_and_strange_ones_are_refused(out, tmp_path):
    with pytest.raises(OutputError, match="raw data set itself"):
        Derivatives(out.source, out.source).prepare()
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "dataset_description.json"
    other.write_text('{"GeneratedBy": [{"Name": "fmriprep"}]}')
    with pytest.raises(OutputError, match="another data set"):
        Derivatives(out.source, tmp_path / "other").prepare()
    assert "fmriprep" in other.read_text()


def test_a_damaged_description_of_the_source_is_named(out, tmp_path):
    (out.source / "dataset_description.json").write_text("{")
    with pytest.raises(BidsError, match=r"dataset_description\.json: cannot be read"):
        Derivatives(out.source, tmp_path / "new").prepare()


def test_uris_of_both_data_sets(out):
    assert out.uri(out.source / "sub-01/a.nii.gz") == "bids:raw:sub-01/a.nii.gz"
    assert out.uri(out.root / "sub-01/b.nii.gz") == "bids::sub-01/b.nii.gz"
    with pytest.raises(ValueError, match="neither"):
        out.uri(out.source.parent / "c")


def test_logs_come_and_go(out):
    out.write_log("sub-01_T1w", {"scan": "x", "error": "ScanError", "reason": "broken"})
    assert [log["error"] for log in out.read_logs()] == ["ScanError"]
    out.write_log("sub-01_T1w", None)
    assert out.read_logs() == []
