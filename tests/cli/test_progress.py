"""The display: a bar on a terminal, lines in a log, and the logger left as it was found."""

import io
import logging

import pytest

from anatomaly.cli.progress import STAGE_LOGGER, Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stages(display: Display) -> None:
    with display:
        display.start_scan("one")
        logging.getLogger(STAGE_LOGGER).info("prepare")
        logging.getLogger("anatomaly.preprocess").info("12 iterations")
        logging.getLogger("anatomaly.preprocess").warning("mask is small")


@pytest.mark.parametrize(
    ("options", "seen", "unseen"),
    [
        ({}, ["[1/1] one: prepare", "one: mask is small"], ["12 iterations"]),
        ({"verbose": True}, ["one: prepare", "one: 12 iterations", "mask is small"], []),
        ({"quiet": True}, ["one: mask is small"], ["prepare", "12 iterations"]),
    ],
    ids=["plain", "verbose", "quiet"],
)
def test_lines_in_a_log(capsys, options, seen, unseen):
    stages(Display(1, **options))
    err = capsys.readouterr().err
    assert all(text in err for text in seen)
    assert not any(text in err for text in unseen)
    assert "\x1b" not in err


def test_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    stages(Display(1))
    assert "prepare" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()  # it is drawn and redrawn


def test_logger_is_left_as_it_was():
    logger = logging.getLogger("anatomaly")
    before = (logger.level, list(logger.handlers))
    stages(Display(1))
    assert (logger.level, list(logger.handlers)) == before
