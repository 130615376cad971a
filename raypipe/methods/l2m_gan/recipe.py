"""Training an L2M-GAN end to end. N faces, A attributes, K domains, D the width of styles.

Source: Yang et al. 2021 (L2M-GAN), sections 3.3 and 4.1; order of the steps and R1 as in StarGAN v2 (Choi et al. 2020).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.perceptual.features import Features, perceptual_features
from raypipe.backbones.stargan2 import Discriminator, Drawer, discriminator_part, landmarks_for, of_domain
from raypipe.backbones.stargan2.beginning import require_landmarks
from raypipe.backbones.stargan2.evaluation import HeldOutTranslations, pieces
from raypipe.backbones.stargan2.losses import classifier_losses, mismatch
from raypipe.backbones.stylegan2.losses import generator_loss, r1_penalties
from raypipe.backbones.stylegan2.players import Player
from raypipe.blocks.jitter import crop, jitter
from raypipe.blocks.optimising import microbatches, update_average
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Site
from raypipe.methods.l2m_gan.beginning import DISCRIMINATOR_PART, PART, networks
from raypipe.methods.l2m_gan.config import L2MGANConfig
from raypipe.methods.l2m_gan.frequencies import Frequencies
from raypipe.methods.l2m_gan.losses import ORTHOGONALITY, distance
from raypipe.methods.l2m_gan.networks import l2m_part
from raypipe.weights import Part


def columns(config: L2MGANConfig) -> tuple[str, ...]:
    """What each batch must hold."""
    return "image", "labels"


def build_recipe(config: L2MGANConfig, site: Site) -> L2MGANRecipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the data or the model's attribute network lack an attribute, a size that cannot be, no network for
            the perceptual loss or for the masks of a high-pass filter, a warm start without networks, or a batch that
            cannot be shared equally.
    """
    config.check_shares(site.share.count)
    require_landmarks(config.high_pass, site.parts)
    return L2MGANRecipe(config, site)


@dataclass(frozen=True)
class Examples:
    """``images`` [n,3,s,s]; ``sources`` and ``targets`` int64 [n]: the domains they are of and are to be of."""

    images: Tensor
    sources: Tensor
    targets: Tensor

    def passes(self, count: int) -> list[Examples]:
        """The rows of each of ``count`` accumulated passes."""
        parts = (microbatches(rows, count) for rows in (self.images, self.sources, self.targets))
        return [Examples(*rows) for rows in zip(*parts, strict=True)]


