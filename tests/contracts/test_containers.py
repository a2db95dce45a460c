"""Containers and descriptors are in step with the package: version, options, entry point."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from anatomaly.cli.bids_app import FAILED, INVALID_BIDS, IO_ERROR, make_parser

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "containers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION, LICENCES = PROJECT["version"], PROJECT["license"]
NOT_INPUTS = {"help", "version"}


@pytest.fixture(name="descriptor", scope="module")
def fixture_descriptor() -> dict:
    return json.loads((CONTAINERS / "boutiques.json").read_text())


@pytest.fixture(name="recipe", scope="module")
def fixture_recipe() -> dict:
    return yaml.safe_load((CONTAINERS / "neurodesk" / "build.yaml").read_text())


def actions() -> list[argparse.Action]:
    return [action for action in make_parser()._actions if action.dest not in NOT_INPUTS]


def is_flag(action: argparse.Action) -> bool:
    return action.nargs == 0


def test_every_file_has_the_version_of_the_package():
    named = {
        "Dockerfile": r'image\.version="([\d.]+)"|anatomaly:([\d.]+\d)',
        "anatomaly.def": r"image\.version ([\d.]+)|anatomaly_([\d.]+)\.sif",
        "README.md": r"anatomaly:([\d.]+\d)|anatomaly_([\d.]+)\.sif",
        "boutiques.json": r'"tool-version": "([\d.]+)"|"anatomaly:([\d.]+)"',
        "neurodesk/build.yaml": r"^version: ([\d.]+)$",
        "neurodesk/fulltest.yaml": r"^version: ([\d.]+)$|_([\d.]+)\.simg|anatomaly ([\d.]+)",
    }
    for name, pattern in named.items():
        found = re.findall(pattern, (CONTAINERS / name).read_text(), flags=re.M)
        versions = {part for each in found for part in ([each] if isinstance(each, str) else each)}
        assert versions - {""} == {VERSION}, name


def test_every_file_starts_the_bids_app():
    program = "anatomaly-bids"
    assert program in PROJECT["scripts"]
    assert f'\nENTRYPOINT ["{program}"]\n' in (CONTAINERS / "Dockerfile").read_text()
    runscript = (CONTAINERS / "anatomaly.def").read_text().split("%runscript")[1]
    assert runscript.split()[:3] == ["exec", program, '"$@"']
    assert json.loads((CONTAINERS / "boutiques.json").read_text())["command-line"].startswith(
        f"{program} "
    )
    recipe = yaml.safe_load((CONTAINERS / "neurodesk" / "build.yaml").read_text())
    assert set(recipe["deploy"]["bins"]) == set(PROJECT["scripts"])


def test_every_file_says_the_licences(recipe):
    for name in ("Dockerfile", "anatomaly.def"):
        (said,) = re.findall(r"image\.licenses[ =](.*)", (CONTAINERS / name).read_text())
        assert said.strip(' "\\') == LICENCES
    assert " AND ".join(entry["license"] for entry in recipe["copyright"]) == LICENCES
    codemeta = json.loads((ROOT / "codemeta.json").read_text())
    assert " AND ".join(url.rsplit("/", 1)[1] for url in codemeta["license"]) == LICENCES
    reuse = tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]
    used = {word for each in reuse for word in each["SPDX-License-Identifier"].split(" AND ")}
    assert used == set(LICENCES.split(" AND "))
    for identifier in used:
        assert (ROOT / "LICENSES" / f"{identifier}.txt").stat().st_size > 500


def test_code_and_weights_have_the_licences_that_are_said():
    assert (ROOT / "LICENSES/Apache-2.0.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()
    for card in (ROOT / "src/anatomaly/bundled_weights").glob("*/card.json"):
        assert json.loads(card.read_text())["licence"].startswith("CC BY-SA 3.0 ")
    text = (ROOT / "LICENSES/CC-BY-SA-3.0.txt").read_text()
    assert "Attribution-ShareAlike 3.0 Unported" in text
    assert "8. Miscellaneous" in text


def test_both_images_come_from_one_base_by_the_same_tools():
    dockerfile = (CONTAINERS / "Dockerfile").read_text()
    definition = (CONTAINERS / "anatomaly.def").read_text()
    (base,) = re.findall(r"^ARG BASE=(\S+)$", dockerfile, flags=re.M)
    assert f"\nFrom: {base}\n" in definition
    files = [dockerfile, definition, (CONTAINERS / "neurodesk/build.yaml").read_text()]
    assert len({version for text in files for version in re.findall(r"uv==([\d.]+)", text)}) == 1
    for text in files:
        assert "--torch-backend cpu" in text
    assert "-c /source/constraints.txt" in dockerfile
    assert "-c /source/constraints.txt" in definition


def test_what_the_image_copies_is_let_through_and_nothing_else():
    dockerfile = (CONTAINERS / "Dockerfile").read_text()
    copied = {
        word.strip("/")
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, flags=re.M)
        for word in line.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    (files,) = re.findall(r"%files\n(.*?)\n\n", (CONTAINERS / "anatomaly.def").read_text(), re.S)
    assert {line.split()[0] for line in files.splitlines()} == copied


def test_the_user_of_the_image_is_not_root():
    users = re.findall(r"^USER (\S+)$", (CONTAINERS / "Dockerfile").read_text(), flags=re.M)
    assert users
    assert users[-1] not in ("root", "0")


def test_the_descriptor_has_every_option(descriptor):
    inputs = {entry["id"]: entry for entry in descriptor["inputs"]}
    assert set(inputs) == {action.dest for action in actions()}
    for action in actions():
        entry = inputs[action.dest]
        assert entry["optional"] == bool(action.option_strings), action.dest
        assert entry.get("command-line-flag") in (action.option_strings or [None]), action.dest
        assert (entry["type"] == "Flag") == is_flag(action), action.dest
        assert entry.get("list", False) == (action.nargs == "+"), action.dest
        assert entry.get("integer", False) == (action.dest == "n_cpus"), action.dest
        if action.choices:
            assert entry["value-choices"] == list(action.choices)
        if "default-value" in entry:
            assert entry["default-value"] == action.default, action.dest
    assert inputs["analysis_level"]["value-choices"] == ["participant", "group"]


def test_a_command_line_of_the_descriptor_is_understood(descriptor):
    line, expected = descriptor["command-line"], {}
    for entry in descriptor["inputs"]:
        value = {"Flag": "", "Number": "3", "File": "some/place", "String": "one"}[entry["type"]]
        value = entry.get("value-choices", [value])[0]
        expected[entry["id"]] = value
        words = " ".join([entry.get("command-line-flag", ""), value])
        assert entry["value-key"] in line
        line = line.replace(entry["value-key"], words)
    told = vars(make_parser().parse_args(shlex.split(line)[1:]))
    assert (told["n_cpus"], told["min_lesion_mm3"]) == (3, 3.0)
    assert (told["redo"], told["force"], told["verbose"]) == (True, True, 1)
    assert told["participant_label"] == [expected["participant_label"]]
    assert told["device"] == expected["device"]


def test_the_descriptor_has_the_exit_statuses_of_the_how_to(descriptor):
    table = (ROOT / "docs" / "how-to" / "bids.md").read_text().split("## Exit status")[1]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, flags=re.M)
    told = {int(number) for row in rows for number in row.split(",")} - {0}
    assert {code["code"] for code in descriptor["error-codes"]} == told
    assert told >= {FAILED, INVALID_BIDS, IO_ERROR}


def test_the_recipe_of_neurodesk_and_its_tests_fit(recipe):
    tests = yaml.safe_load((CONTAINERS / "neurodesk" / "fulltest.yaml").read_text())
    assert (tests["name"], tests["version"]) == (recipe["name"], VERSION)
    assert len({test["name"] for test in tests["tests"]}) == len(tests["tests"])
    for test in tests["tests"]:
        program = shlex.split(test["command"])[0]
        assert program in recipe["deploy"]["bins"], program
        assert test["expected_output_contains"]


def run_tool(name: str, words: list[str]) -> None:
    """Run a linter beside this Python, or on the path; skip where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if beside.exists() else shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: see docs/how-to/release.md")
    done = subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_has_nothing_to_say():
    run_tool("hadolint", ["containers/Dockerfile"])


def test_boutiques_takes_the_descriptor():
    run_tool("bosh", ["validate", "containers/boutiques.json"])


def test_the_citation_is_valid():
    run_tool("cffconvert", ["--validate", "-i", "CITATION.cff"])


def test_every_file_has_a_licence():
    run_tool("reuse", ["lint", "--quiet"])


def test_the_workflows_fit_their_schema():
    files = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(".github/workflows/*.yml"))]
    assert len(files) == 3
    run_tool("check-jsonschema", ["--builtin-schema", "vendor.github-workflows", *files])


def test_the_workflows_keep_no_token_and_publish_tags_alone():
    for path in ROOT.glob(".github/workflows/*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] <= 60, name
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["if"] == "github.ref_type == 'tag'"
    assert publish["environment"] == "pypi"
    assert not any("password" in str(step) or "secrets" in str(step) for step in publish["steps"])
