"""AE: what a bottleneck of 128 numbers cannot rebuild is abnormal, score |x − x'|.

Source: Baur et al. 2021, doi 10.1016/j.media.2020.101952, the dense autoencoder: loss L1.
What differs: slices of 80×96 at 2 mm; MONAI's convolutions; median filter of 6 mm.
"""

from __future__ import annotations

from torch import Tensor

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_dense_autoencoder
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod, masked_l1


class Autoencoder(SlicewiseMethod):
    """Dense autoencoder."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_dense_autoencoder(seed)

    def rebuild(self, image: Tensor) -> Tensor:
        """Encode and decode (B, 1, I, J) in [0, 1]."""
        rebuilt: Tensor = self.network.decode_forward(self.network.encode_forward(image)[0])
        return rebuilt

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 inside the brain."""
        return {"l1": masked_l1(self.rebuild(image), image, mask)}


METHOD = MethodCard(
    title="AE",
    source="Baur et al. 2021, doi 10.1016/j.media.2020.101952",
    differs="80×96 slices at 2 mm, MONAI's convolutions, median filter of 6 mm",
    build=lambda sequence, seed: Autoencoder(seed),
)
