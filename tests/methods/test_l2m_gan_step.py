"""Steps of L2M-GAN are equations 1 to 7 of the paper, written out."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stargan2 import Landmarks, landmarks_part, of_domain
from raypipe.blocks.jitter import crop, jitter
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Share
from raypipe.methods.l2m_gan.recipe import L2MGANRecipe
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.methods.test_l2m_gan_recipe import TINY, attributes_part, batches, build

CONFIG = dataclasses.replace(
    TINY, learning_rate=2e-3, cycle_weight=3.0, style_weight=4.0, perceptual_weight=0.0,
    orthogonality_weight=5.0, r1_weight=6.0, ema_half_life_images=5.0,
)  # fmt: skip


def decay_of(landmarks: Landmarks | None) -> float:
    """None with a filter: shortcuts are then without use, and Adam leaves out what has no gradient."""
    return 0.0 if landmarks else 0.02


class Written:
    """The networks, each player with its Adam; ``average`` follows the generating ones."""

    def __init__(self, recipe: L2MGANRecipe, landmarks: Landmarks | None) -> None:
        self.landmarks, decay = landmarks, decay_of(landmarks)
        self.average = copy.deepcopy(recipe.average)
        self.network = copy.deepcopy(recipe.average).requires_grad_(True)
        self.judge = copy.deepcopy(recipe.discriminator).requires_grad_(True)
        self.adams = [
            torch.optim.Adam(network.parameters(), 2e-3, betas=(0.0, 0.99), weight_decay=decay)
            for network in (self.network, self.judge)
        ]
        self.shares = torch.zeros(4)

    def drawn(self, x: Tensor, style: Tensor) -> Tensor:
        made: Tensor = self.network.generator(
            x, style, self.landmarks.masks(x.detach().to(torch.float32)) if self.landmarks else ()
        )
        return made

    def descend(self, loss: Tensor, adam: torch.optim.Optimizer) -> None:
        for each in self.adams:
            each.zero_grad()
        loss.backward()
        adam.step()

    def step(self, batch: Columns, number: int) -> dict[str, float]:
        draws = Draws(0, number, Share(), torch.device("cpu"))
        x = crop(batch["image"], draws, probability=0.7)
        x = jitter(x, draws, mirror=True, shift=0.1)
        y = (2 * batch["labels"][:, 2] + batch["labels"][:, 1]).long()  # Hat, Male, Smiling
        target = draws.integers(0, 4, 4)
        now = torch.tensor([(y == domain).double().mean() for domain in range(4)])
        self.shares += (now - self.shares) / (number + 1)
        balance = 1 / 4 / self.shares[y].clamp_min(0.02)
        G, E, D = self.drawn, self.network.style_encoder, self.judge
        P, DT = self.network.transformer.decomposer, self.network.transformer.transformers

        def moved(related: Tensor) -> Tensor:
            # All branches, or Adam would leave out those of no face, whose weights decay too.
            return torch.stack([branch(related) for branch in DT])[target, torch.arange(4)]

        s = of_domain(E(x), y)
        fake = G(x, P(s) + moved(s - P(s))).detach()
        x.requires_grad_(True)
        real = of_domain(D(x), y)
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        r1 = (balance * slope.square().sum((1, 2, 3))).mean()
        d_loss = (balance * F.softplus(-real)).mean() + F.softplus(of_domain(D(fake), target)).mean()
        self.descend(d_loss + 6.0 / 2 * r1, self.adams[1])
        x = x.detach()

        s = of_domain(E(x), y)
        s_un, s_re = P(s), s - P(s)
        style = s_un + moved(s_re)
        made = G(x, style)
        losses = {
            "adversarial": F.softplus(-of_domain(D(made), target)).mean(),
            "cycle": (G(made, s) - x).abs().mean(),
            "style": (of_domain(E(made), target) - style).abs().mean(),
            "orthogonality": ((s_re * s_un).abs() + (moved(s_re) * s_un).abs()).mean(),
        }
        weights = {"adversarial": 1.0, "cycle": 3.0, "style": 4.0, "orthogonality": 5.0}
        self.descend(torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(), self.adams[0])

        with torch.no_grad():
            for kept, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(weight, 1 - 0.5 ** (4 / 5))
        return {name: float(loss.detach()) for name, loss in (losses | {"d_loss": d_loss, "r1": r1}).items()}


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("high_pass", [0.0, 1.0])
def test_steps_are_the_papers(monkeypatch: pytest.MonkeyPatch, high_pass: float) -> None:
    """After one all weights are the same; later ones tell the same losses, see ``test_stargan2_step``."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # losses are taken in single precision
    landmarks = tiny_landmarks().to(torch.float32) if high_pass else None  # as it is stored
    parts = attributes_part() | ({"stargan2_landmarks": landmarks_part(landmarks)} if landmarks else {})
    recipe = build(dataclasses.replace(CONFIG, high_pass=high_pass, weight_decay=decay_of(landmarks)), parts=parts)
    written = Written(recipe, landmarks)
    for number, batch in enumerate(batches(3)):
        told = recipe.step(batch)
        expected = written.step(batch, number)
        assert {name: float(told[name]) for name in expected} == pytest.approx(expected, rel=1e-9)
        if number == 0:
            for ours, theirs in ((recipe.average, written.average), (recipe.discriminator, written.judge)):
                torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=1e-6)
