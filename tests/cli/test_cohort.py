"""Page and tables over all results: of plain ones, of BIDS derivatives, of a single one."""

import json

import pytest

from anatomaly.bids.dataset import Derivatives, derivatives_at
from anatomaly.cli.cohort import say_over_all, write_over_all
from anatomaly.errors import BidsError


def test_plain_results(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text('{"sequence": "T1w", "threshold": 0.3}')
    (tmp_path / "one" / "lesions.tsv").write_text("number\tvolume_mm3\n1\t30.0\n")
    written = write_over_all(tmp_path)
    names = ["group_volumes.tsv", "group_lesions.tsv", "index.html"]
    assert [path.name for path in written] == names
    assert "\none\tT1w\t1\t0.030\t" in written[0].read_text()
    assert say_over_all(written).endswith("index.html")
    assert write_over_all(tmp_path, page=False, tables=False) == []
    write_over_all(tmp_path / "one")
    assert not list((tmp_path / "one").glob("group_*"))


def test_derivatives_get_those_of_the_group_level(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10"}))
    out = Derivatives(raw, raw / "derivatives" / "anatomaly")
    out.prepare()
    assert derivatives_at(out.root) == out
    assert derivatives_at(raw) is derivatives_at(tmp_path) is None
    with pytest.raises(BidsError, match="no results in it"):
        write_over_all(out.root)
    out.write_log("sub-01_T1w", {"scan": "sub-01_T1w.nii.gz", "error": "E", "reason": "broken"})
    assert [path.name for path in write_over_all(out.root)] == [
        "group_volumes.tsv", "group_lesions.tsv", "failures.tsv", "index.html",
    ]  # fmt: skip
    assert (out.root / "group_volumes.tsv").read_text().startswith("participant_id\tsession_id")
