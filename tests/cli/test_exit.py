"""How a command ends that cannot go on."""

import pytest
import typer

from anatomaly.cli.exit import exit_on_error
from anatomaly.errors import TrainingError


def test_an_error_of_ours_is_one_line_and_1(capsys):
    with pytest.raises(typer.Exit) as left, exit_on_error():
        raise TrainingError("nobody left to train on")
    assert left.value.exit_code == 1
    assert isinstance(left.value.__cause__, TrainingError)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "TrainingError: nobody left to train on\n")


def test_other_errors_pass_unless_named(capsys):
    with pytest.raises(KeyError), exit_on_error(ZeroDivisionError):
        raise KeyError("a defect of ours")
    assert capsys.readouterr().err == ""
    with pytest.raises(typer.Exit), exit_on_error(KeyError, ZeroDivisionError):
        raise ZeroDivisionError("by nothing")
    assert capsys.readouterr().err == "ZeroDivisionError: by nothing\n"


def test_the_line_goes_where_it_is_wanted(capsys):
    said = []
    with pytest.raises(typer.Exit), exit_on_error(say=said.append):
        raise TrainingError("no")
    assert said == ["TrainingError: no"] and capsys.readouterr().err == ""


def test_nothing_happens_without_an_error(capsys):
    with exit_on_error():
        done = True
    assert done and capsys.readouterr().err == ""
