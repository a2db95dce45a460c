"""What the programs make of the machine that they run on: signals, streams, figures.

Only the command line does this: whoever imports the package keeps handlers and streams.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from anatomaly.systems import ENDING_SIGNALS

_DEAF_SECONDS = 5.0
"""After a signal others are passed over for this time: cleaning up is not to be cut short."""


class Interruption(SystemExit):
    """A signal, as an exception: blocks are left in order, and what they made is removed.

    Attributes:
        name: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def surroundings() -> Iterator[None]:
    """Run a program of the command line.

    A signal of `ENDING_SIGNALS` ends it in order, with status 128 + its number: no temporary
    folder, no half-written result and no child process stays. One that is ignored, as under
    `nohup`, stays so. Text that a stream's encoding lacks is printed as an escape. Figures need no
    window.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ.setdefault(
        "PYTORCH_ENABLE_MPS_FALLBACK", "1"
    )  # what an Apple GPU lacks, the CPU does
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # advice on where to keep its cache
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the program
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        with suppress(AttributeError, OSError, ValueError):  # not a stream of the usual kind
            getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        with orderly_end():
            yield
    except Interruption as end:
        with suppress(OSError, ValueError):
            print(
                f"stopped by {end.name}: finished results stay, the unfinished one was removed",
                file=sys.stderr,
            )
        raise


@contextmanager
def orderly_end() -> Iterator[None]:
    """Turn signals into an `Interruption` while the block runs."""
    last = -_DEAF_SECONDS

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _DEAF_SECONDS:
            last = time.monotonic()
            raise Interruption(number)

    before: dict[int, Any] = {}
    for name in ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) in (signal.SIG_IGN, None):
            continue
        with suppress(ValueError):  # not in the main thread: handlers are not ours to set
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
