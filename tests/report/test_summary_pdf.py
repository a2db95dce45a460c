"""The sheet of PDF says what the page says first, on one page, whatever the result."""

import io

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from anatomaly.report.summary_pdf import DISCLAIMER, make_summary_pdf


def read(content, overview=None, **changed):
    run = {**content.run, **changed}
    pdf = make_summary_pdf(content.name, run, content.lesions, overview)
    (page,) = PdfReader(io.BytesIO(pdf), strict=True).pages
    return page, " ".join(page.extract_text().split())


def test_what_it_says(content):
    made = content(warnings=("the head lies turned",))
    page, text = read(made)
    assert [float(x) / 72 for x in page.mediabox[2:]] == pytest.approx([8.27, 11.69], abs=0.01)
    assert DISCLAIMER in text and made.name in text
    assert "1 warning: read before you trust the result" in text and "the head lies turned" in text
    assert "mL in 2 places" in text
    for row in made.lesions:
        assert f"{row['number']} {float(row['volume_mm3']) / 1000:.2f} {row['polarity']}" in text
    weights = made.run["weights"]
    assert weights["name"] in text and weights["sha256"] in text


def test_the_overview_is_in_it(content):
    png = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (60, 150, 3), np.uint8)
    Image.fromarray(noise).save(png, "PNG")
    page, _ = read(content(), png.getvalue())
    (picture,) = page.images
    stored = np.asarray(picture.image.convert("RGB"))  # from the bottom, as PDF counts
    np.testing.assert_array_equal(stored[::-1], noise)


def test_more_than_there_is_room_for(content):
    made = content(warnings=tuple(f"doubt {n}: {'very long ' * 90}" for n in range(9)))
    many = [{**made.lesions[0], "number": str(n)} for n in range(1, 400)]
    pdf = make_summary_pdf("x" * 300, made.run, many, None)
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    text = " ".join(page.extract_text().split())
    assert "4 more in run.json" in text and "more in lesions.tsv" in text
    shown = text.split(" more in lesions.tsv")[0].split()
    assert 10 < 399 - int(shown[-1]) < 60


def test_odd_names_and_no_finding(content):
    made = content()
    pdf = make_summary_pdf("Größe_\udce4 $x^2$", made.run, [], None)
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    assert "Größe_" in text and "$x^2$" in text and "Nothing passes the threshold" in text


def test_a_mask_corrected_by_hand(content):
    edit = {"at": "2026-11-02T10:00:00+00:00", "added_ml": 0.25, "removed_ml": 1.5,
            "sha256_before": "a", "sha256_after": "b"}  # fmt: skip
    _, text = read(content(), corrected_by_hand=[edit])
    assert "Mask corrected by hand on 2026-11-02" in text
