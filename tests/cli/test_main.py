"""The program itself."""

from importlib.metadata import version

import pytest


def test_version(run):
    assert run("--version").stdout == f"anatomaly {version('anatomaly')}\n"


@pytest.mark.parametrize("command", ["detect", "demo", "info", "train"])
def test_help_of_every_command(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"anatomaly {command}" in result.stdout


def test_unknown_command_is_wrong_usage(run):
    assert run("detekt").exit_code == 2


def test_completion_knows_commands_options_and_values(run, monkeypatch):
    """As a shell asks: what could stand where the cursor is."""
    monkeypatch.setenv("_ANATOMALY_COMPLETE", "complete_bash")
    for words, said in {
        "anatomaly de": ["detect", "demo"],
        "anatomaly detect --pol": ["--polarity"],
        "anatomaly detect --polarity dark": ["darker"],
    }.items():
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run().stdout.split() == said
