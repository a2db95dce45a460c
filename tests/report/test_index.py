"""The cohort page: failures first, then what stands out, then the rest."""

import json
import re
from urllib.parse import unquote

import pytest

from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.report.index import (
    Entry,
    mark_outliers,
    read_entry,
    render_index,
    result_folders,
    sort_entries,
    write_index,
)
from anatomaly.report.page import write_page

HOSTILE = "sub <b>&\"'</script>"


@pytest.fixture(name="result")
def fixture_result(tmp_path, content):
    """A function that writes a result folder."""

    def write(name, volumes_mm3=(), warnings=(), page=False):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        made = content(name=name, warnings=warnings)
        (folder / "run.json").write_text(json.dumps({**made.run, "lesions": len(volumes_mm3)}))
        row = dict.fromkeys(LESION_COLUMNS, "0")
        lines = ["\t".join(LESION_COLUMNS)]
        lines += ["\t".join({**row, "volume_mm3": str(v)}.values()) for v in volumes_mm3]
        (folder / "lesions.tsv").write_text("\n".join(lines) + "\n")
        if page:
            write_page(folder / "report.html", made)
        return folder

    return write


def lines_of(page):
    body = re.search(r"<tbody>(.*?)</tbody>", page, flags=re.S)[1]
    return re.findall(r'<tr class="(\w+)" data-name="(.*?)"', body)


def test_failures_then_doubts_then_volume(result, tmp_path):
    result("quiet", [900.0])
    result("large", [4000.0, 1500.0])
    result("doubtful", [10.0], warnings=("the head lies turned",))
    result("broken").joinpath("run.json").write_text("{ not json")
    (tmp_path / "failures.tsv").write_text(
        "scan\terror\treason\nraw/lost.nii.gz\tScanError\tlost.nii.gz: no such file\n"
    )
    page = write_index(tmp_path).read_text()
    assert lines_of(page) == [
        ("failed", "broken"),
        ("failed", "lost.nii.gz"),
        ("look", "doubtful"),
        ("rest", "large"),
        ("rest", "quiet"),
    ]
    assert "ScanError: lost.nii.gz: no such file" in page and "the head lies turned" in page
    assert "2 failed, 1 to look at first, 2 without a doubt" in page
    assert "5.5" in page and "http" not in page.replace("http-equiv", "")
    assert "raw/lost" not in page


def test_an_outlier_is_one_of_its_own_sequence():
    usual = [Entry(f"u{n}", "FLAIR", 1.0 + 0.1 * n, 1) for n in range(6)]
    far = Entry("far", "FLAIR", 40.0, 3)
    alone = Entry("alone", "T1w", 40.0, 3)
    marked = {entry.name: entry for entry in mark_outliers([*usual, far, alone])}
    assert marked["far"].reasons == (
        "40.0 mL, far above the median of 1.3 mL of the 7 FLAIR scans here",
    )
    assert {name for name, entry in marked.items() if entry.reasons} == {"far"}
    assert [entry.name for entry in sort_entries(marked.values())][:2] == ["far", "alone"]


def test_unusual_preparation_stands_out(result, tmp_path):
    folder = result("poor", [5.0])
    run = json.loads((folder / "run.json").read_text())
    run["preparation"]["quality"]["correlation"] = 0.05
    (folder / "run.json").write_text(json.dumps(run))
    entry = read_entry(folder, tmp_path)
    assert entry.group == "look" and "0.05" in entry.reasons[0]


def test_link_and_thumbnail(result, tmp_path):
    folder = result("deep/sub 01 #2", [5.0], page=True)
    entry = read_entry(folder, tmp_path)
    assert unquote(entry.link) == "deep/sub 01 #2/report.html" and "#" not in entry.link
    assert entry.thumbnail[:2] == b"\xff\xd8" and len(entry.thumbnail) < 20_000
    assert 'src="data:image/jpeg;base64,' in render_index([entry], "cohort")


def test_hidden_folders_are_unfinished(result, tmp_path):
    result(".half.0a1b.partial")
    whole = result("whole")
    assert result_folders(tmp_path) == [whole]


def test_names_are_escaped():
    page = render_index([Entry(HOSTILE, reasons=(HOSTILE,), failed=True)], HOSTILE)
    assert "</script>&" not in page and "sub <b>" not in page
    assert page.count("sub &lt;b&gt;&amp;") >= 4


def test_a_result_whose_name_is_no_text_is_linked_to_by_its_bytes(result, tmp_path):
    try:
        result("Sch\udce4del", page=True)
    except OSError:
        pytest.skip("this file system takes no such name")
    page = write_index(tmp_path).read_text("utf-8")
    assert 'href="Sch%E4del/report.html"' in page
    assert r"Sch\xe4del" in page


def test_warnings_of_a_result_stand_in_its_line(result, tmp_path):
    result("a", warnings=["the left is not marked"])
    result("b")
    page = write_index(tmp_path).read_text("utf-8")
    (row,) = re.findall(r'<tr class="look" data-name="a".*?</tr>', page, re.DOTALL)
    assert "the left is not marked" in row
