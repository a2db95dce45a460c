"""StRegA-style: a ceVAE on the tissue map, so that it sees anatomy and no intensities.

Source: Chatterjee et al. 2022, doi 10.1016/j.compbiomed.2022.106093: segment the tissues, train a
compact ceVAE on the segmentation, positive residual. What differs: the segmentation is our own
extractor's T1-like image of the tissue map (FSL FAST there); |x − x'| of both signs, without
Otsu's threshold, because thresholds come from healthy scans here.
"""

from __future__ import annotations

from anatomaly.evaluation.baselines.cevae import ContextEncodingVae
from anatomaly.evaluation.baselines.vae import VariationalAutoencoder
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.own_features import anatomical_image, load_extractor
from anatomaly.evaluation.benchmark.slices import Slices, cut_slices
from anatomaly.volume import PreparedImage


class TissueVae(ContextEncodingVae):
    """The ceVAE of `cevae.py` on another image."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._frozen = (load_extractor(),)  # a tuple: no part of what is trained and counted

    def cut(self, prepared: PreparedImage) -> Slices:
        """Cut the tissue map into slices."""
        image = anatomical_image(self._frozen[0], prepared)
        return cut_slices(PreparedImage(image, prepared.brain_mask, prepared.sequence))

    score_slices = VariationalAutoencoder.score_slices  # the residual alone


METHOD = MethodCard(
    title="StRegA-style",
    source="Chatterjee et al. 2022, doi 10.1016/j.compbiomed.2022.106093",
    differs="tissue map of our own extractor, both signs, no Otsu, 80×96 slices at 2 mm",
    build=lambda sequence, seed: TissueVae(seed),
)
