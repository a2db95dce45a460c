"""The page in a real browser, from a file, without a network: it opens, counts and moves."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from anatomaly.report.answer import say_false_findings
from anatomaly.report.index import write_index
from anatomaly.report.layers import make_layers
from anatomaly.report.page import write_page
from anatomaly.report.spots import find_spots

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_WEBGL = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
]
TIMEOUT_MS = 240_000
"""Software rendering on a busy machine takes a minute."""


@pytest.fixture(name="browser", scope="module")
def fixture_browser():
    """Headless Chromium: `ANATOMALY_CHROMIUM`, one on the path, or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("ANATOMALY_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=found, args=SOFTWARE_WEBGL, timeout=TIMEOUT_MS
            )
        except api.Error as error:
            pytest.skip(f"no Chromium that starts: {error}")
        yield browser
        browser.close()


def open_page(page, content, folder):
    write_page(folder / "report.html", content)
    page.set_default_timeout(TIMEOUT_MS)
    page.goto((folder / "report.html").as_uri(), timeout=TIMEOUT_MS)
    page.wait_for_selector("html.ready, html.failed", state="attached")


@pytest.fixture(name="opened")
def fixture_opened(browser, content, tmp_path):
    """The page of the made-up result, and what the console said."""
    page, said = browser.new_page(viewport={"width": 1200, "height": 900}), []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
    open_page(page, content(warnings=("look <twice>",)), tmp_path)
    yield page, said
    page.close()


@pytest.fixture(name="opened_with_healthy")
def fixture_opened_with_healthy(browser, healthy_content, tmp_path):
    """The page of weights that know what healthy brains show."""
    page = browser.new_page()
    open_page(page, healthy_content, tmp_path)
    yield page
    page.close()


def crosshair(page):
    return np.array([float(x) for x in page.get_attribute("#where", "data-mm").split(",")])


def settle(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")


def test_it_opens_counts_and_moves(opened, made):
    page, said = opened
    assert not page.query_selector("html.failed"), page.inner_text("#viewer-error")
    assert "graphics" not in " ".join(said)
    assert [line for line in said if "swiftshader" not in line.lower()] == []
    total = sum(lesion.volume_mm3 for lesion in made.lesions) / 1000
    live = float(page.get_attribute("#live-volume", "data-ml"))
    assert live == pytest.approx(total, rel=1e-9)
    assert page.inner_text("#live-count") == "in 2 places"
    widest = max(made.layers.spacing_mm)
    for number in (1, 0):
        page.click(f'.findings .finding[data-finding="{number}"]')
        assert np.abs(crosshair(page) - made.spots[number].mm).max() < widest, number
        assert "score 0.7" in page.inner_text("#where") or number == 0
    slide(page, "#threshold", round(0.8 / made.layers.map_step))
    first = made.lesions[0].volume_mm3 / 1000
    assert float(page.get_attribute("#live-volume", "data-ml")) == pytest.approx(first, rel=1e-9)
    assert page.inner_text("#live-count") == "in 1 place"
    page.click("#reset")
    settle(page)
    assert float(page.get_attribute("#live-volume", "data-ml")) == pytest.approx(total)


def test_what_healthy_brains_show_follows_the_slider(opened_with_healthy, curve, made):
    page = opened_with_healthy
    step = made.layers.map_step
    own = page.inner_text("#healthy")
    assert own == say_false_findings(curve.at(0.4)) and own in page.inner_text(".comparison")
    for steps in (round(0.12 / step), round(0.55 / step), 254, 1):
        slide(page, "#threshold", steps)
        assert page.inner_text("#healthy") == say_false_findings(curve.at(steps * step)), steps
    assert "was not measured" in page.inner_text("#healthy")
    page.click("#reset")
    settle(page)
    assert page.inner_text("#healthy") == own
    assert page.get_attribute("#threshold-marks option", "value") == page.input_value("#threshold")


def test_a_mask_corrected_by_hand_is_shown_until_the_slider_moves(browser, content, made, tmp_path):
    """One of the two lesions was taken out, and no map lies under what was drawn instead."""
    drawn = np.zeros(made.mask.shape, np.uint8)
    drawn[20:23, 20:23, 10:12] = 1
    by_hand = made.mask.with_data(drawn)
    layers = make_layers(replace(made.volumes, hand_mask=by_hand), 0.4)
    volume_mm3 = drawn.sum() * by_hand.voxel_volume_mm3
    row = {**made.rows[0], "volume_mm3": f"{volume_mm3:.1f}"}
    spots = find_spots(by_hand, made.brain_mask)
    page, shown = browser.new_page(), content(layers=layers, lesions=[row], spots=spots)
    edit = {"at": "2026-11-02T10:00:00+00:00", "added_ml": 0.25, "removed_ml": 1.5,
            "sha256_before": "a", "sha256_after": "b"}  # fmt: skip
    shown.run["corrected_by_hand"] = [edit]
    open_page(page, shown, tmp_path)

    def live():
        return float(page.get_attribute("#live-volume", "data-ml"))

    assert "Mask corrected by hand on 2026-11-02" in page.inner_text(".facts")
    for _ in range(2):
        assert live() == pytest.approx(volume_mm3 / 1000, abs=1e-3)
        assert page.inner_text("#threshold-value") == "by hand"
        assert page.inner_text("#live-count") == "in 1 place" and page.is_hidden("#reset")
        slide(page, "#threshold", page.input_value("#threshold"))  # the program's own threshold
        total = sum(lesion.volume_mm3 for lesion in made.lesions) / 1000
        assert live() == pytest.approx(total) and page.inner_text("#threshold-value") == "0.400"
        assert page.inner_text("#reset") == "back to the corrected mask"
        page.click("#reset")
        settle(page)
    page.close()


def slide(page, selector, value):
    page.eval_on_selector(
        selector, "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value
    )
    settle(page)


def test_the_picture_follows_the_controls(opened):
    page, _ = opened
    seen = {}
    for side, layer in (
        ("right", "pseudo_healthy"),
        ("right", "tissue_map"),
        ("right", "intensity"),
    ):
        page.select_option(f"#{side}", layer)
        settle(page)
        seen[layer] = page.locator(f"#canvas-{side}").screenshot()
    assert len(set(seen.values())) == 3
    before = page.locator("#canvas-left").screenshot()
    slide(page, "#opacity", 0)
    page.uncheck("#show-mask")
    settle(page)
    assert page.locator("#canvas-left").screenshot() != before


def test_the_cohort_page_sorts(browser, content, tmp_path):
    for name, warnings in (("b", ()), ("a", ("doubt",))):
        (tmp_path / name).mkdir()
        made = content(name=name, warnings=warnings)
        text = json.dumps(made.run)
        (tmp_path / name / "run.json").write_text(text)
    (tmp_path / "failures.tsv").write_text("scan\terror\treason\nc.nii.gz\tScanError\tbroken\n")
    page = browser.new_page()
    page.goto(write_index(tmp_path).as_uri(), timeout=TIMEOUT_MS)
    names = "() => Array.from(document.querySelectorAll('tbody tr'), r => r.dataset.name)"
    assert page.evaluate(names) == ["c.nii.gz", "a", "b"]
    page.click('th[data-key="name"]')
    assert page.evaluate(names) == ["a", "b", "c.nii.gz"]
    page.click('th[data-key="name"]')
    assert page.evaluate(names) == ["c.nii.gz", "b", "a"]
    page.close()
