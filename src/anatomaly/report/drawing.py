"""Figures drawn in memory, whatever the environment says of windows, notebooks and styles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def plain_drawing() -> Iterator[None]:
    """Draw with matplotlib's own settings, not with a user's `matplotlibrc` (TeX, fonts, sizes)."""
    import_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def new_figure(**options: Any) -> Figure:
    """Return a figure on the canvas that draws into memory.

    Args:
        options: of `matplotlib.figure.Figure`.
    """
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure


def import_matplotlib() -> None:
    """Import matplotlib; a backend that the environment names and that is not here is passed over.

    A notebook hands `MPLBACKEND` on to every program that it starts, and matplotlib refuses to be
    imported where that backend is not installed. We use none.
    """
    told = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl  # noqa: F401
    finally:
        if told is not None:
            os.environ["MPLBACKEND"] = told
