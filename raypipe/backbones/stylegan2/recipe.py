"""Training StyleGAN2, with adaptive augmentation of what the discriminator sees.

Sources: Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN (losses, lazy regularisation);
Karras et al. 2020, Training Generative Adversarial Networks with Limited Data (ADA).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from raypipe.backbones.stylegan2.augment import adjusted_probability, draw_augmentation
from raypipe.backbones.stylegan2.beginning import networks
from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.evaluation import describer, distance_to_held_out
from raypipe.backbones.stylegan2.latents import Latents, draw_latents
from raypipe.backbones.stylegan2.losses import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalties,
)
from raypipe.backbones.stylegan2.parts import discriminator_part, generator_part
from raypipe.backbones.stylegan2.players import Player
from raypipe.backbones.stylegan2.training_config import Config
from raypipe.blocks.optimising import microbatches, update_average
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Share, Site
from raypipe.weights import Part

__all__ = ["Config", "StyleGAN2Recipe", "build_recipe", "columns"]

GRID = 6
"""Sample pictures a row, and rows where there are no labels."""


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image", "labels") if config.conditional else ("image",)


def build_recipe(config: Config, site: Site) -> StyleGAN2Recipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the size is no power of two, labels are missing, or the batch cannot be shared equally.
    """
    config.check_shares(site.share.count)
    return StyleGAN2Recipe(config, site)


