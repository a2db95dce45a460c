"""The page of one scan: self-contained, escaped, and its numbers are those of the table."""

import hashlib
import io
import json
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from anatomaly.report.answer import answer
from anatomaly.report.command import command_of
from anatomaly.report.layers import read_layers
from anatomaly.report.page import ASSETS, render_page

HOSTILE = "x</script><script>alert(1)</script><img src=http://evil.example/a onerror=alert(2)>'\"&"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of every script, as a browser splits them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self._open = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append([dict(attrs), ""])
            self._open = True

    def handle_endtag(self, tag):
        if tag == "script":
            self._open = False

    def handle_data(self, data):
        if self._open:
            self.scripts[-1][1] += data


@pytest.fixture(name="page")
def fixture_page(content):
    picture = io.BytesIO()
    Image.new("RGB", (60, 40), "green").save(picture, "PNG")
    return render_page(content(overview=picture.getvalue()))


def test_nothing_is_fetched(page):
    tags = Tags(page)
    for tag, attributes in tags.tags:
        for name in ("src", "href", "srcset", "data", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value[:80])
        assert tag not in ("link", "iframe", "object", "embed", "base")
    style = re.search(r"<style>(.*?)</style>", page, flags=re.S)[1]
    assert "url(" not in style and "@import" not in style
    policy = next(a["content"] for t, a in tags.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert "/secret/place" not in page


def test_size(page):
    assert len(page.encode()) < 15e6
    viewer = (ASSETS / "niivue.umd.js").stat().st_size
    assert viewer < len(page) < viewer + 1e6


def test_a_hostile_name_stays_text(content):
    page = render_page(content(name=HOSTILE, warnings=(f"doubt {HOSTILE}",), left_out=[HOSTILE]))
    tags = Tags(page)
    assert "alert(1)</script>" not in page and "<img src=http" not in page
    assert not [a for t, a in tags.tags if "onerror" in a or "evil" in str(a.get("src"))]
    plain = Tags(render_page(content(warnings=("doubt",), left_out=["x"])))
    assert [t for t, _ in tags.tags] == [t for t, _ in plain.tags]
    assert page.count("&lt;/script&gt;") >= 4
    title = re.search(r"<title>(.*?)</title>", page, flags=re.S)[1]
    assert unescape(title) == f"{HOSTILE} · anatomaly"


def test_data_cannot_close_its_tag(content):
    rows = [{**row, "region": HOSTILE} for row in content().lesions]
    made = content(lesions=rows)
    made.run["polarity"] = HOSTILE
    scripts = {a.get("id"): text for a, text in Tags(render_page(made)).scripts}
    assert json.loads(scripts["page-data"])["polarity"] == HOSTILE
    assert "<" not in scripts["page-data"]


def test_numbers_are_those_of_the_table(page, made):
    total = sum(float(row["volume_mm3"]) for row in made.rows) / 1000
    headline = re.search(r'id="headline">(.*?)<', page)[1]
    assert headline == f"{total:.1f} mL in 2 places"
    body = re.search(r"<tbody>(.*?)</tbody>", page, flags=re.S)[1]
    lines = re.findall(r"<tr.*?</tr>", body, flags=re.S)
    assert len(lines) == len(made.rows) == 2
    head = re.search(r'class="lesions">\s*<thead>(.*?)</thead>', page, flags=re.S)[1]
    columns = re.findall(r"<th>(.*?)</th>", head)
    for line, row in zip(lines, made.rows, strict=True):
        cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", line)]
        shown = dict(zip(columns, cells, strict=True))
        assert shown["No."] == row["number"]
        assert shown["Compared with expected"].split(",")[0] == row["polarity"]
        assert float(shown["Volume, mL"]) == pytest.approx(
            float(row["volume_mm3"]) / 1000, abs=0.005
        )
        for name in ("peak", "mean"):
            score = float(shown[f"{name.title()} score"])
            assert score == pytest.approx(float(row[f"{name}_score"]), abs=0.00501)
        for name, digits in (("MNI", 0.501), ("Scanner", 0.0501)):
            place = [float(number) for number in shown[f"{name} x, y, z, mm"].split(",")]
            exact = [float(row[f"{axis}_{name.lower()}_mm"]) for axis in "xyz"]
            assert place == pytest.approx(exact, abs=digits)
    data = data_of(page)
    assert data["threshold"] == 0.4 and data["volume_ml"] == pytest.approx(total)
    assert data["spots"] == [list(spot.mm) for spot in made.spots]


def test_the_column_of_regions_is_there_where_regions_are(content, made):
    asked = {"region": "Insula", "region_shares": "Insula 1.00", "juxtacortical": "yes"}
    named = [{**row, **asked, "periventricular": "no"} for row in made.rows]
    bare = [{**row, "region": ""} for row in made.rows]
    page = render_page(content(lesions=named))
    assert '<td class="region" title="Insula 1.00">Insula, juxtacortical</td>' in page
    assert "periventricular" not in page and "atlas of healthy people" in page
    assert "<th>Region</th>" not in render_page(content(lesions=bare))


def data_of(page):
    return json.loads(dict((a.get("id"), t) for a, t in Tags(page).scripts)["page-data"])


def test_layers_read_back(page, made):
    layers = read_layers(page)
    assert set(layers) == set(made.layers.arrays) and len(layers) == 8
    for name, (array, affine) in layers.items():
        np.testing.assert_array_equal(array, made.layers.arrays[name])
        np.testing.assert_allclose(affine, made.layers.affine, atol=1e-4)


def test_warnings_come_first(content):
    page = render_page(content(warnings=("the head lies turned", "a second doubt")))
    body = page[page.index("<main>") :]
    assert body.index("the head lies turned") < body.index('id="headline"') < body.index("<canvas")
    assert "2 warnings: read before you trust the result" in page
    assert "read before you trust" not in render_page(content())


def test_the_viewer_is_the_file_that_is_recorded():
    record = (ASSETS / "niivue.txt").read_text()
    digest = hashlib.sha256((ASSETS / "niivue.umd.js").read_bytes()).hexdigest()
    assert re.search(r"^sha256 +(\w+)$", record, flags=re.M)[1] == digest
    version = re.search(r"^version +(\S+)$", record, flags=re.M)[1]
    assert f"NiiVue {version}" in (ASSETS / "page.html.j2").read_text()
    assert "BSD 2-Clause" in (ASSETS / "niivue.LICENSE.txt").read_text()


def test_without_volumes_and_table_the_page_says_so(content):
    page = render_page(content(layers=None, lesions=None, spots=(), left_out=["No viewer here."]))
    assert "No viewer here." in page and "The table was not written" in page
    assert "<canvas" not in page and 'id="headline">2 places above the threshold<' in page
    assert len(page) < 100_000  # without the viewer's program


def test_nothing_found(content):
    page = render_page(content(lesions=[], spots=()))
    assert 'id="headline">Nothing passes the threshold<' in page
    assert "An empty mask does not mean a healthy brain." in page


@pytest.mark.parametrize(
    ("ml", "said"),
    [(0.4, "As little as many"), (3.0, "may be a false alarm"), (9.0, "More than healthy scans")],
)
def test_how_much_healthy_scans_have(content, ml, said):
    run = content().run
    assert said in answer(run, [{"volume_mm3": str(ml * 1000)}]).comparison
    run["config"]["anomaly"]["threshold"] = 0.4
    assert "given by hand" in answer(run, [{"volume_mm3": "1"}]).comparison


def test_doubtful_preparation_is_said(content):
    run = content().run
    assert not answer(run, []).is_doubtful
    run["preparation"]["quality"]["dice"] = 0.85
    said = answer(run, [])
    assert [line.is_usual for line in said.quality] == [True, False, True, True]
    assert said.is_doubtful


def test_the_command_makes_the_result_again():
    config = {
        "sequence": "auto", "route": "both", "reuse": "fitted", "weights": "/a b/mine",
        "atlas": None, "preprocess": {"bias_field": False, "brain_mask": "/x/m.nii.gz"},
        "anomaly": {"score": "refined", "threshold": 0.5, "min_lesion_mm3": 20.0},
    }  # fmt: skip
    run = {"scan": {"file": "a b.nii.gz"}, "sequence": "T2w", "config": config}
    assert command_of(run) == (
        "anatomaly detect 'a b.nii.gz' -o results --sequence T2w --no-bias-field "
        "--brain-mask m.nii.gz --route both --reuse fitted --weights mine --score refined "
        "--threshold 0.5"
    )
    config["reuse"] = "refined"  # the word of earlier versions
    assert "--reuse adjusted " in command_of(run)