class L2MGANRecipe:
    """A step is one of the discriminator, then one of generator, style encoder and style transformer together."""

    def __init__(self, config: L2MGANConfig, site: Site) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            network, discriminator = networks(config, site)
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self._config, self._site = config, site
        self._label_columns = [site.data.attributes.index(name) for name in network.config.attributes]
        self._network = Player(network, interval=None, share=site.share, weight_decay=config.weight_decay)
        self._discriminator = Player(discriminator, interval=None, share=site.share, weight_decay=config.weight_decay)
        for player in (self._network, self._discriminator):
            player.set_learning_rate(config.learning_rate)
        self._features: Features | None = (
            perceptual_features(site, network.config.attributes) if config.perceptual_weight else None
        )
        landmarks = landmarks_for(network.generator, site.parts, site.device)
        generator: Callable[..., Tensor] = torch.compile(network.generator) if config.compile else network.generator
        self._draw, self._draw_averaged = Drawer(generator, landmarks), Drawer(self.average.generator, landmarks)
        self._frequencies = Frequencies(network.domains, site.device)
        self._done = 0

    def step(self, batch: Columns) -> dict[str, Tensor]:
        """Numbers: the losses, before their weights; ``style_size`` and ``change_size``, the root mean squares of s~
        and of s~_re - s_re: losses of styles are small where these are.

        Raises:
            WrongUsage: after many faces, none of some domain.
        """
        config = self._config
        draws = Draws(self._site.seed, self._done, self._site.share, self._site.device)
        images = crop(batch["image"], draws, probability=config.crop)
        images = jitter(images, draws, mirror=config.mirror, shift=config.shift)
        sources = self._domains(batch)
        self._frequencies.count(sources, self._site.share, step=self._done, batch=config.batch)
        targets = draws.integers(0, len(self.average.domains), len(images))
        passes = Examples(images, sources, targets).passes(config.accumulate)
        if self._done < config.discriminator_steps:
            self._done += 1
            return self._learned(self._discriminator, passes, self._classifier_losses)
        numbers = self._learned(self._discriminator, passes, self._discriminator_losses)
        numbers |= self._learned(self._network, passes, self._network_losses)
        self._done += 1
        update_average(
            self.average,
            self._network.network,
            images=config.batch,
            half_life_images=config.ema_half_life_images,
        )
        return numbers

    @property
    def discriminator(self) -> Discriminator:
        """As it is now."""
        return self._discriminator.network

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """As ``HeldOutTranslations.numbers``, by the averaged networks and the true labels; ``reconstruction``: the
        mean absolute difference of faces drawn in their own style."""
        network, differences = self.average, []
        translations = HeldOutTranslations(
            self._draw_averaged,
            network.domains,
            lambda images, sources_N, targets_N: network.transformer(self._styles(images, sources_N), targets_N),
            site=self._site,
        )
        held_out = ((batch["image"], self._domains(batch)) for batch in batches)
        for images, domains_N in pieces(held_out, self._config.evaluated_faces):
            translations.add(images, domains_N)
            again = self._draw_averaged(images, self._styles(images, domains_N))
            differences.append((again - images).abs().mean((1, 2, 3)))
        return {**translations.numbers(), "reconstruction": float(torch.cat(differences).mean())}

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """A row for each face: itself, drawn in its own style, and as a member of each domain."""
        network, images = self.average, batch["image"]
        own_ND = self._styles(images, self._domains(batch))
        draw = self._draw_averaged.of(images)
        made = [images, draw(own_ND)]
        for target in range(len(network.domains)):
            targets = torch.full((len(images),), target, device=images.device)
            made.append(draw(network.transformer(own_ND, targets)))
        return torch.stack(made, dim=1).float().clamp(-1, 1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self._network.state_dict(),
            "discriminator": self._discriminator.state_dict(),
            "average": self.average.state_dict(),
            "shares": self._frequencies.shares.clone(),
            "done": self._done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        self._discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self._frequencies.shares.copy_(state["shares"])
        self._done = state["done"]

    def export(self) -> dict[str, Part]:
        """The averaged networks, and the discriminator, to go on from."""
        return {PART: l2m_part(self.average), DISCRIMINATOR_PART: discriminator_part(self.discriminator)}

    def _learned(
        self, player: Player[Any], passes: Sequence[Examples], losses_of: Callable[[Examples], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """A player's step; its losses, means over the passes. What it descends is ``total``."""
        told: list[dict[str, Tensor]] = []
        player.begin()
        for examples in passes:
            losses = losses_of(examples)
            player.learn(losses.pop("total") / len(passes))
            told.append({name: loss.detach() for name, loss in losses.items()})
        player.end()
        return {name: torch.stack([losses[name] for losses in told]).mean() for name in told[0]}

    def _discriminator_losses(self, examples: Examples) -> dict[str, Tensor]:
        """Equation 2, by the branches of the faces' own and of the target domains, and R1. Real faces weigh as if all
        domains were as frequent as they are among the targets."""
        network, discriminator = self._network.network, self.discriminator
        weight = self._config.r1_weight
        reals = examples.images.detach().requires_grad_(weight > 0)
        with self._precision():
            with torch.no_grad():
                own_ND = of_domain(network.style_encoder(examples.images), examples.sources)
                fakes = self._draw(examples.images, network.transformer(own_ND, examples.targets))
            all_logits = discriminator(reals)
            real_logits = of_domain(all_logits, examples.sources)
            fake_logits = of_domain(discriminator(fakes), examples.targets)
        of_reals = (
            self._frequencies.weights(examples.sources) if self._config.balanced else torch.ones_like(real_logits)
        )
        loss = (of_reals * F.softplus(-real_logits.float())).mean() + F.softplus(fake_logits.float()).mean()
        losses = {"total": loss, "d_loss": loss}
        if self._config.mismatch_weight:
            losses["mismatch"] = mismatch(all_logits.float(), examples.sources)
            losses["total"] = losses["total"] + self._config.mismatch_weight * losses["mismatch"]
        if weight:
            losses["r1"] = (of_reals * r1_penalties(real_logits, reals)).mean()
            losses["total"] = losses["total"] + 0.5 * weight * losses["r1"]
        return losses

    def _classifier_losses(self, examples: Examples) -> dict[str, Tensor]:
        """What the discriminator learns of real faces alone."""
        with self._precision():
            losses = classifier_losses(self.discriminator, examples.images, examples.sources)
        return {"total": losses["d_loss"] + losses["mismatch"], **losses}

    def _network_losses(self, examples: Examples) -> dict[str, Tensor]:
        """Equation 7, and how far a face in its own style is from itself."""
        network, images = self._network.network, examples.images
        with self._precision():
            own_ND = of_domain(network.style_encoder(images), examples.sources)
            unrelated_ND, related_ND = network.transformer.decompose(own_ND)
            transformed_ND = network.transformer.transform(related_ND, examples.targets)
            style_ND = unrelated_ND + transformed_ND
            draw = self._draw.of(images)
            made = draw(style_ND)
            logits = of_domain(self.discriminator(made), examples.targets)
            seen_ND = of_domain(network.style_encoder(made), examples.targets)
            back = self._draw(made, own_ND)
            losses = {"perceptual": self._perceptual(images, made)} if self._features is not None else {}
            if self._config.reconstruction_weight:
                losses["reconstruction"] = distance(draw(own_ND), images)
        losses |= {
            "adversarial": generator_loss(logits.float()),
            "cycle": distance(back, images),
            "style": distance(seen_ND, style_ND),
            "orthogonality": ORTHOGONALITY[self._config.orthogonality](
                unrelated_ND.float(), related_ND.float(), transformed_ND.float()
            ),
        }
        weights = self._weights()
        losses["total"] = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        losses["style_size"] = _size(style_ND)
        losses["change_size"] = _size(transformed_ND - related_ND)
        return losses

    def _perceptual(self, images: Tensor, made: Tensor) -> Tensor:
        assert self._features is not None
        with torch.no_grad():
            wanted = self._features(images)
        return distance(self._features(made), wanted)

    def _weights(self) -> dict[str, float]:
        config = self._config
        return {
            "adversarial": 1.0,
            "cycle": config.cycle_weight,
            "style": config.style_weight,
            "perceptual": config.perceptual_weight,
            "reconstruction": config.reconstruction_weight,
            "orthogonality": config.orthogonality_weight,
        }

    def _styles(self, images: Tensor, domains_N: Tensor) -> Tensor:
        """By the averaged style encoder, [n, D]."""
        return of_domain(self.average.style_encoder(images), domains_N)

    def _domains(self, batch: Columns) -> Tensor:
        """int64 [n]."""
        return self.average.domains.of_values(batch["labels"][:, self._label_columns])

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)


def _size(vectors_ND: Tensor) -> Tensor:
    """Root mean square."""
    return vectors_ND.detach().float().square().mean().sqrt()
