"""Training e4e: an encoder whose codes stay near the generator's own w, where edits work.

Tov et al., Designing an Encoder for StyleGAN Image Manipulation (2021), section 4; settings of the public code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from raypipe.backbones.psp.beginning import heads
from raypipe.backbones.psp.codes import mean_distance
from raypipe.backbones.psp.latent_discriminator import CriticConfig, LatentCritic
from raypipe.backbones.psp.losses import delta_length, first_rows
from raypipe.backbones.psp.training import InversionTraining
from raypipe.backbones.psp.training_config import InversionConfig
from raypipe.config import Range, check_ranges
from raypipe.contract import Columns, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part


@dataclass(frozen=True, kw_only=True)
class Config(InversionConfig):
    """Beyond what pSp and e4e share:

    Attributes:
        delta_weight: of the length of the rows' offsets from the first row.
        adversarial_weight: of the critic's opinion; 0 = no critic.
        critic: how it is trained.
        progressive_start: at this step the second row gets an offset of its own; until then all rows are the first.
        progressive_every: steps after which each further row does; 0 = all of them at once.
    """

    steps: int = 200_000
    delta_weight: float = 2e-4
    adversarial_weight: float = 0.1
    critic: CriticConfig = field(default_factory=CriticConfig)
    progressive_start: int = 20_000
    progressive_every: int = 2_000

    def __post_init__(self) -> None:
        super().__post_init__()
        least = ("delta_weight", "adversarial_weight", "progressive_start", "progressive_every")
        check_ranges(self, dict.fromkeys(least, Range(least=0)))

    def rows_at(self, step: int, layers: int) -> int:
        """How many rows of the code have an offset of their own (the first counts) at a step, counted from 0."""
        if step < self.progressive_start:
            return 1
        if self.progressive_every == 0:
            return layers
        return min(layers, 2 + (step - self.progressive_start) // self.progressive_every)


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image",)


def build_recipe(config: Config, site: Site) -> E4eRecipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the model lacks a part that the config needs, sizes do not fit, or the batch cannot be divided.
        BadWeights: a part is not what its name says.
    """
    return E4eRecipe(config, site)


class E4eRecipe:
    """pSp's losses, short offsets, and a critic of the rows that are in use; offsets join one after the other.

    Batch normalisation as ``InversionTraining`` says: only with ``freeze_statistics`` does the result not depend on
    how many workers share the batch.
    """

    def __init__(self, config: Config, site: Site) -> None:
        weights = {
            "average": config.average_weight,
            "delta": config.delta_weight,
            "adversarial": config.adversarial_weight,
        }
        self._training = InversionTraining("e4e", config, weights, site)
        self._layers, style_dim = self._training.encoder.code_shape
        self._critic = LatentCritic(style_dim, config.critic, site) if config.adversarial_weight else None
        if self._critic is not None and self._training.generator.config.label_dim:
            raise WrongUsage("adversarial_weight must be 0 for a generator that takes labels: none are drawn for it")
        self._config = config

    def step(self, batch: Columns) -> dict[str, Tensor]:
        training = self._training
        draws = training.draws()
        rows = self._config.rows_at(training.done, self._layers)
        for first_row, head in heads(training.encoder):
            head.requires_grad_(first_row < rows)

        def codes_of(images: Tensor) -> Tensor:
            return first_rows(training.encoder(images), rows)

        def code_losses(codes_NLD: Tensor) -> dict[str, Tensor]:
            return self._code_losses(codes_NLD, rows)

        numbers, codes = training.step(batch["image"], draws, codes_of, code_losses)
        if self._critic is not None:
            row = draws.integers(0, rows, len(codes))
            z = draws.normal(len(codes), training.generator.config.z_dim)
            with torch.no_grad():
                real = training.generator.mapping(z)
            numbers |= self._critic.step(codes[torch.arange(len(codes), device=codes.device), row], real)
        return numbers

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        return self._training.evaluate(batches)

    def samples(self, batch: Columns) -> Tensor:
        return self._training.samples(batch)

    def state_dict(self) -> dict[str, Any]:
        critic = None if self._critic is None else self._critic.state_dict()
        return {"training": self._training.state_dict(), "critic": critic}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._training.load_state_dict(state["training"])
        if self._critic is not None:
            self._critic.load_state_dict(state["critic"])

    def export(self) -> dict[str, Part]:
        return self._training.export()

    def _code_losses(self, codes_NLD: Tensor, rows: int) -> dict[str, Tensor]:
        losses = {"delta": delta_length(codes_NLD)}
        if self._config.average_weight:
            losses["average"] = mean_distance(codes_NLD, self._training.encoder.latent_avg)
        if self._critic is not None:
            losses["adversarial"] = self._critic.loss(codes_NLD[:, :rows].flatten(0, 1))
        return losses
