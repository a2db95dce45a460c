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
