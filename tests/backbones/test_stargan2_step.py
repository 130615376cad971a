"""Steps of StarGAN v2 are equations 1 to 4 of the paper, written out."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones import stargan2
from raypipe.backbones.stargan2.beginning import Styled
from raypipe.backbones.stargan2.recipe import StarGAN2Recipe
from raypipe.blocks.jitter import crop, jitter
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Share
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.backbones.test_stargan2_recipe import TINY, batches, build

CONFIG = dataclasses.replace(
    TINY, attributes=("Smiling", "Male"), learning_rate=2e-3, mapping_learning_rate=1e-3,
    style_weight=2.0, cycle_weight=3.0, diversity_weight=4.0, diversity_steps=2, r1_weight=5.0,
    ema_half_life_images=6.0,
)  # fmt: skip


def discriminator_of(recipe: StarGAN2Recipe) -> stargan2.Discriminator:
    part = recipe.export()["stargan2_discriminator"]
    network = stargan2.Discriminator(stargan2.DiscriminatorConfig(**part.config))
    network.load_state_dict(part.tensors)
    return network


def decay_of(landmarks: stargan2.Landmarks | None) -> float:
    """None with a filter: shortcuts are then without use, and Adam leaves out what has no gradient."""
    return 0.0 if landmarks else 0.02


class Written:
    """The networks, each with its Adam; ``average`` follows the styled ones."""

    def __init__(self, recipe: StarGAN2Recipe, landmarks: stargan2.Landmarks | None) -> None:
        self.landmarks, decay = landmarks, decay_of(landmarks)
        self.average: Styled = copy.deepcopy(recipe.average)
        self.styled: Styled = copy.deepcopy(recipe.average).requires_grad_(True)
        self.judge = discriminator_of(recipe)
        networks: dict[str, nn.Module] = {
            "G": self.styled.generator, "E": self.styled.style_encoder, "M": self.styled.mapping, "D": self.judge
        }  # fmt: skip
        self.adam = {
            name: torch.optim.Adam(
                network.parameters(), 1e-3 if name == "M" else 2e-3, betas=(0.0, 0.99), weight_decay=decay
            )
            for name, network in networks.items()
        }

    def drawn(self, x: Tensor, style: Tensor) -> Tensor:
        made: Tensor = self.styled.generator(
            x, style, self.landmarks.masks(x.detach().to(torch.float32)) if self.landmarks else ()
        )
        return made

    def descend(self, loss: Tensor, names: str) -> None:
        for adam in self.adam.values():
            adam.zero_grad()
        loss.backward()
        for name in names:
            self.adam[name].step()

    def step(self, batch: Columns, number: int) -> dict[str, float]:
        draws = Draws(0, number, Share(), torch.device("cpu"))
        x = crop(batch["image"], draws, probability=0.7)
        x, x_ref, x_other = jitter(x, draws, mirror=True, shift=0.1).split(4)
        labels = batch["labels"]  # Male, Smiling
        y, y_ref, y_other = (2 * labels[:, 1] + labels[:, 0]).long().split(4)
        z, z_other = draws.normal(4, 3), draws.normal(4, 3)
        G, E, M, D = self.drawn, self.styled.style_encoder, self.styled.mapping, self.judge
        of = stargan2.of_domain
        told = {}

        for name, s in (("", of(M(z), y_ref)), ("reference_", of(E(x_ref), y_ref))):
            x.requires_grad_(True)
            real = of(D(x), y)
            (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
            r1 = slope.square().sum((1, 2, 3)).mean()
            loss = F.softplus(-real).mean() + F.softplus(of(D(G(x.detach(), s.detach()).detach()), y_ref)).mean()
            self.descend(loss + 5.0 / 2 * r1, "D")
            x = x.detach()
            told |= {f"{name}d_loss": float(loss.detach()), f"{name}r1": float(r1.detach())}

        is_same = (y_ref == y_other).double()
        for name, given, learning in (("", (M, z, z_other), "GME"), ("reference_", (E, x_ref, x_other), "G")):
            network, one, other = given
            s, s_other = of(network(one), y_ref), of(network(other), y_ref)
            made = G(x, s)
            apart = (made - G(x, s_other).detach()).abs().mean((1, 2, 3))
            losses = {
                "adversarial": F.softplus(-of(D(made), y_ref)).mean(),
                "style": (s - of(E(made), y_ref)).abs().mean(),
                "diversity": (apart * (is_same if name else 1.0)).mean(),
                "cycle": (x - G(made, of(E(x), y))).abs().mean(),
            }
            fading = 4.0 * (1 - number / 2)
            weights = {"adversarial": 1.0, "style": 2.0, "diversity": -fading, "cycle": 3.0}
            total = torch.stack([weights[key] * loss for key, loss in losses.items()]).sum()
            self.descend(total, learning)
            told |= {f"{name}{key}": float(loss.detach()) for key, loss in losses.items()}

        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.styled.parameters(), strict=True):
                kept.lerp_(now, 1 - 0.5 ** (4 / 6))
        return told


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("high_pass", [0.0, 1.0])
def test_steps_are_the_papers(monkeypatch: pytest.MonkeyPatch, high_pass: float) -> None:
    """After one all weights are the same; later ones tell the same losses. With a high-pass filter too.

    Then weights that change nothing, offsets before a normalisation, no longer have to be: what decays there is what
    rounding began with.
    """
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # losses are taken in single precision
    landmarks = tiny_landmarks().to(torch.float32) if high_pass else None  # as it is stored
    parts = {"stargan2_landmarks": stargan2.landmarks_part(landmarks)} if landmarks else {}
    recipe = build(dataclasses.replace(CONFIG, high_pass=high_pass, weight_decay=decay_of(landmarks)), parts=parts)
    written = Written(recipe, landmarks)
    for number, batch in enumerate(batches(3)):
        told, expected = recipe.step(batch), written.step(batch, number)
        assert {name: float(told[name]) for name in expected} == pytest.approx(expected, rel=1e-9)
        if number == 0:
            for ours, theirs in ((recipe.average, written.average), (discriminator_of(recipe), written.judge)):
                torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=1e-6)