class StyleGAN2Recipe:
    """A step is one of the discriminator and one of the generator; each is followed, at its interval, by a step for
    its regulariser alone, with the loss times the interval."""

    def __init__(self, config: Config, site: Site) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            generator, discriminator = networks(config, site)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self._config, self._site = config, site
        g_interval = config.g_reg_interval if config.path_length_weight else None
        self._generator = Player(generator, interval=g_interval, share=site.share)
        self._discriminator = Player(discriminator, interval=config.d_reg_interval, share=site.share)
        self._done, self._augment_p = 0, 0.0
        self._real_sign = torch.zeros((), device=site.device)
        self._mean_length = torch.zeros((), device=site.device)
        self._synthesise: Callable[..., Tensor] = generator.synthesis
        self._judge: Callable[..., Tensor] = discriminator
        if config.compile:
            self._synthesise, self._judge = torch.compile(self._synthesise), torch.compile(self._judge)

    def step(self, batch: Columns) -> dict[str, Tensor]:
        config = self._config
        draws = Draws(self._site.seed, self._done, self._site.share, self._site.device)
        reals, labels = batch["image"], batch["labels"] if config.conditional else None
        if config.mirror:
            is_mirrored = draws.uniform(len(reals)) < 0.5
            reals = torch.where(is_mirrored[:, None, None, None], reals.flip(3), reals)
        for player in (self._generator, self._discriminator):
            player.set_learning_rate(config.learning_rate_at(self._done))
        numbers = self._step_discriminator(draws, reals, labels)
        if self._done % config.d_reg_interval == 0:
            numbers |= self._regularise_discriminator(draws, reals, labels)
        if self._done >= config.generator_from_step:
            numbers |= self._learn_generator(draws, len(reals), labels)
        self._done += 1
        self._follow()
        return numbers

    @property
    def discriminator(self) -> Discriminator:
        """As it is now."""
        return self._discriminator.network

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``fid_attributes`` by the features of the site's ``attributes`` part, else ``fd_pixels8``: the Fréchet
        distance of made to held-out pictures, with the averaged generator. Neither is the papers' FID."""
        name, describe = describer(self._site.parts, self._site.device)
        with self._precision():
            distance = distance_to_held_out(
                batches, self.average, describe, images=self._config.fid_images, draws=self._fixed_draws()
            )
        return {name: distance}

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """The averaged generator on the same z each time; with labels a row has those of one held-out face."""
        if self._config.conditional:
            labels_of: Sequence[Tensor | None] = [row.expand(GRID, -1) for row in batch["labels"]]
            z_of = self._fixed_draws().normal(1, GRID, self.average.config.z_dim).expand(len(labels_of), -1, -1)
        else:
            labels_of = [None] * GRID
            z_of = self._fixed_draws().normal(GRID, GRID, self.average.config.z_dim)
        with self._precision():
            rows = [self.average(z, labels) for z, labels in zip(z_of, labels_of, strict=True)]
        return torch.stack(rows).float().clamp(-1, 1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self._generator.state_dict(),
            "discriminator": self._discriminator.state_dict(),
            "average": self.average.state_dict(),
            "done": self._done,
            "augment_p": self._augment_p,
            "real_sign": self._real_sign,
            "mean_length": self._mean_length,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.load_state_dict(state["generator"])
        self._discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self._done, self._augment_p = state["done"], state["augment_p"]
        self._real_sign.copy_(state["real_sign"])
        self._mean_length.copy_(state["mean_length"])

    def export(self) -> dict[str, Part]:
        return {
            "generator": generator_part(self.average),
            "discriminator": discriminator_part(self.discriminator),
        }

    def _step_discriminator(self, draws: Draws, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        count = self._config.accumulate
        latents = self._latents(draws, len(reals), labels).passes(count)
        of_reals, of_fakes = self._augmentations(draws, len(reals)), self._augmentations(draws, len(reals))
        told: list[dict[str, Tensor]] = []
        self._discriminator.begin()
        for i, real in enumerate(microbatches(reals, count)):
            with self._precision():
                with torch.no_grad():
                    fake = of_fakes[i](
                        self._synthesise(latents[i].w_plus(self._generator.network)[0], latents[i].noise)
                    )
                real_logits = self._judge(of_reals[i](real), latents[i].labels)
                fake_logits = self._judge(fake, latents[i].labels)
                loss = discriminator_loss(real_logits, fake_logits)
            self._discriminator.learn(loss / count)
            told.append(
                {"d_loss": loss, "real_logit": real_logits, "fake_logit": fake_logits, "real_sign": real_logits.sign()}
            )
        self._discriminator.end()
        numbers = _means(told)
        if self._config.augment:
            self._adapt(numbers["real_sign"].clone())
            numbers["augment_p"] = torch.full((), self._augment_p, device=self._site.device)
        return numbers

    def _regularise_discriminator(self, draws: Draws, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """R1 on the pictures as the discriminator sees them, so nothing is differentiated twice but itself."""
        config, count = self._config, self._config.accumulate
        augmentations = self._augmentations(draws, len(reals))
        weight = config.r1_weight(self._site.data.size)
        labels_of = [None] * count if labels is None else microbatches(labels, count)
        told: list[dict[str, Tensor]] = []
        self._discriminator.begin()
        for i, real in enumerate(microbatches(reals, count)):
            seen = augmentations[i](real).detach().requires_grad_()
            with self._precision():
                logits = self.discriminator(seen, labels_of[i])
            penalty = r1_penalties(logits, seen).mean()
            self._discriminator.learn(penalty * (weight / count))
            told.append({"r1": penalty})
        self._discriminator.end()
        return _means(told)

    def _learn_generator(self, draws: Draws, rows: int, labels: Tensor | None) -> dict[str, Tensor]:
        config = self._config
        numbers = self._step_generator(draws, rows, labels)
        if config.path_length_weight and self._done % config.g_reg_interval == 0:
            numbers |= self._regularise_generator(draws, rows // config.path_batch_shrink, labels)
        return numbers

    def _step_generator(self, draws: Draws, rows: int, labels: Tensor | None) -> dict[str, Tensor]:
        count = self._config.accumulate
        augmentations = self._augmentations(draws, rows)
        told: list[dict[str, Tensor]] = []
        w_mean = torch.zeros_like(self._generator.network.w_avg)
        self._generator.begin()
        for i, latents in enumerate(self._latents(draws, rows, labels).passes(count)):
            with self._precision():
                w_plus, w = latents.w_plus(self._generator.network)
                fake = augmentations[i](self._synthesise(w_plus, latents.noise))
                loss = generator_loss(self._judge(fake, latents.labels))
            self._generator.learn(loss / count)
            w_mean += w.detach().mean(0) / count
            told.append({"g_loss": loss})
        self._generator.end()
        self._site.share.average([w_mean])
        self._generator.network.w_avg.lerp_(w_mean, 1 - self._config.w_avg_beta)
        return _means(told)

    def _regularise_generator(self, draws: Draws, rows: int, labels: Tensor | None) -> dict[str, Tensor]:
        """Lengths are drawn to their running mean before this step, which every pass and worker knows. Of a generator
        that was trained before, the first step only measures it: lengths of new ones begin near zero, its do not."""
        config, count, size = self._config, self._config.accumulate, self._site.data.size
        measures = config.warm_start and self._done < config.generator_from_step + config.g_reg_interval
        weight, decay = (0.0, 1.0) if measures else (config.path_length_weight, config.path_length_decay)
        latents_of = self._latents(draws, rows, None if labels is None else labels[:rows]).passes(count)
        directions = microbatches(draws.normal(rows, 3, size, size), count)
        told: list[dict[str, Tensor]] = []
        self._generator.begin()
        for latents, direction in zip(latents_of, directions, strict=True):
            with self._precision():
                w_plus, _ = latents.w_plus(self._generator.network)
                images = self._generator.network.synthesis(w_plus, latents.noise)
            lengths = path_lengths(images, w_plus, direction)
            penalty = path_length_penalty(lengths, self._mean_length)
            self._generator.learn(penalty * (weight * config.g_reg_interval / count))
            told.append({"path_penalty": penalty, "path_length": lengths})
        self._generator.end()
        numbers = _means(told)
        mean = numbers["path_length"].clone()
        self._site.share.average([mean])
        self._mean_length.lerp_(mean, decay)
        return numbers

    def _adapt(self, real_sign: Tensor) -> None:
        """Every few steps, change the probability of augmentation by the mean sign over all pictures since."""
        config = self._config
        self._site.share.average([real_sign])
        self._real_sign += real_sign / config.augment_interval
        if (self._done + 1) % config.augment_interval:
            return
        self._augment_p = adjusted_probability(
            self._augment_p,
            float(self._real_sign),
            target=config.augment_target,
            images=config.batch * config.augment_interval,
            length_images=config.augment_length_images,
        )
        self._real_sign.zero_()

    def _follow(self) -> None:
        config = self._config
        half_life = config.ema_half_life_images
        if config.ema_ramp:
            half_life = min(half_life, config.ema_ramp * self._done * config.batch)
        update_average(self.average, self._generator.network, images=config.batch, half_life_images=half_life)

    def _latents(self, draws: Draws, rows: int, labels: Tensor | None) -> Latents:
        return draw_latents(draws, self._generator.network, rows, mixing=self._config.mixing, labels=labels)

    def _augmentations(self, draws: Draws, rows: int) -> Sequence[Callable[[Tensor], Tensor]]:
        """One for each pass."""
        if not self._augment_p:
            return [_as_it_is] * self._config.accumulate
        augmentation = draw_augmentation(draws, rows, self._augment_p, self._site.data.size)
        return augmentation.passes(self._config.accumulate)

    def _fixed_draws(self) -> Draws:
        """The same at every call, and on whichever worker."""
        return Draws(self._site.seed, -1, Share(), self._site.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)


def _as_it_is(images: Tensor) -> Tensor:
    return images


def _means(told: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Of each number over the passes, 0-d and detached."""
    return {name: torch.stack([numbers[name].detach().mean() for numbers in told]).mean() for name in told[0]}
