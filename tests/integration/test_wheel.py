"""What a stranger installs: the wheel is complete, and runs alone in an empty environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

BUILT_IN = ("build", "hatchling")


@pytest.fixture(scope="module", name="built")
def fixture_built(checkout, tmp_path_factory) -> Path:
    """A folder with the sdist of the checkout, and the wheel built from that sdist."""
    missing = [name for name in BUILT_IN if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: run `make setup`")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(checkout)], check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module", name="wheel")
def fixture_wheel(built) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def shipped(checkout: Path) -> set[str]:
    """Files of the package that git knows, by their name in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "src/anatomaly"], cwd=checkout, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not in a checkout of git")
    return {name.removeprefix("src/") for name in listed.stdout.decode().split("\0") if name}


def test_the_wheel_holds_the_package_file_by_file(wheel, checkout):
    """Weights, cards, assets of the page, recipes: all that git has."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        for name in inside:
            assert archive.read(name) == (checkout / "src" / name).read_bytes(), name
    known = shipped(checkout)
    assert {Path(name).suffix for name in known} >= {".safetensors", ".json", ".js", ".j2", ".toml"}
    assert known - inside == set()
    assert [name for name in inside if "__pycache__" in name] == []


def test_the_wheel_says_its_licences_and_brings_their_texts(wheel, checkout):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        fields = Parser().parsestr(archive.read(metadata).decode())
        texts = fields.get_all("License-File")
        prefix = metadata.removesuffix("METADATA") + "licenses/"
        for text in texts:
            assert archive.read(prefix + text) == (checkout / text).read_bytes(), text
    for identifier in re.split(" AND ", fields["License-Expression"]):
        assert f"LICENSES/{identifier}.txt" in texts
    assert "src/anatomaly/bundled_weights/LICENCE.txt" in texts
    assert "src/anatomaly/report/assets/niivue.inside.LICENSE.txt" in texts


def test_the_wheel_is_small_enough_to_hand_round(wheel):
    assert 10e6 < wheel.stat().st_size < 50e6  # the weights alone are 14 MB


def test_the_sdist_builds_and_tests_itself(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    needed = {"pyproject.toml", "constraints.txt", "Makefile", "LICENSES/CC-BY-SA-3.0.txt"}
    needed |= {"tests/conftest.py", "containers/Dockerfile", "codemeta.json", "CITATION.cff"}
    assert needed - names == set()


def offline() -> list[str]:
    """What to write before a command so that it has no network; nothing where nobody may do so."""
    words = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare"):
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
        if done.returncode == 0:
            return words
    return []


@pytest.mark.slow
def test_the_wheel_runs_alone_in_an_empty_environment(wheel, checkout, tmp_path):
    """Installed by pip beside nothing; the demo then has no network and an empty home."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True, system_site_packages=False)
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    install = [programs / "python", "-m", "pip", "install", "--quiet"]
    install += ["-c", checkout / "constraints.txt", "torch", wheel]
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ANATOMALY"))}
    subprocess.run(install, check=True, timeout=3000, env=kept)
    alone = {"cwd": home, "env": kept | {"HOME": str(home)}, "check": True, "timeout": 1500}
    said = subprocess.run(
        [*offline(), programs / "anatomaly", "info"], capture_output=True, text=True, **alone
    ).stdout
    assert "synthetic-" in said
    assert "CC BY-SA 3.0" in said
    subprocess.run([*offline(), programs / "anatomaly", "demo", "-o", "out"], **alone)
    assert len(list((home / "out").glob("phantom_*/report.html"))) == 3
    subprocess.run([*offline(), programs / "anatomaly-bids", "--version"], **alone)
