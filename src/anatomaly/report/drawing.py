"""How pictures are drawn: which greys, and figures in memory whatever the environment says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PERCENTILES = (0.5, 99.7)

MOST_AWAY = 8.0
"""Distances of the 10th from the 90th percentile, beyond either, that no sound voxel lies away."""


def grey_window(inside: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5th and 99.7th percentile of a brain, spikes left out; never of no width.

    Args:
        inside: intensities inside the brain, any shape, at least one.

    >>> brain = np.append(np.linspace(50, 150, 1000), [60000.0] * 20)
    >>> [round(value) for value in grey_window(brain)]
    [50, 150]
    """
    low, high = (float(value) for value in np.percentile(inside, (10, 90)))
    away = MOST_AWAY * (high - low)
    sound = inside[(inside >= low - away) & (inside <= high + away)]
    black, white = (float(value) for value in np.percentile(sound, PERCENTILES))
    return black, max(white, black + 1e-6)


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
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl  # noqa: F401
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
