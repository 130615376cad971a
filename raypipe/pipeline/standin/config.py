"""Sizes, schedule and weights of the losses of the stand-in model's training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from raypipe.pipeline.standin.pictures import training_pictures


@dataclass(frozen=True, kw_only=True)
class StandinConfig:
    """Sizes, schedule and weights of the losses.

    Attributes:
        steps: where the learning rate reaches zero, along a cosine.
        learning_rate: of layers with equalised weights.
        backbone_learning_rate: of the encoder's other layers.
        principal_batches: how many batches the principal codes are fitted to.
        taught_steps: until when principal codes are taught, less and less.
        growth_steps: when the picture grows to twice its size, the last time to ``size``; layouts are learned at small
            sizes, where a step is cheap (Karras et al. 2018).
        base_only_share: part of each batch that is rendered from the first row alone, so that one w makes a face.
        code_noise: deviation of the noise on the codes, so that neighbouring codes make similar pictures.
        base_weight, offset_weight: of the mean squares of the first row and of the other rows' offsets from it.
        mapping_codes, mapping_steps: how many codes the mapping network is fitted to, and how long.
        held_out_faces: how many faces not trained with are measured at the end.
    """

    seed: int = 1
    size: int = 64
    style_dim: int = 128
    channels: tuple[int, ...] = (256, 128, 96, 64, 32)
    encoder_widths: tuple[int, ...] = (16, 32, 64, 64)
    encoder_depths: tuple[int, ...] = (1, 1, 2, 1)
    batch: int = 16
    steps: int = 12_000
    growth_steps: tuple[int, ...] = (1_200, 3_000)
    warmup_steps: int = 50
    learning_rate: float = 3e-2
    backbone_learning_rate: float = 3e-3
    principal_batches: int = 300
    taught_steps: int = 3_000
    average_decay: float = 0.998
    base_only_share: float = 0.2
    code_noise: float = 0.03
    base_weight: float = 3e-4
    offset_weight: float = 3e-3
    mapping_codes: int = 20_000
    mapping_steps: int = 1_500
    held_out_faces: int = 1_024

    def pace(self, step: int) -> float:
        """Share of the learning rates: linear up to 1 over ``warmup_steps``, times a cosine down to 0 at ``steps``."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def teaching(self, step: int) -> float:
        """Share of the lesson in principal codes that is left: 1 at the first step, 0 from ``taught_steps`` on."""
        return max(0.0, 1 - step / self.taught_steps)

    def pictures(self, step: int) -> Tensor:
        """The batch that ``step`` is trained with, [batch,3,size,size] in [-1,1]."""
        return training_pictures(self.batch, self.size, seed=self.seed, step=step)
