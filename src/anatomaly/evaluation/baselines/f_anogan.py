"""f-AnoGAN: a GAN learns healthy slices, an encoder finds the code of a scan, score of both gaps.

Source: Schlegl et al. 2019, doi 10.1016/j.media.2019.01.010: Wasserstein GAN with gradient penalty
10, then the encoder "izi_f": |x − G(E(x))|² + κ |f(x) − f(G(E(x)))|², f the critic's features.
What differs: both halves of the GAN share one AdamW, the generator moves every fifth step; seven
tenths of the budget are the GAN's; the feature term is one number a slice, so the map is the
image term times 1 + the feature term; MONAI's networks, slices of 80×96 at 2 mm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from anatomaly.evaluation.benchmark.method import MethodCard, Trainer
from anatomaly.evaluation.benchmark.networks import LATENT, make_gan
from anatomaly.evaluation.benchmark.slices import SliceSamples
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod, masked_l2, seeded

PENALTY, CRITIC_STEPS, FEATURE_WEIGHT, GAN_SHARE = 10.0, 5, 1.0, 0.7


class AnoGan(SlicewiseMethod):
    """Generator, critic and encoder; the loop trains the first two, then the third."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.generator, self.critic, self.encoder = make_gan(seed)

    @property
    def trained(self) -> nn.Module:
        """The encoder: the GAN is trained before, by a stage of its own."""
        encoder: nn.Module = self.encoder
        return encoder

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""
        return sum(p.numel() for p in self.parameters())

    def train_parts(self, samples: SliceSamples, trainer: Trainer) -> None:
        """Train the GAN, then the encoder with the GAN frozen."""
        gan = GanStage(self.generator, self.critic, self.seed)
        trainer.train("gan", gan, samples, share=GAN_SHARE)
        for network in (self.generator, self.critic):
            network.requires_grad_(False)
        trainer.train("encoder", self, samples, share=1 - GAN_SHARE)

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Image and feature gap of the encoder."""
        rebuilt = self._generate(image, mask)
        features = (self.critic.net(image) - self.critic.net(rebuilt)).square().mean()
        return {"image": masked_l2(rebuilt, image, mask), "features": FEATURE_WEIGHT * features}

    def _generate(self, image: Tensor, mask: Tensor) -> Tensor:
        """Generate the healthy slice of a code, (B, 1, I, J) in [0, 1]."""
        return draw(self.generator, self.encoder(image).tanh() * 3) * mask

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Squared residual, raised where the critic's features differ too."""
        rebuilt = self._generate(image, mask)
        gap = (self.critic.net(image) - self.critic.net(rebuilt)).square().mean((1, 2, 3))
        raised: Tensor = 1 + FEATURE_WEIGHT * gap.view(-1, 1, 1, 1)
        return (image - rebuilt).square() * raised


class GanStage:
    """Generator against critic; losses of one never move the other."""

    def __init__(self, generator: nn.Module, critic: nn.Module, seed: int) -> None:
        self.generator, self.critic, self.seed = generator, critic, seed
        self.trained: nn.Module = nn.ModuleList([generator, critic])

    def to(self, device: str, /) -> Any:
        """Move both networks."""
        self.trained.to(device)
        return self

    def step(self, batch: dict[str, Tensor], step: int = 0) -> dict[str, Tensor]:
        """Losses of the critic, and every fifth step of the generator."""
        real = batch["image"]
        with seeded(self.seed, step):
            codes = torch.randn(len(real), LATENT).to(real)
            share = torch.rand(len(real), 1, 1, 1).to(real)
        fake = draw(self.generator, codes) * batch["mask"]
        parts = {
            "critic": self.critic(fake.detach()).mean() - self.critic(real).mean(),
            "penalty": PENALTY * self._steepness(share * real + (1 - share) * fake.detach()),
            "generator": torch.zeros((), device=real.device),
        }
        if step % CRITIC_STEPS == 0:
            frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
            parts["generator"] = -functional_call(self.critic, frozen, (fake,)).mean()
        return parts

    def _steepness(self, between: Tensor) -> Tensor:
        """Squared distance of the critic's slope from 1."""
        between = between.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        steepness: Tensor = slope.flatten(1).norm(dim=1)
        return (steepness - 1).square().mean()


def draw(generator: nn.Module, codes: Tensor) -> Tensor:
    """Generate slices in [0, 1]."""
    return torch.sigmoid(generator(codes))


METHOD = MethodCard(
    title="f-AnoGAN",
    source="Schlegl et al. 2019, doi 10.1016/j.media.2019.01.010",
    differs="one optimiser, 7 : 3 of the budget, 80×96 slices at 2 mm, median filter of 6 mm",
    build=lambda sequence, seed: AnoGan(seed),
)
