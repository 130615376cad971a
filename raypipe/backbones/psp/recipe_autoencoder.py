"""Training a generator and an encoder together, each for the other, judged by one discriminator.

An encoder alone cannot reconstruct what its generator does not draw. Here the generator learns to draw what the encoder
is shown, and the discriminator judges reconstructions as well as pictures of random w: Larsen et al. 2016, Autoencoding
beyond pixels using a learned similarity metric, section 2.3, with the networks and losses of StyleGAN2 (Karras et al.
2020) and plain pixels as the measure of a reconstruction. N pictures, L rows of the code, D its width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raypipe.backbones.psp.autoencoder_config import Config
from raypipe.backbones.psp.beginning import frozen_generator, given_encoder
from raypipe.backbones.psp.encoder import Encoder, encoder_part
from raypipe.backbones.stylegan2 import (
    Discriminator,
    Generator,
    discriminator_part,
    generator_part,
    load_discriminator,
)
from raypipe.backbones.stylegan2.evaluation import describer, distance_to_held_out
from raypipe.backbones.stylegan2.losses import discriminator_loss, generator_loss, r1_penalties
from raypipe.backbones.stylegan2.players import Player
from raypipe.blocks.optimising import update_average
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Share, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

__all__ = ["AutoencoderRecipe", "Config", "build_recipe", "columns"]


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image",)


def build_recipe(config: Config, site: Site) -> AutoencoderRecipe:
    """Goes on from the site's generator and encoder, and from its discriminator if it has one.

    Raises:
        WrongUsage: generator or encoder is missing, they are made for other data or for labels, or the batch cannot be
            shared equally.
        BadWeights: a part is not what its name says.
    """
    config.check_shares(site.share)
    return AutoencoderRecipe(config, site)


class Autoencoder(nn.Module):
    """The two networks that learn together. Batch normalisation keeps the statistics that the encoder came with, so
    that nothing depends on how a batch is shared."""

    def __init__(self, generator: Generator, encoder: Encoder) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder

    def pictures(self, images: Tensor, w: Tensor) -> Tensor:
        """Reconstructions of [n,3,s,s] and pictures of w [m,D] -> [n+m,3,s,s]."""
        codes: Tensor = torch.cat([self.encoder(images), self.generator.broadcast(w)])
        made: Tensor = self.generator.synthesis(codes)
        return made

    def reconstructions(self, images: Tensor) -> Tensor:
        """[n,3,s,s] -> the same."""
        made: Tensor = self.generator.synthesis(self.encoder(images))
        return made


class AutoencoderRecipe:
    """A step is one of the discriminator, followed at its interval by one for R1 alone, and one of the two others.

    ``average`` is what is kept of ``autoencoder``.
    """

    def __init__(self, config: Config, site: Site) -> None:
        autoencoder, discriminator = _networks(config, site)
        self.average = copy.deepcopy(autoencoder).requires_grad_(False)
        self.autoencoder = Player(autoencoder, interval=None, share=site.share)
        self.discriminator = Player(discriminator, interval=config.d_reg_interval, share=site.share)
        self._config, self._site, self._done = config, site, 0

    def step(self, batch: Columns) -> dict[str, Tensor]:
        config, images = self._config, batch["image"]
        draws = Draws(self._site.seed, self._done, self._site.share, self._site.device)
        pace = config.pace(self._done)
        self.autoencoder.set_learning_rate(config.learning_rate * pace)
        self.discriminator.set_learning_rate(config.discriminator_learning_rate * pace)
        numbers = self._step_discriminator(draws, images)
        if self._done % config.d_reg_interval == 0:
            numbers |= self._regularise_discriminator(images)
        if self._done >= config.generator_from_step:
            numbers |= self._step_autoencoder(draws, images)
            update_average(
                self.average,
                self.autoencoder.network,
                images=config.batch,
                half_life_images=config.ema_half_life_images,
            )
        self._done += 1
        return numbers

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``reconstruction_mse`` of the first ``fid_images`` held-out pictures; and the Fréchet distance of pictures of
        random w to the same ones, named as by ``StyleGAN2Recipe.evaluate``."""
        name, describe = describer(self._site.parts, self._site.device)
        draws = Draws(self._site.seed, -1, Share(), self._site.device)
        errors: list[Tensor] = []
        with self._precision():
            distance = distance_to_held_out(
                self._reconstructed(batches, errors),
                self.average.generator,
                describe,
                images=self._config.fid_images,
                draws=draws,
            )
        return {"reconstruction_mse": float(torch.cat(errors).mean()), name: distance}

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """Three rows: pictures, their reconstructions, and pictures of the same random w each time; [3,N,3,s,s]."""
        images = batch["image"]
        draws = Draws(self._site.seed, -1, Share(), self._site.device)
        z = draws.normal(len(images), self.average.generator.config.z_dim)
        with self._precision():
            made = self.average.pictures(images, self.average.generator.mapping(z)).float().clamp(-1, 1)
        return torch.stack([images, *made.chunk(2)])

    def state_dict(self) -> dict[str, Any]:
        return {
            "autoencoder": self.autoencoder.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "done": self._done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self._done = state["done"]

    def export(self) -> dict[str, Part]:
        return {
            "generator": generator_part(self.average.generator),
            "encoder": encoder_part(self.average.encoder),
            "discriminator": discriminator_part(self.discriminator.network),
        }

    def _reconstructed(self, batches: Iterable[Columns], errors: list[Tensor]) -> Iterator[Columns]:
        """The batches, once it is noted how far each picture's reconstruction is from it."""
        for batch in batches:
            made = self.average.reconstructions(batch["image"]).float().clamp(-1, 1)
            errors.append((made - batch["image"]).square().mean((1, 2, 3)))
            yield batch

    def _step_discriminator(self, draws: Draws, images: Tensor) -> dict[str, Tensor]:
        judge = self.discriminator.network
        self.discriminator.begin()
        with self._precision():
            with torch.no_grad():
                fakes, _ = self._fakes(draws, images)
            real_logits, fake_logits = judge(images), judge(fakes)
            loss = discriminator_loss(real_logits, fake_logits)
        self.discriminator.learn(loss)
        self.discriminator.end()
        return _told({"d_loss": loss, "real_logit": real_logits, "fake_logit": fake_logits})

    def _regularise_discriminator(self, images: Tensor) -> dict[str, Tensor]:
        seen = images.detach().requires_grad_()
        self.discriminator.begin()
        with self._precision():
            logits = self.discriminator.network(seen)
        penalty = r1_penalties(logits, seen).mean()
        self.discriminator.learn(self._config.r1_weight(images.shape[-1]) * penalty)
        self.discriminator.end()
        return _told({"r1": penalty})

    def _step_autoencoder(self, draws: Draws, images: Tensor) -> dict[str, Tensor]:
        self.autoencoder.begin()
        with self._precision():
            fakes, w = self._fakes(draws, images)
            adversarial = generator_loss(self.discriminator.network(fakes))
        shown = images[: len(images) // 2]
        pixel = (fakes[: len(shown)].float() - shown).square().mean()
        self.autoencoder.learn(adversarial + self._config.pixel_weight * pixel)
        self.autoencoder.end()
        w_avg = self.autoencoder.network.generator.w_avg
        w_mean = w.detach().to(w_avg.dtype).mean(0)
        self._site.share.average([w_mean])
        w_avg.lerp_(w_mean, 1 - self._config.w_avg_beta)
        return _told({"g_loss": adversarial, "pixel": pixel})

    def _fakes(self, draws: Draws, images: Tensor) -> tuple[Tensor, Tensor]:
        """As many as there are images: reconstructions of their first half, then pictures of random w [N/2,D], which
        come second."""
        networks = self.autoencoder.network
        half = len(images) // 2
        w = networks.generator.mapping(draws.normal(half, networks.generator.config.z_dim))
        return networks.pictures(images[:half], w), w

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)


def _networks(config: Config, site: Site) -> tuple[Autoencoder, Discriminator]:
    # Copies: a loaded network shares its tensors with the part, which is the site's.
    generator = copy.deepcopy(frozen_generator(site)).train()
    encoder = given_encoder(generator, site).eval()
    if generator.config.size != site.data.size or generator.config.label_dim:
        raise WrongUsage(
            f"the generator must be one without labels for pictures of the data's size: (size, labels) "
            f"({generator.config.size}, {generator.config.label_dim}), data of size {site.data.size}"
        )
    if "discriminator" in site.parts:
        discriminator = copy.deepcopy(load_discriminator(site.parts["discriminator"], site.device)).train()
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            discriminator = Discriminator(config.discriminator(generator.config)).to(site.device)
    return Autoencoder(generator, encoder), discriminator


def _told(numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means, 0-d and detached."""
    return {name: number.detach().float().mean() for name, number in numbers.items()}
