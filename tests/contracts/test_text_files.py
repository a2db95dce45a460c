"""Text files are the same on every system: no encoding, and no line ends, of the machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))


def calls_without_encoding(tree: ast.AST) -> list[int]:
    """Return the lines that read or write text and do not say how."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        told = {keyword.arg for keyword in node.keywords}
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        is_text = bool(modes or told) and not any("b" in str(mode) for mode in modes)
        bare = {
            "open": is_text,
            "read_text": not node.args,
            "write_text": len(node.args) < 2,
            "run": "text" in told and "errors" not in told,
        }
        if bare.get(name) and "encoding" not in told:
            found.append(node.lineno)
    return found


def writes_without_line_ends(tree: ast.AST) -> list[int]:
    """Return the lines that write text whose line ends Windows would change."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            told = {keyword.arg for keyword in node.keywords}
            modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            modes += [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
            opens = name == "open" and any(mode in ("w", "a", "x") for mode in modes)
            if (opens or name == "write_text") and "newline" not in told:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("line", ["p.open('w', encoding='utf-8')", "p.write_text(x, 'utf-8')"])
def test_the_check_sees_a_call_without_line_ends(line: str):
    assert writes_without_line_ends(ast.parse(line)) == [1]


def test_every_written_text_names_its_line_ends():
    found = {path: writes_without_line_ends(ast.parse(path.read_text("utf-8"))) for path in SOURCES}
    del found[next(path for path in SOURCES if path.name == "surroundings.py")]  # os.devnull
    assert {path.name: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line", ["p.open('w')", "p.read_text()", "p.write_text(x)", "open(p, 'a')"]
)
def test_the_check_sees_a_call_without_encoding(line: str):
    assert calls_without_encoding(ast.parse(line)) == [1]


def test_every_text_file_names_its_encoding():
    found = {path: calls_without_encoding(ast.parse(path.read_text("utf-8"))) for path in SOURCES}
    assert {path.name: lines for path, lines in found.items() if lines} == {}
    assert len(SOURCES) > 100
