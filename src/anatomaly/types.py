"""The few type aliases that several layers share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
"""Any floating array; the docstring of its user gives shape, unit and range."""

BoolArray: TypeAlias = NDArray[np.bool_]
"""A mask."""

Affine: TypeAlias = NDArray[np.float64]
"""(4, 4), voxel indices to scanner RAS+ millimetres."""

MrSequence: TypeAlias = Literal["T1w", "T2w", "FLAIR"]
Sign: TypeAlias = Literal["brighter", "darker"]
ResidualPolarity: TypeAlias = Literal["both", Sign]
ScoreName: TypeAlias = Literal["hybrid", "residual", "structure", "normalised", "refined"]
SingleRoute: TypeAlias = Literal["edges", "tissue_map"]
Route: TypeAlias = Literal[SingleRoute, "both"]
EdgeKind: TypeAlias = Literal["canny", "oriented"]
TrainedEdges: TypeAlias = Literal[EdgeKind, "both"]
Reuse: TypeAlias = Literal["learned", "adjusted", "fitted"]

SequenceOption: TypeAlias = Literal["auto", MrSequence]
Polarity: TypeAlias = Literal["auto", ResidualPolarity]
ScoreOption: TypeAlias = Literal["auto", ScoreName]
RouteOption: TypeAlias = Literal["auto", Route]
EdgeOption: TypeAlias = Literal["auto", EdgeKind]
ReuseOption: TypeAlias = Literal["auto", Reuse]

EDGE_KINDS: tuple[EdgeKind, ...] = ("oriented", "canny")
"""The first that weights have a restorer for is their default."""

SEQUENCES: tuple[MrSequence, ...] = ("T1w", "T2w", "FLAIR")
