"""What the documents say is true: paths exist, commands parse, examples compile."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import typer

import anatomaly
from anatomaly.cli.bids_app import make_parser
from anatomaly.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "containers" / "README.md",
]
FOLDERS = ("src/", "docs/", "tests/", "benchmarks/", "containers/", ".ci/", ".github/")

documents = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), flags=re.M | re.S)


def commands(document: Path) -> list[list[str]]:
    lines = [line for block in blocks(document, "sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [words for words in words if words]


@documents
def test_named_paths_exist(document):
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    named = [name for name in re.findall(r"`([^`\s]+)`", text) if name.startswith(FOLDERS)]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


@documents
def test_commands_parse(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    group = typer.main.get_command(app)
    for words in commands(document):
        if words[0] == "make":
            assert words[1] in targets, words
        if words[0] == "anatomaly":
            parse(group, words[1:])
        if words[0] == "anatomaly-bids":
            make_parser().parse_args(words[1:])


def parse(group, words: list[str]) -> None:
    """Let typer read a command line without running it."""
    for word in words:
        path = Path(word)
        if word.endswith((".nii.gz", ".csv")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        elif re.fullmatch(r"[a-z_]+", word):  # a folder, as far as the reader can tell
            path.mkdir(exist_ok=True)
    command = group
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not words or words[0].startswith("-")):
            break
        name, *words = words
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    if "--help" not in words:
        command.make_context(command.name, words)


def every_command(command, name="anatomaly"):
    """Yield each command that can be called, by its whole name."""
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield name, command
    for word, child in children.items():
        yield from every_command(child, f"{name} {word}")


def test_the_help_of_every_command_has_an_example_that_parses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = typer.main.get_command(app)
    for name, command in every_command(group):
        examples = re.findall(rf"`({name}\b[^`]*)`", command.help)
        assert examples, name
        for example in examples:
            parse(group, shlex.split(example)[1:])


def test_every_option_has_a_help_text():
    for name, command in every_command(typer.main.get_command(app)):
        assert [p.name for p in command.params if not getattr(p, "help", "")] == [], name
    parser = make_parser()
    assert [action.dest for action in parser._actions if not action.help] == []


@documents
def test_python_examples_compile_and_use_public_names(document):
    for block in blocks(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "anatomaly" or node.attr in anatomaly.__all__


def test_the_checks_above_have_something_to_check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = ROOT / "README.md"
    assert ["make", "demo"] in commands(readme)
    assert sum(words[0] == "anatomaly" for words in commands(readme)) >= 3
    assert blocks(readme, "python")
    with pytest.raises(Exception, match="No such option"):
        parse(typer.main.get_command(app), ["detect", "a.nii.gz", "-o", "out", "--treshold", "1"])


def test_every_decision_is_listed():
    listing = (ROOT / "docs" / "decisions" / "README.md").read_text()
    files = [path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert [name for name in files if f"({name})" not in listing] == []


def test_one_version_everywhere():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), flags=re.M)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert json.loads((ROOT / "codemeta.json").read_text())["version"] == version


def test_constraints_pin_every_requirement_and_name_no_host():
    pins = (ROOT / "constraints.txt").read_text()
    pinned = {line.split("==")[0].lower() for line in pins.splitlines() if "==" in line}
    project = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0]
    needed = {name.lower() for name in re.findall(r'^    "([\w-]+)>=', project, flags=re.M)}
    assert len(needed) > 20
    normal = {name.replace("_", "-") for name in pinned}
    assert {name.replace("_", "-") for name in needed} <= normal
    assert not re.search(r"://|\+cpu| @ ", pins)
