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
from types import FrameType, TracebackType
from typing import Self

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""What ends a program on purpose: a person, a scheduler, a terminal that is closed."""

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

    A signal of `SIGNALS` ends it in order, with status 128 + its number: no temporary folder, no
    half-written result and no child process stays. One that is ignored, as under `nohup`, stays so.
    Text that a stream's encoding lacks is printed as an escape. Figures need no window.
    """
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # advice on where to keep its cache
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the program
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        with suppress(AttributeError, OSError, ValueError):  # not a stream of the usual kind
            getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        with _OrderlyEnd():
            yield
    except Interruption as end:
        with suppress(OSError, ValueError):
            print(
                f"stopped by {end.name}: finished results stay, the unfinished one was removed",
                file=sys.stderr,
            )
        raise


class _OrderlyEnd:
    """Turns signals into an `Interruption` while it is entered."""

    def __init__(self) -> None:
        self._before: dict[int, object] = {}
        self._last = -_DEAF_SECONDS

    def __enter__(self) -> Self:
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) in (signal.SIG_IGN, None):
                continue
            with suppress(ValueError):  # not in the main thread: handlers are not ours to set
                self._before[number] = signal.signal(number, self._end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _end(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last >= _DEAF_SECONDS:
            self._last = now
            raise Interruption(number)
