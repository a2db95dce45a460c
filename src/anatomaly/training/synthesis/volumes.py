"""Volumes of healthy people, memory-mapped on disk, as tensors on the device that draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.training.synthesis.deform import read_linear
from anatomaly.training.synthesis.label_maps import TISSUE_OF_CLASS

Array = NDArray[np.uint8]


class Volumes:
    """Reads volumes; on the CPU only the part that is needed, elsewhere each is kept once read.

    A hundred people with one image each take 1 GB of a device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.tissue_of_class = torch.from_numpy(TISSUE_OF_CLASS).to(device)
        self._kept: dict[int, tuple[Array, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was read behind: another process reads it again."""
        return self.__dict__ | {"_kept": {}}

    def whole(self, volume: Array) -> Tensor:
        """Return a volume (I, J, K), uint8."""
        if self.device.type == "cpu":
            return torch.from_numpy(np.array(volume))
        entry = self._kept.get(id(volume))
        if entry is None:  # the array is kept too, so that its id stays its own
            entry = (volume, torch.from_numpy(np.array(volume)).to(self.device))
            self._kept[id(volume)] = entry
        return entry[1]

    def every(self, volume: Array, step: int) -> Tensor:
        """Return every `step`-th voxel along each axis."""
        if self.device.type == "cpu":
            return torch.from_numpy(np.ascontiguousarray(volume[::step, ::step, ::step]))
        return self.whole(volume)[::step, ::step, ::step]

    def read_linear(self, volume: Array, coordinates: Tensor) -> Tensor:
        """Read a volume at (3, I, J, K) places, linear between voxels, 0 outside; float32."""
        if self.device.type != "cpu":
            return read_linear(self.whole(volume).float(), coordinates)
        flat = coordinates.reshape(3, -1)
        low = [max(0, int(v)) for v in flat.amin(1).floor()]
        high = [int(v) + 2 for v in flat.amax(1).ceil()]
        crop = volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        shift = torch.tensor(low, dtype=torch.float32, device=self.device).view(3, 1, 1, 1)
        return read_linear(torch.from_numpy(np.array(crop)).float(), coordinates - shift)
