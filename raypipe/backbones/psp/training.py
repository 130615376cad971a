"""One training step of an inversion encoder, for pSp and e4e alike: everything around the losses of the codes.

N faces, L rows of the code, D its width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.psp.beginning import first_encoder, frozen_generator
from raypipe.backbones.psp.encoder import Encoder, encoder_part
from raypipe.backbones.psp.losses import PictureLosses, weighted_sum
from raypipe.backbones.psp.training_config import InversionConfig
from raypipe.backbones.stylegan2 import Noise
from raypipe.backbones.stylegan2.latents import draw_latents
from raypipe.blocks.optimising import average_gradients, microbatches, update_average
from raypipe.blocks.randomness import Draws
from raypipe.blocks.ranger import Ranger
from raypipe.contract import Columns, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

CodesOf = Callable[[Tensor], Tensor]
"""Pictures [N,3,s,s] -> codes [N,L,D]."""

CodeLosses = Callable[[Tensor], dict[str, Tensor]]
"""Codes [N,L,D] -> losses by name, means over the faces."""


@dataclass(frozen=True)
class Examples:
    """What a step learns from.

    Attributes:
        images: [N,3,s,s] in [-1,1].
        codes: the codes of generated pictures, [N,L,D]; 0 where none is known.
        is_known: 1.0 for generated pictures, else 0.0, [N].
        noise: for the reconstruction, [N,1,r,r] for each convolution, or none to use the generator's own.
    """

    images: Tensor
    codes: Tensor
    is_known: Tensor
    noise: list[Tensor]

    def passes(self, count: int) -> list[Examples]:
        """The rows of each of ``count`` accumulated passes."""
        rows = microbatches(torch.arange(len(self.images), device=self.images.device), count)
        return [
            Examples(self.images[i], self.codes[i], self.is_known[i], [noise[i] for noise in self.noise]) for i in rows
        ]


class InversionTraining:
    """``encoder`` as it learns, ``kept`` for everything else: its running average, or itself where there is none.

    The statistics of batch normalisation are each worker's and each pass's own while training, and running statistics
    are averaged over workers after every step; see ``InversionConfig.freeze_statistics``.
    """

    def __init__(self, kind: str, config: InversionConfig, weights: Mapping[str, float], site: Site) -> None:
        """``weights``: of the losses of the codes, by name. All workers begin with the same weights.

        Raises:
            WrongUsage: the model lacks a part, sizes do not fit, or the batch cannot be divided.
            BadWeights: a part is not what its name says.
        """
        config.check_batch(site)
        self.generator = frozen_generator(site)
        if self.generator.config.label_dim and config.generated:
            raise WrongUsage("generated_share must be 0 for a generator that takes labels: none are drawn for it")
        self._losses = PictureLosses(config, site)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            self.encoder = first_encoder(kind, config, self.generator, site)
        self.encoder.train(not config.freeze_statistics)
        self._average = copy.deepcopy(self.encoder).eval() if config.ema_half_life_images else None
        self._optimiser = Ranger(self.encoder.parameters(), lr=config.learning_rate)
        self._weights = {
            "pixel": config.pixel_weight,
            "perceptual": config.perceptual_weight,
            "identity": config.identity_weight,
            "latent": config.latent_weight,
            **weights,
        }
        self._config, self._site = config, site
        self.done = 0

    @property
    def kept(self) -> Encoder:
        return self.encoder if self._average is None else self._average

    def draws(self) -> Draws:
        """The random numbers of the step to come."""
        return Draws(self._site.seed, self.done, self._site.share, self._site.device)

    def step(
        self, images: Tensor, draws: Draws, codes_of: CodesOf, code_losses: CodeLosses
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One step of the encoder on this worker's rows.

        Returns:
            the losses by name, without their weights, and their weighted sum as ``loss``; and the pictures' codes
            [N,L,D], detached.
        """
        config = self._config
        examples = self._examples(images, draws)
        numbers: dict[str, Tensor] = {}
        codes = []
        self._optimiser.zero_grad()
        for some in examples.passes(config.accumulate):
            with self._precision():
                found = codes_of(some.images).float()
                losses = self._all_losses(some, found) | code_losses(found)
                losses["loss"] = weighted_sum(losses, self._weights)
            (losses["loss"] / config.accumulate).backward()  # type: ignore[no-untyped-call]
            codes.append(found.detach())
            for name, loss in losses.items():
                numbers[name] = numbers.get(name, 0) + loss.detach() / config.accumulate
        self._descend()
        return numbers, torch.stack(codes, dim=1).flatten(0, 1)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``reconstruction_mse`` with the generator's own noise; ``perceptual`` and ``identity_similarity`` where the
        losses have them."""
        sums: dict[str, Tensor] = {}
        faces = 0
        for batch in batches:
            images = batch["image"]
            for name, losses in self._losses(self._reconstruct(images), images).items():
                sums[name] = sums.get(name, 0) + losses.double().sum()
            faces += len(images)
        means = {name: float(total) / faces for name, total in sums.items()}
        numbers = {"reconstruction_mse": means["pixel"]}
        if "perceptual" in means:
            numbers["perceptual"] = means["perceptual"]
        if "identity" in means:
            numbers["identity_similarity"] = 1 - means["identity"]
        return numbers

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """Two rows: the pictures, and what the generator makes of their codes; [2,N,3,s,s]."""
        images = batch["image"]
        return torch.stack([images, self._reconstruct(images).clamp(-1, 1)])

    def state_dict(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "done": self.done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.done = state["done"]

    def export(self) -> dict[str, Part]:
        return {"encoder": encoder_part(self.kept)}

    def _examples(self, images: Tensor, draws: Draws) -> Examples:
        """This worker's rows, mirrored; the first of the whole batch replaced by generated ones."""
        config, share, n = self._config, self._site.share, len(images)
        is_mirrored = (draws.uniform(n) < 0.5) & config.mirror
        images = torch.where(is_mirrored[:, None, None, None], images.flip(3), images)
        codes = images.new_zeros(n, *self.encoder.code_shape)
        noise = []
        if config.random_noise:
            noise = [draws.normal(n, 1, size, size) for size in self.generator.synthesis.noise_sizes]
        count = len(range(share.rank, config.generated, share.count))
        if config.generated:
            latents = draw_latents(draws, self.generator, n, mixing=config.generated_mixing)
            with torch.no_grad():
                codes[:count] = latents.w_plus(self.generator)[0][:count]
                made = self._pictures(codes[:count], [x[:count] for x in latents.noise] if noise else "const")
            # The encoder will meet pictures of 8 bits, which end at -1 and 1.
            images = torch.cat([made.clamp(-1, 1), images[count:]])
        is_known = (torch.arange(n, device=images.device) < count).float()
        return Examples(images, codes, is_known, noise)

    def _all_losses(self, examples: Examples, codes: Tensor) -> dict[str, Tensor]:
        """Of the pictures and of the known codes, means over the faces."""
        made = self._pictures(codes, examples.noise or "const")
        losses = {name: loss.mean() for name, loss in self._losses(made, examples.images).items()}
        if self._config.generated:
            distances = (codes - examples.codes).square().mean((1, 2)) * examples.is_known
            # A mean over the generated faces of the whole batch: other workers may have more of them.
            losses["latent"] = distances.mean() * (self._config.batch / self._config.generated)
        return losses

    def _pictures(self, codes: Tensor, noise: Noise) -> Tensor:
        """The generator's pictures in the data's size, [N,3,s,s] float32."""
        with self._precision():
            made = self.generator.synthesis(codes, noise).float()
        return made if made.shape[-1] == self._site.data.size else F.adaptive_avg_pool2d(made, self._site.data.size)

    def _reconstruct(self, images: Tensor) -> Tensor:
        encoder = self.kept
        was_training = encoder.training
        codes = encoder.eval()(images)
        encoder.train(was_training)
        return self._pictures(codes, "const")

    def _descend(self) -> None:
        config, share = self._config, self._site.share
        # What has no gradient is not in use yet, on any worker, and Ranger leaves it alone.
        average_gradients(share, [weight for weight in self.encoder.parameters() if weight.grad is not None])
        self._optimiser.set_learning_rate(config.learning_rate_at(self.done))
        self._optimiser.step()
        if not config.freeze_statistics:
            share.average(_running_statistics(self.encoder))
        if self._average is not None:
            update_average(
                self._average, self.encoder, images=config.batch, half_life_images=config.ema_half_life_images
            )
        self.done += 1

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)


def _running_statistics(network: nn.Module) -> list[Tensor]:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return [x for norm in norms for x in (norm.running_mean, norm.running_var) if x is not None]
