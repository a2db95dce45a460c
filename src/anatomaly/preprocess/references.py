"""What every scan is compared with: computed once a process, in the background where a core idles.

The template on coarse grids, turned by every rotation, takes three seconds of a core; meanwhile the
first scan is read and its brain extracted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from anatomaly.systems import usable_processors

P = ParamSpec("P")
R = TypeVar("R")
MOST_THREADS = 4


def computed_once(function: Callable[P, R]) -> Callable[P, R]:
    """Keep what a function returned; a second thread that asks meanwhile waits for the first.

    >>> @computed_once
    ... def answer() -> list[int]:
    ...     return [42]
    >>> answer() is answer()
    True
    """
    results: dict[object, R] = {}
    lock = threading.RLock()

    @wraps(function)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> R:
        key = args, tuple(kwargs.items())
        with lock:
            if key not in results:
                results[key] = function(*args, **kwargs)
            return results[key]

    return waiting


def usable_threads() -> int:
    """Return the user's OMP_NUM_THREADS, else the processors this process may use (at most 4)."""
    by_user = os.environ.get("OMP_NUM_THREADS", "")
    if by_user.isdigit() and int(by_user) > 0:
        return int(by_user)
    return max(1, min(MOST_THREADS, usable_processors()))


@lru_cache(maxsize=1)
def load_in_background(*loaders: Callable[[], object]) -> None:
    """Call loaders one after the other in a thread, once a process; nothing with one thread.

    Args:
        loaders: functions of `computed_once`. An error is left to whoever asks next.
    """
    if usable_threads() > 1:
        threading.Thread(target=_load, args=(loaders,), daemon=True).start()


def _load(loaders: tuple[Callable[[], object], ...]) -> None:
    for loader in loaders:
        try:
            loader()
        except Exception:
            logging.getLogger(__name__).debug("%s failed", loader, exc_info=True)
