"""Pictures come out whatever the environment and the user's settings say of drawing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anatomaly.report.drawing import grey_window
from anatomaly.report.overview import write_overview
from anatomaly.volume import Volume

DRAW = """
import os, sys
from anatomaly.report.drawing import new_figure, plain_drawing
with plain_drawing():
    figure = new_figure(figsize=(1, 1))
    figure.text(0, 0, "a_b")
    figure.savefig(sys.argv[1], format="png")
assert "matplotlib.pyplot" not in sys.modules
print(os.environ.get("MPLBACKEND"))
"""


def draw(folder: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRAW, str(folder / "a.png")]
    environment = os.environ | settings
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=False
    )


@pytest.mark.parametrize(
    "backend",
    ["module://matplotlib_inline.backend_inline", "module://no.such", "nonsense", "tkagg"],
)
def test_a_backend_that_is_not_here_is_passed_over(tmp_path: Path, backend: str):
    done = draw(tmp_path, {"MPLBACKEND": backend})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend, "the environment of the caller is not ours to change"
    assert (tmp_path / "a.png").stat().st_size > 100


def test_settings_of_the_user_and_a_home_that_is_not_there_do_no_harm(tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.dpi: 10\nbackend: none_such")
    settings = {
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": "/nonexistent/matplotlib",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
    }
    done = draw(tmp_path, settings)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("title", ["Sch\udce4del", "a$b_{c$ and $", "two\nlines", "患者"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_name_makes_a_title(tmp_path: Path, title: str):
    data = np.zeros((20, 22, 18), np.float32)
    data[4:16, 4:18, 4:14] = np.random.default_rng(0).uniform(50, 100, (12, 14, 10))
    scan = Volume(data, np.diag([4.0, 4.0, 4.0, 1.0]))
    brain = scan.with_data((data > 0).astype(np.uint8))
    nothing = scan.with_data(np.zeros_like(data))
    warnings = (f"{title}: a doubt",)
    write_overview(tmp_path / "a.png", scan, scan, nothing, nothing, brain, title, 0.5, warnings)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def _brain() -> np.ndarray:
    return np.random.default_rng(0).normal(500, 60, 20_000).astype(np.float32)


def test_a_sound_brain_has_its_percentiles():
    brain = _brain()
    np.testing.assert_allclose(grey_window(brain), np.percentile(brain, (0.5, 99.7)))


@pytest.mark.parametrize("value", [60000, -2e6])
def test_spikes_do_not_darken_the_picture(value):
    brain = _brain()
    spoilt = np.append(brain, np.full(1500, value, dtype=np.float32))
    np.testing.assert_allclose(grey_window(spoilt), grey_window(brain), atol=1)


def test_one_value_has_a_window():
    black, white = grey_window(np.full(9, 3.0))
    assert black == 3 and white > black
